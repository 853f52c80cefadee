"""Test how much memory the actors of a run are expected to need, against accounts that were made by hand.

The hand accounts of the learner are for GPUs of 80 GB, for models of published sizes, with a chunk of 256 positions.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from actors.learning import logprobs
from actors.learning.zero_config import BUCKET_ELEMENTS
from actors.remote.freed_memory import LARGE_MODEL_BYTES
from benchmarks.published import E5_SMALL, LLAMA_8B, QWEN3_32B, QWEN25_HALF, published_model
from cluster.estimate import learner
from cluster.estimate.actors import estimate
from cluster.estimate.disk import disk_need
from cluster.estimate.parts import GIB, LEARNER_PROCESS_GIB, Memory
from cluster.estimate.shapes import Layers, model_size, num_parameters
from cluster.layout import Role
from contracts.config.device_defaults import Device, with_device_defaults
from contracts.config.run import Config
from tests.builders import a_config

GPU_GIB = 79.6  # of 80 GB


def config(model: str, device: Device = "cuda", *, encoder: str = "none", **sections: Mapping[str, object]) -> Config:
    base: dict[str, Mapping[str, object]] = {
        "policy": {"model": model},
        "pivot": {"model": model},
        "scorer": {"model": encoder},
        "algorithm": {"steps": 5, "groups_per_step": 16, "group_size": 4},
    }
    return with_device_defaults(a_config(base, sections), device)


def gpu_of(config: Config, role: Role) -> Memory:
    need = estimate(config, "cuda", gpu_gib=GPU_GIB)[role].gpu
    assert need is not None
    return need


def host_of(config: Config, role: Role) -> Memory:
    need = estimate(config, "cpu")[role].host
    assert need is not None
    return need


# --- a learner rank on a GPU ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "num_ranks", "row_tokens", "by_hand"),
    [
        (LLAMA_8B, 2, 2048, 74.0),
        (LLAMA_8B, 2, 8192, 76.8),
        (LLAMA_8B, 4, 2048, 40.4),
        (LLAMA_8B, 4, 16384, 46.8),
        (QWEN3_32B, 16, 8192, 48.9),
    ],
)
def test_a_rank_needs_what_was_counted_by_hand(
    tmp_path: Path, facts: Mapping[str, object], num_ranks: int, row_tokens: int, by_hand: float
) -> None:
    keys = {"num_ranks": num_ranks, "row_tokens": row_tokens, "logprob_chunk_tokens": 256}
    given = config(published_model(tmp_path, facts), learner=keys | {"gradient_checkpointing": True})
    assert gpu_of(given, "learner").total_gib == pytest.approx(by_hand, rel=0.01)


def test_offloading_moves_states_and_weights_to_the_host(tmp_path: Path) -> None:
    """8.03e9 parameters on 4 ranks: 16 bytes of each become 20 on the host, and the weights' 2 move with them."""
    keys = {"num_ranks": 4, "gradient_checkpointing": True}
    both = {"offload_optimizer": True, "offload_parameters": True}
    model = published_model(tmp_path, LLAMA_8B)
    kept, moved = config(model, learner=keys), config(model, learner=keys | both)
    share = 8.03e9 / 4 / GIB
    assert gpu_of(kept, "learner").total_gib - gpu_of(moved, "learner").total_gib == pytest.approx(18 * share, rel=0.01)
    host = estimate(moved, "cuda")["learner"].host
    assert host is not None
    assert host.total_gib == pytest.approx(host.parts["process"] + 22 * share, rel=0.01)


def test_states_move_to_the_host_in_the_policys_turn(tmp_path: Path) -> None:
    """8.03e9 / 8 parameters: 18 bytes of each."""
    keys = {"num_ranks": 8, "gradient_checkpointing": True}
    shared = config(
        published_model(tmp_path, LLAMA_8B), policy={"num_workers": 8}, learner=keys, cluster={"colocate": True}
    )
    host = estimate(shared, "cuda")["learner"].host
    assert host is not None
    assert host.parts["states in turns"] == pytest.approx(18 * 8.03e9 / 8 / GIB, rel=0.01)


