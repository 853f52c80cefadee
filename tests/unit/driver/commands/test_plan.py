"""Test what `plan` says about a batch."""

from collections.abc import Mapping

from contracts.config.device_defaults import with_device_defaults
from contracts.config.run import Config
from driver.commands.plan import batch_arithmetic
from tests.builders import a_config


def config(**sections: Mapping[str, object]) -> Config:
    base: dict[str, Mapping[str, object]] = {
        "policy": {"model": "policy-model", "num_workers": 2, "num_cpus": 0.5},
        "pivot": {"model": "pivot-model", "num_cpus": 1},
        "scorer": {"model": "scorer-model", "num_cpus": 2.5},
        "learner": {"num_ranks": 4, "num_cpus": 3},
        "algorithm": {"steps": 5, "groups_per_step": 6, "group_size": 4},
    }
    return with_device_defaults(a_config(base, sections), "cpu")


def test_the_plan_does_the_arithmetic_of_a_batch() -> None:
    """6 problems x 4 responses = 24 a step; 24 x 128 new tokens; 24 / 4 ranks; 5 steps."""
    text = "\n".join(batch_arithmetic(config()))
    assert "6 problems x 4 responses = 24 responses, at most 3,072 response tokens" in text
    assert "6 responses per step on each of 4" in text
    assert "120 responses to 30 problems" in text


def test_the_plan_tells_shares_replacements_and_workers_that_may_come() -> None:
    """10 % and 30 % of 0.4; 2 workers of whom 5 may come; 3 replacements."""
    text = "\n".join(
        batch_arithmetic(
            config(
                data={"languages": ["de", "sw"], "shares": [0.1, 0.3]},
                policy={"max_workers": 5},
                algorithm={"max_replacements": 3},
            )
        )
    )
    assert "30 problems in de 25%, sw 75%" in text
    assert "over 2 to 5 policy worker(s); on-policy" in text
    assert text.count("at most 3 more") == 1
