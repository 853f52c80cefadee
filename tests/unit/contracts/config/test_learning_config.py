"""Test which choices of learning don't fit together, and what the choices mean."""

import pytest
from pydantic import ValidationError

from contracts.config.learning import GrpoConfig, LearnerConfig, OpdConfig, PpoConfig, SftConfig
from contracts.errors import BadInput
from tests.builders import a_config, a_grpo, a_ppo, an_algorithm
from tests.refusals import refused_by_config


def refused_key(error: ValidationError) -> str:
    """Return the key that the first mistake is about, by the check of the section itself or by its bounds."""
    first = error.errors()[0]
    own = first.get("ctx", {}).get("error")
    return own.key if isinstance(own, BadInput) else f"algorithm.{first['loc'][1]}"


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"group_size": 1}, "algorithm.group_size"),
        ({"group_size": 1, "advantage": "leave_one_out"}, "algorithm.group_size"),
        ({"advantage": "gae"}, "algorithm.advantage"),
        ({"name": "ppo", "advantage": "group"}, "algorithm.advantage"),
        ({"loss": "gspo"}, "algorithm.aggregation"),
        ({"loss": "cispo", "aggregation": "sequence"}, "algorithm.aggregation"),
        ({"dual_clip": 0.5}, "algorithm.dual_clip"),
        ({"dual_clip": 3, "loss": "cispo"}, "algorithm.dual_clip"),
        ({"scale_by_std": True, "advantage": "leave_one_out"}, "algorithm.scale_by_std"),
        ({"max_staleness": 1, "importance": "off"}, "algorithm.importance"),
        ({"kl": "reward", "kl_estimator": "k2"}, "algorithm.kl_estimator"),
        ({"kl": "reward", "kl_estimator": "k3"}, "algorithm.kl_estimator"),
        ({"name": "ppo", "kl": "reward", "kl_estimator": "k3"}, "algorithm.kl_estimator"),
        ({"name": "opd", "kl": "reward"}, "algorithm.kl"),
        ({"kl": "loss", "kl_estimator": "k1"}, "algorithm.kl_estimator"),
        ({"std_epsilon": 0}, "algorithm.std_epsilon"),
        ({"name": "sft", "kl": "loss"}, "algorithm.kl"),
        ({"name": "sft", "dual_clip": 3}, "algorithm.dual_clip"),
        ({"name": "sft", "max_staleness": 1}, "algorithm.max_staleness"),
        ({"name": "grpo", "gae_lambda": 1.0}, "algorithm.gae_lambda"),
        ({"kl_coefficient": float("inf")}, "algorithm.kl_coefficient"),
    ],
)
def test_choices_that_do_not_fit_are_refused(values: dict[str, object], key: str) -> None:
    with pytest.raises(ValidationError) as refused:
        an_algorithm(**values)
    assert refused_key(refused.value) == key


@pytest.mark.parametrize(
    "values",
    [
        {"loss": "gspo", "aggregation": "sequence"},
        {"loss": "cispo", "aggregation": "constant"},
        {"dual_clip": 3},
        {"name": "ppo", "group_size": 1},
        {"advantage": "reinforce++", "group_size": 1},
        {"name": "sft", "groups_per_step": 1},
    ],
)
def test_choices_that_fit_are_accepted(values: dict[str, object]) -> None:
    an_algorithm(**values)


@pytest.mark.parametrize(
    ("name", "kind"), [("grpo", GrpoConfig), ("ppo", PpoConfig), ("opd", OpdConfig), ("sft", SftConfig)]
)
def test_the_name_chooses_the_keys(name: str, kind: type) -> None:
    assert type(an_algorithm(name=name)) is kind


def test_without_a_name_the_algorithm_is_grpo() -> None:
    assert isinstance(an_algorithm(), GrpoConfig)


def test_a_clip_that_is_auto_is_the_losss_own_and_zero_is_zero() -> None:
    assert a_grpo().clip == (0.2, 0.28)
    assert a_grpo(clip_high=0.5).clip == (0.2, 0.5)
    assert a_grpo(clip_low=0, clip_high=0).clip == (0.0, 0.0)
    assert a_grpo(loss="gspo", aggregation="sequence").clip == (3e-4, 4e-4)
    assert a_grpo(loss="cispo").clip == (1.0, 4.0)


def test_the_estimator_of_the_kl_follows_its_place() -> None:
    assert a_grpo(kl="reward").estimator == "k1"
    assert a_ppo(kl="reward", kl_estimator="k1").estimator == "k1"
    assert a_grpo(kl="loss").estimator == "k3"
    assert a_grpo(kl="loss", kl_estimator="k2").estimator == "k2"


def test_the_bounds_of_an_importance_ratio_follow_what_they_bound() -> None:
    assert a_grpo().importance_bounds[1] == 2.0
    assert a_grpo(importance="sequence_mask").importance_bounds == (0.999, 1.001)
    assert a_grpo(importance="sequence_ratio").importance_bounds == (0.0, 3.0)
    assert a_grpo(importance="sequence_mask", importance_floor=0.5, importance_cap=2).importance_bounds == (0.5, 2.0)


def test_measures_are_needed_only_where_something_reads_them() -> None:
    assert not a_grpo().needs_measuring
    assert a_grpo(mini_batches=2).needs_measuring
    assert a_grpo(epochs=2).needs_measuring
    assert a_grpo(kl="reward").needs_measuring
    assert a_ppo().needs_measuring
    assert not an_algorithm(name="sft", mini_batches=2).needs_measuring


def test_only_baselines_of_siblings_need_rewards_that_differ() -> None:
    assert a_grpo().has_group_baseline
    assert a_grpo(advantage="leave_one_out").has_group_baseline
    assert not a_grpo(advantage="reinforce++").has_group_baseline
    assert not a_ppo().has_group_baseline


@pytest.mark.parametrize(
    "values", [{"min_learning_rate": 1e-3}, {"adam_betas": [1.0, 0.9]}, {"learning_rate": float("inf")}]
)
def test_rates_that_can_not_work_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as refused:
        LearnerConfig.model_validate(values)
    assert refused.value.error_count() == 1


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"num_ranks": 4, "sequence_parallel_size": 3}, "learner.sequence_parallel_size"),
        ({"num_ranks": 1, "sequence_parallel_size": 2}, "learner.sequence_parallel_size"),
        ({"num_ranks": 4, "sequence_parallel_size": 2, "attention": "sdpa"}, "learner.attention"),
    ],
)
def test_rows_that_can_not_be_split_are_refused(values: dict[str, object], key: str) -> None:
    with pytest.raises(ValidationError) as refused:
        LearnerConfig.model_validate(values)
    assert refused_key(refused.value) == key


def test_ranks_that_split_rows_count_as_one_for_the_batch() -> None:
    assert LearnerConfig(num_ranks=6).data_parallel_size == 6
    assert LearnerConfig(num_ranks=6, sequence_parallel_size=2).data_parallel_size == 3
    assert LearnerConfig(num_ranks=6, sequence_parallel_size=6).data_parallel_size == 1


def test_adapters_of_a_rank_that_vllm_does_not_apply_must_be_merged() -> None:
    with refused_by_config("learner.lora.rank"):
        a_config(learner={"lora": {"rank": 513}})
    assert a_config(learner={"lora": {"rank": 513}}, weights={"lora": "merged"}).learner.lora is not None
    assert a_config(learner={"lora": {"rank": 512}}).learner.lora is not None