def test_without_checkpointing_every_layer_keeps_a_llama_layers_values(tmp_path: Path) -> None:
    """A token of a Llama-8B layer: 4 x 4096 + 3 x 4096 + 3 x 1024 + 4 x 14336 values of 2 bytes, 2 x 4096 of 4."""
    assert learner.layer_bytes(Layers.of(LLAMA_8B), 2) == 2 * (7 * 4096 + 3072 + 57344) + 32768
    keys = {"num_ranks": 8, "row_tokens": 4096}
    given = config(published_model(tmp_path, LLAMA_8B), learner=keys)
    assert gpu_of(given, "learner").parts["activations"] == pytest.approx(32 * 4096 * 210_944 / GIB)


def test_ranks_that_split_rows_divide_the_activations(tmp_path: Path) -> None:
    keys = {"num_ranks": 8, "row_tokens": 4096, "logprob_chunk_tokens": 4096}
    model = published_model(tmp_path, LLAMA_8B)
    whole, split = (
        gpu_of(config(model, learner=keys | {"sequence_parallel_size": size}), "learner").parts for size in (1, 4)
    )
    assert split["activations"] == pytest.approx(whole["activations"] / 4)
    assert {name: split[name] for name in split if name not in ("activations", "output head")} == {
        name: whole[name] for name in whole if name not in ("activations", "output head")
    }


def test_the_optimizer_step_counts_where_it_needs_more_than_the_backward_pass(tmp_path: Path) -> None:
    """With short rows and a small vocabulary the fp32 copy of a sub-group of 1e9 gradients is the larger moment."""
    small = published_model(tmp_path, {**LLAMA_8B, "vocab_size": 32000})
    keys = {"num_ranks": 4, "row_tokens": 1024, "gradient_checkpointing": True}
    parts = gpu_of(config(small, learner=keys), "learner").parts
    assert parts["copies of gradients"] == pytest.approx(4e9 / GIB)
    assert "activations" not in parts


def test_the_sizes_of_tiles_and_buckets_are_the_learners() -> None:
    assert learner.TILE_ELEMENTS == logprobs._TILE_ELEMENTS
    assert learner.LEAST_BLOCKS == logprobs._LEAST_BLOCKS
    assert learner.BUCKET_ELEMENTS == BUCKET_ELEMENTS


# --- on a CPU ---------------------------------------------------------------------------------------------------------


def test_a_full_fine_tune_of_half_a_billion_on_two_ranks_agrees_with_an_account_by_hand(tmp_path: Path) -> None:
    """Weights and gradients of 2 bytes are whole, 2 + 16 bytes halved; 24 layers of 768 tokens.

    The backward pass needs more than the step's copy of the gradients, and more than a copy of the policy.
    """
    model = published_model(tmp_path, QWEN25_HALF)
    given = config(model, "cpu", policy={"max_model_len": 768}, learner={"num_ranks": 2})
    layers = 24 * 768 * (2 * (4 * 896 + 3 * 896 + 3 * 128 + 4 * 4864) + 8 * 896)
    by_hand = 0.494e9 * (2 + 2 + 18 / 2) + layers
    assert host_of(given, "learner").total_gib == pytest.approx(by_hand / GIB + LEARNER_PROCESS_GIB, rel=0.01)


def test_a_small_models_step_takes_twice_its_activations_from_the_heap(tmp_path: Path) -> None:
    assert LARGE_MODEL_BYTES == learner.LARGE_MODEL_BYTES
    for num_layers, factor in {6: 2, 24: 1}.items():
        facts = {**QWEN25_HALF, "num_hidden_layers": num_layers}
        given = config(published_model(tmp_path / str(num_layers), facts))
        models = learner.rank_models(given)
        assert models is not None
        assert learner.heap_factor(models[0], given.learner, "cpu") == factor
        assert learner.heap_factor(models[0], given.learner, "cuda") == 1


def test_a_checkpoints_copy_of_the_policy_counts_where_passes_need_less(tmp_path: Path) -> None:
    keys = {"lora": {"rank": 32}, "num_ranks": 1, "gradient_checkpointing": True}
    model = published_model(tmp_path, QWEN25_HALF)
    parts = host_of(config(model, "cpu", policy={"max_model_len": 768}, learner=keys), "learner").parts
    assert parts["copy for a checkpoint"] == pytest.approx(0.494e9 * 2 / GIB, rel=0.01)
    assert "activations" not in parts


