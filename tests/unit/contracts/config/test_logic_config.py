"""Test which configs can't work with the problems of logic, and that each is refused by the key that is to change."""

import pytest

from contracts.config.data import LogicData
from tests.builders import a_config
from tests.refusals import refused_by_config

LOGIC = {
    "data": {"source": "logic"},
    "evaluation": {"tasks": ["logic"]},
    "reward": {"unparsed_answers": "embedding", "weights": {"answer": 0.6, "reasoning": 0.4, "numbers": 0}},
}
EXACT = {"unparsed_answers": "exact", "weights": {"answer": 0, "reasoning": 1, "numbers": 0}}


@pytest.mark.parametrize("reward", [LOGIC["reward"], EXACT])
def test_answers_are_compared_by_meaning_or_not_paid_for(reward: dict[str, object]) -> None:
    data = a_config(LOGIC, reward=reward).data
    assert isinstance(data, LogicData)
    assert (data.levels, data.split) == ((1, 2, 3), "train")


@pytest.mark.parametrize(
    ("key", "changed"),
    [
        ("reward.unparsed_answers", {"reward": {"unparsed_answers": "unscored"}}),
        ("reward.weights.numbers", {"reward": {"weights": {"answer": 0.5, "reasoning": 0.4, "numbers": 0.1}}}),
        ("reward.weights.numbers", {"reward": {"schedule": [{"step": 0}]}}),
        ("reward.weights.answer", {"reward": {"unparsed_answers": "exact"}}),
        ("reward.combine", {"reward": EXACT | {"combine": "answer_gated"}}),
        ("data.curriculum", {"reward": EXACT, "data": {"curriculum": "success_rate"}}),
        ("prompt.closing", {"prompt": {"closing": "boxed"}}),
        ("evaluation.tasks", {"evaluation": {"tasks": []}}),
        ("reward.answer_low", {"reward": {"answer_low": 0.95}}),
    ],
)
def test_what_cant_work_is_refused(key: str, changed: dict[str, dict[str, object]]) -> None:
    with refused_by_config(key):
        a_config(LOGIC, changed)


def test_a_run_without_a_reward_or_an_evaluation_needs_neither() -> None:
    off = {"tasks": [], "before": False, "after": False}
    config = a_config(data={"source": "logic"}, evaluation=off, algorithm={"name": "sft", "steps": 1})
    assert isinstance(config.data, LogicData)
