"""Test that a run which cannot fit its GPUs or nodes is refused at once, with the key that helps."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.published import E5_LARGE, LLAMA_8B, QWEN3_32B, QWEN25_HALF, published_model
from cluster.estimate.fits import Hardware, check_memory
from cluster.layout import layout
from contracts.config.device_defaults import Device, with_device_defaults
from tests.builders import a_config
from tests.refusals import refused


def check(
    folder: Path, facts: Mapping[str, object], hardware: Hardware, device: Device, **sections: Mapping[str, object]
) -> None:
    model = published_model(folder / "model", facts)
    encoder = published_model(folder / "encoder", E5_LARGE)
    base: dict[str, Mapping[str, object]] = {
        "policy": {"model": model},
        "pivot": {"model": model},
        "scorer": {"model": encoder},
        "algorithm": {"steps": 1, "groups_per_step": 16, "group_size": 4},
    }
    config = with_device_defaults(a_config(base, sections), device)
    check_memory(config, layout(config, device), hardware)


CHECKPOINTED = {"num_ranks": 2, "gradient_checkpointing": True}


def test_a_rank_that_does_not_fit_its_gpu_is_refused_with_the_row_that_would_fit(tmp_path: Path) -> None:
    """8B on two GPUs of 80 GB: 74.0 GiB at rows of 2,048, 76.7 at 8,192, 80.3 at 16,384; 78.8 are usable."""
    gpu = Hardware(gpu_gib=79.6)
    with refused("learner.num_ranks", "80.3", "79.6", "learner.row_tokens = 8192", "learner.offload_optimizer"):
        check(tmp_path, LLAMA_8B, gpu, "cuda", learner=CHECKPOINTED)
    check(tmp_path, LLAMA_8B, gpu, "cuda", learner=CHECKPOINTED | {"row_tokens": 8192})
    check(tmp_path, LLAMA_8B, gpu, "cuda", learner=CHECKPOINTED | {"offload_optimizer": True})
    with refused("learner.num_ranks", "learner.gradient_checkpointing"):
        check(tmp_path, LLAMA_8B, gpu, "cuda", learner={"num_ranks": 2})


def test_a_row_that_holds_the_longest_sequence_is_split_where_it_does_not_fit(tmp_path: Path) -> None:
    """Rows of 131,072 tokens, which is one sequence: a rank of eight holds half of one, and no whole one."""
    gpu, long = Hardware(gpu_gib=79.6), {"max_model_len": 131_072}
    keys = CHECKPOINTED | {"num_ranks": 8}
    with refused("learner.num_ranks", "learner.sequence_parallel_size = 2"):
        check(tmp_path, LLAMA_8B, gpu, "cuda", policy=long, learner=keys)
    check(tmp_path, LLAMA_8B, gpu, "cuda", policy=long, learner=keys | {"sequence_parallel_size": 2})


def test_an_engine_without_room_for_one_sequence_is_refused(tmp_path: Path) -> None:
    """32B has 61 GiB of weights: 85 % of 80 GB leave 1.3 GiB, 5,518 tokens."""
    gpu, learner = Hardware(gpu_gib=79.6), {"num_ranks": 16, "gradient_checkpointing": True}
    check(tmp_path, QWEN3_32B, gpu, "cuda", learner=learner)
    long = {"max_model_len": 8192}
    with refused("policy.tensor_parallel_size", "5,518 tokens", "policy.max_model_len 8192"):
        check(tmp_path, QWEN3_32B, gpu, "cuda", learner=learner, policy=long)
    check(tmp_path, QWEN3_32B, gpu, "cuda", learner=learner, policy=long | {"tensor_parallel_size": 2})


def test_a_cache_on_a_cpu_without_room_for_one_sequence_is_refused(tmp_path: Path) -> None:
    """12 KiB a token: 0.5 GiB hold 43,690."""
    with refused("pivot.kv_cache_gib", "43,690 tokens", "50000"):
        check(tmp_path, QWEN25_HALF, Hardware(), "cpu", pivot={"max_model_len": 50_000})


def test_a_scorer_that_does_not_fit_its_share_of_a_gpu_is_refused(tmp_path: Path) -> None:
    learner = {"num_ranks": 8, "gradient_checkpointing": True}
    check(tmp_path, LLAMA_8B, Hardware(gpu_gib=79.6), "cuda", learner=learner, scorer={"num_gpus": 0.25})
    with refused("scorer.num_gpus", "0.01"):
        check(tmp_path, LLAMA_8B, Hardware(gpu_gib=79.6), "cuda", learner=learner, scorer={"num_gpus": 0.01})


def test_gpus_that_are_shared_in_turns_must_hold_each_turn(tmp_path: Path) -> None:
    """8B on eight GPUs: the policy's turn needs vLLM's share of 79.6 GiB, and 1.5 for the context of the rank.

    While weights pass, the rank's 16.8 GiB of states and 1.9 of gathered weights are beside the engine's 15, and 4.0 of
    contexts and graphs.
    """
    learner = {"num_ranks": 8, "gradient_checkpointing": True}
    turns: dict[str, Mapping[str, object]] = {"policy": {"num_workers": 8}, "cluster": {"colocate": True}}
    check(tmp_path, LLAMA_8B, Hardware(gpu_gib=79.6), "cuda", learner=learner, **turns)
    with refused("policy.gpu_memory_utilization", "79.1", "policy's turn"):
        greedy = {"num_workers": 8, "gpu_memory_utilization": 0.975}
        check(tmp_path, LLAMA_8B, Hardware(gpu_gib=79.6), "cuda", learner=learner, **turns | {"policy": greedy})
    with refused("learner.num_ranks", "a weight push needs 37."):
        small = {"num_workers": 8, "gpu_memory_utilization": 0.7}
        check(tmp_path, LLAMA_8B, Hardware(gpu_gib=36.0), "cuda", learner=learner, **turns | {"policy": small})


def test_nodes_without_enough_host_memory_are_refused(tmp_path: Path) -> None:
    """Full fine-tuning of half a billion on two ranks: 8.3 each, two engines of 2.7, a scorer of 3.3, 1.6 beside.

    Together 26.9, of which a tenth may be too much: 24.2.
    """
    learner = {"num_ranks": 2}
    with refused("cluster", "26.9", "2 learner x", "23.9 GiB"):
        check(tmp_path, QWEN25_HALF, Hardware(nodes_gib={"a": 23.9}), "cpu", learner=learner)
    check(tmp_path, QWEN25_HALF, Hardware(nodes_gib={"a": 24.5}), "cpu", learner=learner)
    check(tmp_path, QWEN25_HALF, Hardware(nodes_gib={"a": 16.0, "b": 16.0}), "cpu", learner=learner)
    with refused("cluster", "the largest 7.0 GiB"):
        check(tmp_path, QWEN25_HALF, Hardware(nodes_gib=dict.fromkeys("abcde", 7.0)), "cpu", learner=learner)


def test_a_node_is_refused_for_what_is_placed_on_it(tmp_path: Path) -> None:
    """A rank needs 8.3 GiB, of which a tenth may be too much: two and Ray's half need 15.4 of a node."""
    learner, nodes = {"num_ranks": 2}, {"a": 14.0, "b": 14.0, "c": 14.0}
    others = dict.fromkeys(("policy-0", "pivot-0", "scorer-0"), "b")
    together = Hardware(nodes_gib=nodes, where=others | {"learner-0": "a", "learner-1": "a"})
    with refused("cluster", "a has 14.0", "2 learner x"):
        check(tmp_path, QWEN25_HALF, together, "cpu", learner=learner)
    apart = Hardware(nodes_gib=nodes, where=others | {"learner-0": "a", "learner-1": "c"})
    check(tmp_path, QWEN25_HALF, apart, "cpu", learner=learner)