def test_adapters_need_few_states_and_no_second_model(tmp_path: Path) -> None:
    """LoRA of rank 32: 24 layers x 32 x the sum of both sides of seven matrices = 17.6e6 trained parameters."""
    sides = (896 + 896) * 2 + (896 + 128) * 2 + (896 + 4864) * 3
    model = published_model(tmp_path, QWEN25_HALF)
    size = model_size(model, key="policy.model")
    assert size is not None
    assert size.adapters(32, None) == 24 * 32 * sides == 17_596_416
    assert size.adapters(32, ("q_proj",)) == 24 * 32 * 2 * 896
    keys = {"lora": {"rank": 32}, "num_ranks": 1}
    given = config(model, "cpu", policy={"max_model_len": 768}, learner=keys, algorithm={"kl": "loss"})
    assert host_of(given, "learner").total_gib == pytest.approx(3.5, rel=0.1)  # docs/results.md
    parts = host_of(given, "learner").parts
    assert parts["weight shards"] == pytest.approx(0.494e9 * 2 / GIB, rel=0.01)
    assert parts["optimiser states"] + parts["gradients"] == pytest.approx(16 * 17_596_416 / GIB)


def test_a_reference_model_and_a_critic_are_counted(tmp_path: Path) -> None:
    model = published_model(tmp_path, QWEN25_HALF)
    plain = host_of(config(model, "cpu", learner={"num_ranks": 2}), "learner").parts
    reference = host_of(config(model, "cpu", learner={"num_ranks": 2}, algorithm={"kl": "loss"}), "learner").parts
    assert reference["weights"] == pytest.approx(2 * plain["weights"])
    assert reference["optimiser states"] == plain["optimiser states"]
    ppo = host_of(config(model, "cpu", learner={"num_ranks": 2}, algorithm={"name": "ppo"}), "learner").parts
    assert ppo["optimiser states"] == pytest.approx(2 * plain["optimiser states"])


# --- engines and scorers ----------------------------------------------------------------------------------------------


def test_an_engine_on_a_gpu_has_the_rest_of_its_share_as_cache(tmp_path: Path) -> None:
    """Llama-8B: 2 x 32 x 1024 values of 2 bytes = 128 KiB a token; about 390,000 tokens in 85 % of 80 GB by hand."""
    given = config(published_model(tmp_path, LLAMA_8B))
    need = gpu_of(given, "policy")
    assert need.total_gib == pytest.approx(0.85 * GPU_GIB)
    assert need.parts["cache"] * GIB / (128 * 1024) == pytest.approx(390_000, rel=0.05)
    halved = config(published_model(tmp_path, LLAMA_8B), policy={"tensor_parallel_size": 2})
    assert gpu_of(halved, "policy").parts["weights"] == pytest.approx(need.parts["weights"] / 2)


def test_an_engine_on_a_cpu_has_the_cache_that_the_config_gives(tmp_path: Path) -> None:
    """Half a billion: 2 x 24 x 128 values of 2 bytes = 12 KiB a token: 3 GiB hold 262,144 tokens, 256 of 1,024."""
    need = estimate(config(published_model(tmp_path, QWEN25_HALF), "cpu", policy={"kv_cache_gib": 3}), "cpu")["policy"]
    assert need.host is not None
    assert need.host.parts["cache"] == 3
    assert need.note == "cache of 3.0 GiB: 262,144 tokens, 256 sequences of 1024"


def test_a_scorer_is_on_a_gpu_only_if_it_is_given_one(tmp_path: Path) -> None:
    encoder = published_model(tmp_path, E5_SMALL)
    without = estimate(config("some-org/policy", encoder=encoder), "cuda")["scorer"]
    assert (without.gpu, without.host is None) == (None, False)
    given = estimate(config("some-org/policy", encoder=encoder, scorer={"num_gpus": 0.25}), "cuda")["scorer"]
    assert given.gpu is not None


def test_a_model_that_is_not_here_has_no_estimate() -> None:
    for role, need in estimate(config("some-org/policy"), "cpu").items():
        assert need.host is None, role
    assert disk_need(config("some-org/policy")) is None


# --- files ------------------------------------------------------------------------------------------------------------


