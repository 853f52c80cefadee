"""Test what is said about groups that are not learned from, and with which key to change."""

import re

import pytest

from contracts.config.keys import keys
from driver.outcome.learning_signal import Cause, learning_signal
from driver.tracking.step_metrics import reason_name
from rewards.reward import NO_REFERENCE, NO_REFERENCE_ANSWER, SEVERAL_ANSWERS, TEXT_ANSWER

NOTHING = {"group/used": 0.0, "group/dropped_no_signal": 0.0, "group/dropped_unscored": 0.0}


def causes(*steps: dict[str, float]) -> tuple[Cause, ...]:
    return learning_signal([{**NOTHING, **step} for step in steps]).causes


def named_keys(advice: str) -> set[str]:
    return set(re.findall(r"[a-z]+\.[a-z_.]+[a-z]", advice)) - {"events.jsonl"}


def test_groups_are_counted_over_the_steps() -> None:
    steps = [
        {**NOTHING, "group/used": 2.0, "group/dropped_no_signal": 4.0, "policy/loss": 0.1},
        {**NOTHING, "group/used": 1.0, "group/dropped_too_stale": 5.0, "policy/loss": 0.1},
    ]
    signal = learning_signal(steps)
    assert (signal.num_steps, signal.num_groups, signal.num_used) == (2, 12, 3)
    assert [cause.num_groups for cause in signal.causes] == [5, 4]
    assert (signal.has_learned, signal.is_weak) == (True, True)


def test_half_of_the_groups_is_enough() -> None:
    signal = learning_signal([{**NOTHING, "group/used": 2.0, "group/dropped_no_signal": 2.0, "policy/loss": 0.1}])
    assert not signal.is_weak


def test_groups_without_a_score_are_divided_by_the_reasons_of_their_responses() -> None:
    # 24 of 32 responses: 6 of 8 groups.
    found = causes(
        {
            "group/dropped_unscored": 8.0,
            "response/unscored": 32.0,
            "response/unscored_reference_truncated": 24.0,
            "response/unscored_scorer_died": 8.0,
        }
    )
    assert [cause.num_groups for cause in found] == [6, 2]
    assert named_keys(found[0].advice) == {"pivot.max_response_tokens"}


@pytest.mark.parametrize("reason", [NO_REFERENCE, NO_REFERENCE_ANSWER, SEVERAL_ANSWERS, TEXT_ANSWER])
def test_every_fault_of_a_reference_comes_with_a_key(reason: str) -> None:
    (cause,) = causes({"group/dropped_unscored": 1.0, f"response/unscored_{reason_name(reason)}": 4.0})
    assert named_keys(cause.advice)


@pytest.mark.parametrize(
    ("metrics", "key"),
    [
        ({"lang/all/truncated": 0.9, "gate/format/all": 0.0}, "policy.max_response_tokens"),
        ({"lang/all/truncated": 0.1, "gate/format/all": 0.0}, "prompt.num_exemplars"),
        ({"gate/format/all": 0.9, "gate/language/all": 0.02}, "policy.model"),
        ({"gate/format/all": 0.9, "gate/language/all": 0.9, "gate/length/all": 0.0}, "reward.gates.max_length_ratio"),
        ({"gate/format/all": 0.9, "lang/all/agreement": 0.5}, "algorithm.group_size"),
    ],
)
def test_equal_rewards_are_explained_by_what_no_response_meets(metrics: dict[str, float], key: str) -> None:
    (cause,) = causes({"group/dropped_no_signal": 4.0, **metrics})
    assert key in named_keys(cause.advice)


def test_solved_problems_are_not_blamed_on_the_policy() -> None:
    (cause,) = causes({"group/dropped_no_signal": 4.0, "lang/all/agreement": 1.0})
    assert named_keys(cause.advice) == set()


@pytest.mark.parametrize(
    "reason", ["too_stale", "too_long", "bad_prompt", "not_finite", "truncated", "reference_undecided"]
)
def test_every_reason_for_dropping_a_group_comes_with_a_key(reason: str) -> None:
    (cause,) = causes({f"group/dropped_{reason}": 2.0})
    assert named_keys(cause.advice)


def test_every_key_that_is_advised_exists() -> None:
    known = {key.name for key in keys()}
    reasons = [
        "reference_truncated",
        "reference_undecided",
        "too_long",
        "too_stale",
        "bad_prompt",
        "not_finite",
        "truncated",
    ]
    found = [causes({f"group/dropped_{reason}": 1.0})[0] for reason in [*reasons, "no_translation"]]
    found += [
        causes({"group/dropped_no_signal": 1.0, f"gate/{gate}/all": 0.0})[0] for gate in ("format", "length", "empty")
    ]
    assert set().union(*(named_keys(cause.advice) for cause in found)) <= known


def test_nothing_learned_is_said_with_its_reasons() -> None:
    signal = learning_signal(
        [{**NOTHING, "group/dropped_unscored": 6.0, "response/unscored_reference_truncated": 24.0}]
    )
    assert not signal.has_learned
    assert "nothing was learned because" in signal.sentence
    assert signal.causes[0].advice in signal.sentence


def test_steps_without_any_group_are_no_division_by_zero() -> None:
    assert learning_signal([{}]).causes == ()
    assert learning_signal([{}]).is_weak
    assert not learning_signal([]).is_weak
