"""Test what a rank decides before it starts: ZeRO-3's settings, the buckets, and the models that it can't train."""

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig

from actors.learning.policy_model import load_model_config, num_parameter_bytes
from actors.learning.rank_setup import PolicySource, RankPlace, RankSetup
from actors.learning.zero_config import Settings, frozen_settings, stays_whole, training_settings
from contracts.config.learning import CriticConfig, LearnerConfig
from contracts.errors import BadInput
from tests.builders import an_algorithm


def settings(*, num_parameter_bytes: int = 1, device: str = "cpu", **learner: object) -> Settings:
    return training_settings(
        LearnerConfig.model_validate(learner),
        learning_rate=0.1,
        max_grad_norm=2.0,
        num_parameter_bytes=num_parameter_bytes,
        place=RankPlace(rank=0, world_size=2, meeting="", device=device),
    )


def section(settings: Settings, name: str) -> Settings:
    found = settings[name]
    assert isinstance(found, dict)
    return found


def test_a_small_model_stays_whole_and_a_large_one_is_sharded() -> None:
    # 1 MiB is 1,048,576 bytes.
    small, large = (
        section(settings(num_parameter_bytes=size, keep_whole_mib=1), "zero_optimization")
        for size in (1_048_576, 1_048_577)
    )
    assert small["stage3_param_persistence_threshold"] == 1_048_576
    assert large["stage3_param_persistence_threshold"] == 100_000


def test_offloaded_parameters_never_stay_whole() -> None:
    assert stays_whole(LearnerConfig(), 1000)
    assert not stays_whole(LearnerConfig(offload_parameters=True), 1000)


def test_gradients_are_reduced_by_what_the_device_does_best() -> None:
    on_cpu, on_gpu = (section(settings(device=device), "zero_optimization") for device in ("cpu", "cuda"))
    assert (on_cpu["reduce_scatter"], on_cpu["overlap_comm"]) == (False, False)
    assert (on_gpu["reduce_scatter"], on_gpu["overlap_comm"]) == (True, True)


@pytest.mark.parametrize(("dtype", "is_half"), [("bfloat16", True), ("float32", False)])
def test_the_dtype_decides_on_half_precision(dtype: str, is_half: bool) -> None:
    assert settings(dtype=dtype)["bf16"] == {"enabled": is_half}


def test_rate_and_clipping_are_those_of_the_model_and_the_rest_is_the_learners() -> None:
    policy = settings(learning_rate=5.0, max_grad_norm=6.0, adam_betas=[0.7, 0.8])
    assert policy["gradient_clipping"] == 2.0
    optimizer = section(section(policy, "optimizer"), "params")
    assert (optimizer["lr"], optimizer["betas"]) == (0.1, [0.7, 0.8])


def test_what_is_offloaded_lies_in_host_memory_pinned_for_a_gpu() -> None:
    nothing = section(settings(), "zero_optimization")
    assert "offload_optimizer" not in nothing and "offload_param" not in nothing
    states = section(settings(offload_optimizer=True), "zero_optimization")
    assert states["offload_optimizer"] == {"device": "cpu", "pin_memory": False}
    assert "offload_param" not in states
    parameters = section(settings(device="cuda", offload_parameters=True), "zero_optimization")
    assert parameters["offload_param"] == {"device": "cpu", "pin_memory": True}


def test_a_frozen_model_has_shards_and_no_optimizer() -> None:
    learner = LearnerConfig(offload_parameters=True)
    place = RankPlace(rank=0, world_size=2, meeting="", device="cpu")
    frozen = frozen_settings(learner, num_parameter_bytes=1, place=place)
    assert "optimizer" not in frozen
    assert section(frozen, "zero_optimization")["stage"] == 3
    assert "offload_param" in section(frozen, "zero_optimization")


def rank_setup(algorithm: dict[str, object], *, critic: str | None = None) -> RankSetup:
    return RankSetup(
        learner=LearnerConfig(),
        algorithm=an_algorithm(**{"steps": 1} | algorithm),
        critic=CriticConfig(model=critic),
        policy=PolicySource(model="policy", temperature=0.8),
        total_optimizer_steps=1,
        bucket_bytes=1,
        seed=1,
    )


@pytest.mark.parametrize(
    ("algorithm", "has_reference", "has_critic"),
    [
        ({}, False, False),
        ({"kl": "loss"}, True, False),
        ({"kl": "reward"}, True, False),
        ({"name": "ppo"}, False, True),
    ],
)
def test_the_algorithm_decides_which_models_there_are(
    algorithm: dict[str, object], has_reference: bool, has_critic: bool
) -> None:
    setup = rank_setup(algorithm)
    assert (setup.has_reference, setup.has_critic) == (has_reference, has_critic)


def test_only_what_was_drawn_is_judged_at_the_temperature_that_drew_it() -> None:
    drawn, imitated = rank_setup({}), rank_setup({"name": "sft"})
    assert drawn.policy.temperature != 1
    assert (drawn.head_temperature, imitated.head_temperature) == (drawn.policy.temperature, 1.0)


def test_the_critic_is_the_policys_model_unless_it_has_its_own() -> None:
    assert rank_setup({}).critic_model == "policy"
    assert rank_setup({}, critic="other").critic_model == "other"


def tiny_config(**changes: object) -> LlamaConfig:
    shape = {"vocab_size": 10, "hidden_size": 4, "intermediate_size": 6, "num_hidden_layers": 1}
    return LlamaConfig.from_dict(shape | {"num_attention_heads": 2} | changes)


def test_the_size_of_a_model_counts_tied_weights_once() -> None:
    # Embedding 40, attention 4 x 16, MLP 3 x 24, three norms of 4; the head 40 again unless it is tied.
    assert num_parameter_bytes(tiny_config(tie_word_embeddings=True), torch.bfloat16) == 2 * (40 + 64 + 72 + 12)
    assert num_parameter_bytes(tiny_config(tie_word_embeddings=False), torch.float32) == 4 * (80 + 64 + 72 + 12)


def test_a_model_that_changes_its_logits_is_refused(tmp_path: Path) -> None:
    tiny_config(final_logit_softcapping=30.0).save_pretrained(tmp_path)
    with pytest.raises(BadInput) as error:
        load_model_config(str(tmp_path))
    assert error.value.key == str(tmp_path)


def test_a_plain_model_is_accepted(tmp_path: Path) -> None:
    tiny_config().save_pretrained(tmp_path)
    assert load_model_config(str(tmp_path)).model_type == "llama"
