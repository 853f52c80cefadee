"""Test that problems that are always or never solved are mostly skipped, and that rates survive a checkpoint."""

import json
from collections.abc import Mapping, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.rollouts import Score, ScoredGroup, Unscored
from driver.problems.curriculum import Curriculum, success_rate
from tests.builders import a_problem, a_score, a_scored_group
from tests.refusals import raised

SIZES = {"de": 5, "th": 40_000}


def curriculum(*, seed: int = 1, low: float = 0.1, high: float = 0.9, keep: float = 0.25) -> Curriculum:
    return Curriculum(SIZES, seed=seed, low=low, high=high, keep=keep)


def drawn(memory: Curriculum, position: int) -> int:
    """Count how many of the first thousand visits to the problem draw it."""
    return sum(memory.keeps("de", position, epoch_index=5 * epoch + position) for epoch in range(1000))


def test_a_problem_that_was_never_seen_is_always_drawn() -> None:
    memory = curriculum()
    memory.saw("de", 3, 0.0)
    assert drawn(memory, 0) == 1000
    assert memory.keeps("th", 39_999, epoch_index=7)


@pytest.mark.parametrize("rate", [0.0, 0.09, 0.91, 1.0])
def test_a_problem_outside_the_bounds_is_drawn_with_the_probability_to_keep_it(rate: float) -> None:
    memory = curriculum(keep=0.25)
    memory.saw("de", 2, rate)
    # 250 are expected, with a standard deviation of 14.
    assert 190 < drawn(memory, 2) < 310


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_a_problem_within_the_bounds_is_always_drawn(rate: float) -> None:
    memory = curriculum()
    memory.saw("de", 2, rate)
    assert drawn(memory, 2) == 1000


def test_only_the_last_rate_counts() -> None:
    memory = curriculum(keep=0.001)
    memory.saw("de", 2, 0.0)
    assert drawn(memory, 2) < 20
    memory.saw("de", 2, 0.5)
    assert drawn(memory, 2) == 1000
    assert memory.last_rate("de", 2) == 0.5


def test_keeping_all_passes_over_nothing() -> None:
    memory = curriculum(keep=1.0)
    memory.saw("de", 2, 0.0)
    assert drawn(memory, 2) == 1000


def test_what_is_passed_over_follows_from_seed_language_and_place_alone() -> None:
    def kept(memory: Curriculum) -> list[bool]:
        memory.saw("de", 0, 0.0)
        return [memory.keeps("de", 0, epoch_index=place) for place in range(200)]

    assert kept(curriculum(seed=1)) == kept(curriculum(seed=1))
    assert kept(curriculum(seed=1)) != kept(curriculum(seed=2))


def test_a_checkpoint_keeps_what_was_seen() -> None:
    memory = curriculum()
    memory.saw("de", 0, 0.0)
    memory.saw("de", 4, 2 / 3)
    memory.saw("th", 39_999, 1.0)
    again = curriculum()
    again.saw("de", 1, 1.0)  # what was seen since is forgotten
    again.restore(json.loads(json.dumps(memory.state())))
    assert [again.last_rate("de", position) for position in range(5)] == [0.0, None, None, None, 0.667]
    assert (again.last_rate("th", 0), again.last_rate("th", 39_999)) == (None, 1.0)
    again.saw("de", 0, 1.0)
    assert again.last_rate("de", 0) == 1.0


@given(rates=st.dictionaries(st.integers(0, 4), st.floats(0, 1)), low=st.floats(0, 0.5), place=st.integers(0, 10**9))
def test_nothing_is_decided_otherwise_after_a_checkpoint(rates: dict[int, float], low: float, place: int) -> None:
    memory, again = curriculum(low=low), curriculum(low=low)
    for position, rate in rates.items():
        memory.saw("de", position, rate)
    again.restore(memory.state())
    for position in range(5):
        assert again.keeps("de", position, epoch_index=place) == memory.keeps("de", position, epoch_index=place)


def test_a_problem_costs_a_checkpoint_less_than_a_byte() -> None:
    memory, random = curriculum(), Random(0)
    for position in range(SIZES["th"]):
        memory.saw("th", position, random.choice([0.0] * 5 + [1.0] * 3 + [eighths / 8 for eighths in range(9)]))
    assert len(json.dumps(memory.state())) < SIZES["th"]


def test_wrong_bounds_and_rates_are_refused() -> None:
    with raised(ValueError, "low 0.9", "high 0.1"):
        curriculum(low=0.9, high=0.1)
    with raised(ValueError, "keep 0"):
        curriculum(keep=0.0)
    for rate in (-0.1, 1.1, float("nan")):
        with raised(ValueError, f"{rate}"):
            curriculum().saw("de", 0, rate)


def scored(scores: Sequence[Score | Unscored]) -> ScoredGroup:
    return a_scored_group(a_problem(), scores)


def score(parts: Mapping[str, float], *, is_open: bool = True) -> Score:
    return a_score(parts=parts, gates={"language": is_open})


def test_the_success_rate_is_the_mean_of_what_was_scored() -> None:
    scores = [score({"answer": 1.0}), score({"answer": 0.0}, is_open=False), score({"answer": 0.5})]
    assert success_rate(scored([*scores, Unscored(reason="scorer timed out")])) == 0.5


def test_a_group_without_a_scored_answer_has_no_success_rate() -> None:
    assert success_rate(scored([Unscored(reason="reference_truncated")] * 2)) is None
    assert success_rate(scored([score({"reasoning": 1.0})])) is None