def test_the_driver_counts_where_there_is_one_node(tmp_path: Path) -> None:
    """Less a tenth, actors and Ray need 23.2 GiB, and with the driver 24.2."""
    names = ("policy-0", "pivot-0", "scorer-0", "learner-0", "learner-1")
    alone = Hardware(nodes_gib={"a": 23.9}, where=dict.fromkeys(names, "a"))
    with refused("cluster", "26.9"):
        check(tmp_path, QWEN25_HALF, alone, "cpu", learner={"num_ranks": 2})


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_what_is_not_known_is_not_refused(tmp_path: Path, device: Device) -> None:
    check(tmp_path, QWEN3_32B, Hardware(), device, learner={"num_ranks": 1}, algorithm={"steps": 1})


def test_the_node_of_the_first_rank_must_hold_its_copy_for_a_checkpoint(tmp_path: Path) -> None:
    """32B on sixteen GPUs: 3 GiB a rank, Ray's half, and 61.0 on the first rank's node: less a tenth, 77.0 and 22.1."""
    learner = {"num_ranks": 16, "gradient_checkpointing": True}
    others = dict.fromkeys(("policy-0", "pivot-0", "scorer-0"), "c")
    ranks = {f"learner-{number}": "a" if number < 8 else "b" for number in range(16)}

    def nodes(first_gib: float, second_gib: float) -> Hardware:
        return Hardware(nodes_gib={"a": first_gib, "b": second_gib, "c": 100.0}, where=others | ranks)

    with refused("cluster", "a has 76.9", "learner-0 beside it 61.0"):
        check(tmp_path, QWEN3_32B, nodes(76.9, 22.2), "cuda", learner=learner)
    check(tmp_path, QWEN3_32B, nodes(77.1, 22.2), "cuda", learner=learner)
    with refused("cluster", "b has 22.0"):
        check(tmp_path, QWEN3_32B, nodes(77.1, 22.0), "cuda", learner=learner)


def test_some_node_must_hold_the_first_rank_where_none_is_placed_yet(tmp_path: Path) -> None:
    """The first rank of 32B needs 64.0 GiB of one node, less a tenth 57.6."""
    learner = {"num_ranks": 16, "gradient_checkpointing": True}
    with refused("cluster", "the largest 57.0 GiB"):
        check(tmp_path, QWEN3_32B, Hardware(nodes_gib=dict.fromkeys("abcd", 57.0)), "cuda", learner=learner)
    check(tmp_path, QWEN3_32B, Hardware(nodes_gib=dict.fromkeys("abcd", 58.0)), "cuda", learner=learner)
