"""Which choices of learning don't fit together, and what a user is told about it."""

import pytest
from pydantic import ValidationError

from contracts.config.learning import AlgorithmConfig, LearnerConfig


def refusal(**values: object) -> str:
    with pytest.raises(ValidationError) as failure:
        AlgorithmConfig.model_validate({"steps": 1, **values})
    return str(failure.value)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"group_size": 1}, "nothing to compare with; it needs at least 2"),
        ({"group_size": 1, "advantage": "leave_one_out"}, "nothing to compare with; it needs at least 2"),
        ({"name": "ppo"}, "gae and ppo need each other"),
        ({"advantage": "gae"}, "gae and ppo need each other"),
        ({"loss": "gspo"}, "needs algorithm.aggregation \"sequence\", not 'token'"),
        ({"loss": "cispo", "aggregation": "sequence"}, 'needs algorithm.aggregation "token" or "constant"'),
        ({"dual_clip": 0.5}, "must be above 1"),
        ({"dual_clip": 3, "loss": "cispo"}, 'goes with algorithm.loss "ppo_clip"'),
        ({"scale_by_std": True, "advantage": "leave_one_out"}, 'goes with algorithm.advantage "group"'),
        ({"name": "sft", "kl": "loss"}, "imitates references"),
        ({"name": "sft", "dual_clip": 3}, "imitates references"),
        ({"kl_coefficient": float("inf")}, "finite"),
    ],
)
def test_choices_that_do_not_fit_are_refused(values: dict[str, object], told: str) -> None:
    assert told in refusal(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"loss": "gspo", "aggregation": "sequence"},
        {"loss": "cispo", "aggregation": "constant"},
        {"dual_clip": 3},
        {"name": "ppo", "advantage": "gae", "group_size": 1},
        {"advantage": "reinforce++", "group_size": 1},
        {"name": "sft", "group_size": 1},
    ],
)
def test_choices_that_fit_are_taken(values: dict[str, object]) -> None:
    AlgorithmConfig.model_validate({"steps": 1, **values})


def test_a_clip_of_zero_is_the_losss_own() -> None:
    assert AlgorithmConfig(steps=1).clip == (0.2, 0.28)
    assert AlgorithmConfig(steps=1, clip_high=0.5).clip == (0.2, 0.5)
    assert AlgorithmConfig(steps=1, loss="gspo", aggregation="sequence").clip == (3e-4, 4e-4)
    assert AlgorithmConfig(steps=1, loss="cispo").clip == (1.0, 4.0)


def test_measures_are_asked_for_where_something_reads_them() -> None:
    assert not AlgorithmConfig(steps=1).needs_measuring
    assert AlgorithmConfig(steps=1, mini_batches=2).needs_measuring
    assert AlgorithmConfig(steps=1, epochs=2).needs_measuring
    assert AlgorithmConfig(steps=1, kl="reward").needs_measuring
    assert AlgorithmConfig(steps=1, name="ppo", advantage="gae").needs_measuring
    assert not AlgorithmConfig(steps=1, name="sft", mini_batches=2).needs_measuring


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"min_learning_rate": 1e-3}, "is above learner.learning_rate"),
        ({"adam_betas": [1.0, 0.9]}, "less than 1"),
        ({"learning_rate": float("inf")}, "finite"),
    ],
)
def test_rates_that_can_not_work_are_refused(values: dict[str, object], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        LearnerConfig.model_validate(values)