def write_header(file: Path, sizes: Mapping[str, int]) -> None:
    """Write the header of a safetensors file with vectors of these sizes."""
    entries = {name: {"dtype": "BF16", "shape": [size], "data_offsets": [0, 2 * size]} for name, size in sizes.items()}
    header = json.dumps({"__metadata__": {"format": "pt"}, **entries}).encode()
    file.write_bytes(struct.pack("<Q", len(header)) + header)


def test_parameters_are_counted_from_the_headers_of_all_shards(tmp_path: Path) -> None:
    for shard, size in enumerate((500, 501)):
        write_header(tmp_path / f"model-{shard}.safetensors", {f"weight-{shard}": size})
    assert num_parameters(str(tmp_path)) == 1001
    assert num_parameters("some/hub-name") is None


def test_the_same_weights_in_one_more_file_beside_the_shards_count_once(tmp_path: Path) -> None:
    for number in (1, 2):
        write_header(tmp_path / f"model-0000{number}-of-00002.safetensors", {f"layers.{number}.weight": 100})
    write_header(tmp_path / "consolidated.safetensors", {"wq.1": 100, "wq.2": 100})
    assert num_parameters(str(tmp_path)) == 200


@pytest.mark.parametrize(("facts", "billions"), [(LLAMA_8B, 8.03), (QWEN3_32B, 32.76), (QWEN25_HALF, 0.494)])
def test_a_folder_without_weights_is_counted_from_its_config(
    tmp_path: Path, facts: Mapping[str, object], billions: float
) -> None:
    size = model_size(published_model(tmp_path, facts), key="policy.model")
    assert size is not None
    assert size.parameters / 1e9 == pytest.approx(billions, rel=0.001)


def test_a_checkpoint_of_8b_and_the_disk_that_a_run_needs(tmp_path: Path) -> None:
    """12 bytes of states and 2 of weights for each of 8.03e9: 112 GB. Two newest, the best, and one being written."""
    model = published_model(tmp_path, LLAMA_8B)
    need = disk_need(config(model, checkpoint={"every_steps": 10}))
    assert need is not None
    assert need.checkpoint == pytest.approx(112.4e9, rel=0.001)
    assert need.num_checkpoints == 4
    assert need.total == pytest.approx(4 * 112.4e9 + 16.06e9, rel=0.001)
    never = disk_need(config(model))
    assert never is not None
    assert never.num_checkpoints == 1


def test_experts_and_quantised_weights_are_counted(tmp_path: Path) -> None:
    """Qwen3-30B-A3B: 48 layers of 128 experts of 3 x 2048 x 768, and attention: 30.5e9. Four bits are half a byte."""
    facts = {
        "model_type": "qwen3_moe",
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "moe_intermediate_size": 768,
        "num_experts": 128,
        "num_hidden_layers": 48,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "head_dim": 128,
        "vocab_size": 151936,
        "tie_word_embeddings": False,
    }
    whole = model_size(published_model(tmp_path / "whole", facts), key="pivot.model")
    assert whole is not None
    assert whole.parameters == pytest.approx(30.5e9, rel=0.01)
    assert whole.weight_bytes("bfloat16") == 2 * whole.parameters
    awq = model_size(published_model(tmp_path / "awq", facts | {"quantization_config": {"bits": 4}}), key="pivot.model")
    fp8 = facts | {"quantization_config": {"quant_method": "fp8"}}
    assert awq is not None
    assert awq.weight_bytes("bfloat16") == whole.parameters / 2
    half = model_size(published_model(tmp_path / "fp8", fp8), key="pivot.model")
    assert half is not None
    assert half.weight_bytes("bfloat16") == whole.parameters


def test_only_layers_that_keep_every_token_fill_the_cache() -> None:
    """One layer in six has full attention, as in Gemma 3; DeepSeek's latent attention keeps 512 + 64 values."""
    kinds = ["full_attention" if number % 6 == 5 else "sliding_attention" for number in range(24)]
    assert Layers.of({**QWEN25_HALF, "layer_types": kinds}).cached == 4 * 2 * 128
    assert Layers.of(QWEN25_HALF).cached == 24 * 2 * 128
    latent = Layers.of({**LLAMA_8B, "kv_lora_rank": 512, "qk_rope_head_dim": 64})
    assert (latent.cached, latent.key_heads) == (32 * 576, 1)
