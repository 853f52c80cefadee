"""Test means over seeds, paired differences, and what is not claimed."""

import math
from dataclasses import replace

import pytest

from experiments.comparison import is_clear, mean_of, results_by_arm
from experiments.rows import Row, Shares
from experiments.tables import BEFORE, as_markdown


def shares(both: float) -> Shares:
    return Shares(num_items=10, right=both, consistent=1.0, right_in_language=both, reasoned=both / 2)


def row(arm: str, seed: int, *, english: float, german: float, commit: str = "c1", failure: str = "") -> Row:
    return Row(
        experiment="numbers",
        arm=arm,
        seed=seed,
        commit=commit,
        digest="d",
        machine="m",
        seconds=1,
        failure=failure,
        trained_languages=("de",),
        moments=None if failure else {"after": {"en": shares(english), "de": shares(german), "es": shares(german / 2)}},
    )


def test_a_mean_has_the_standard_error_over_seeds() -> None:
    found = mean_of([0.2, 0.4, 0.6])
    assert (found.value, found.num_seeds) == (pytest.approx(0.4), 3)
    assert found.error == pytest.approx(0.2 / math.sqrt(3))


def test_differences_are_paired_by_seed() -> None:
    seeds = (1, 2, 3)
    rows = [row("pb-rlsvr", seed, english=1, german=0.8 + seed / 100) for seed in seeds]
    rows += [row("answer-only", seed, english=1, german=0.6 + seed / 100) for seed in seeds]
    ours, other = results_by_arm(rows)
    assert ours.difference is None
    assert other.difference is not None
    assert other.difference.value == pytest.approx(-0.2 * 0.75)  # German less 0.2, Spanish less 0.1
    assert other.difference.error == pytest.approx(0, abs=1e-12)
    assert is_clear(other.difference)


def test_spanish_is_unseen_and_the_gap_is_to_english() -> None:
    (found,) = results_by_arm([row("pb-rlsvr", 1, english=1.0, german=0.8)])
    assert found.unseen is not None
    assert found.unseen.value == pytest.approx(0.4)
    assert found.gap.value == pytest.approx(1.0 - 0.6)
    assert found.others["well reasoned"].value == pytest.approx(0.3)


def test_two_seeds_support_no_difference() -> None:
    rows = [row(arm, seed, english=1, german=0.5) for arm in ("pb-rlsvr", "ppo") for seed in (1, 2)]
    assert [result.difference for result in results_by_arm(rows)] == [None, None]
    assert "no claim" in as_markdown(rows)


def test_a_noisy_difference_is_not_clear() -> None:
    assert not is_clear(mean_of([0.0, 0.1, 0.2]))
    assert is_clear(mean_of([0.09, 0.1, 0.11]))


def test_commits_have_tables_of_their_own_and_failures_are_named() -> None:
    rows = [
        row("pb-rlsvr", 1, english=1, german=0.5),
        row("pb-rlsvr", 2, english=1, german=0.9, commit="c2"),
        row("ppo", 1, english=1, german=0.5, commit="c2", failure="exit code 1"),
    ]
    first, second = as_markdown(rows).split("\n\nCommit c2")
    assert first.count("| pb-rlsvr |") == second.count("| pb-rlsvr |") == 1
    assert "ppo, seed 1: exit code 1" in second


def test_the_table_begins_with_the_policy_before_training() -> None:
    trained = row("pb-rlsvr", 1, english=1, german=0.9)
    before = row("pb-rlsvr", 1, english=0.95, german=0.4).moments
    assert trained.moments and before
    table = as_markdown([replace(trained, moments={"before": before["after"], **trained.moments})])
    first, second = [line for line in table.splitlines() if line.startswith(("| (", "| pb"))]
    assert first.startswith(f"| {BEFORE} | 1 | 0.950 |")
    assert second.startswith("| pb-rlsvr | 1 | 1.000 |")
