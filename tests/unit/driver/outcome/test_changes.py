"""Test what changed between two evaluations: values, intervals, averages, and the words for it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from driver.evaluation.judging import JudgedRow, write_rows
from driver.evaluation.measured import BOTH, IN_LANGUAGE, RIGHT
from driver.evaluation.results import EvaluationResult
from driver.evaluation.summarise import summarise_task
from driver.outcome.changes import TaskChanges, compare_moments, first_and_last, kept_rows
from driver.outcome.words import gap_in_short, statements
from tests.builders import a_judged_row, a_language_result

NUM = 100


def rows(correct: Mapping[str, int], *, task: str = "mgsm") -> list[JudgedRow]:
    """Return NUM items in each language, of which the first ones are right."""
    return [
        a_judged_row(str(item), language, is_correct=item < num_correct, task=task)
        for language, num_correct in correct.items()
        for item in range(NUM)
    ]


def a_result(found: Sequence[JudgedRow]) -> EvaluationResult:
    return summarise_task(found, trained=("de",), weights={}, measured_on={"task": found[0].task})


def changes(before: Mapping[str, int], after: Mapping[str, int], *, with_rows: bool = True) -> TaskChanges:
    kept = {"before": rows(before), "after": rows(after)}
    (task,) = compare_moments({moment: a_result(found) for moment, found in kept.items()}, kept if with_rows else None)
    return task


BEFORE, AFTER = {"en": 80, "de": 20, "sw": 10}, {"en": 80, "de": 50, "sw": 12}


def test_languages_mean_and_gap_have_values_at_both_moments() -> None:
    task = changes(BEFORE, AFTER)
    german = next(found for found in task.languages if found.code == "de").changes[BOTH]
    assert german.before and german.after and german.difference
    assert (german.before.value, german.after.value) == (pytest.approx(0.2), pytest.approx(0.5))
    assert german.difference.value == pytest.approx(0.3)
    mean, gap = task.mean[RIGHT], task.gap[RIGHT]
    assert mean.before and mean.difference and gap.before and gap.difference
    assert (mean.before.value, mean.difference.value) == (pytest.approx(0.15), pytest.approx(0.16))
    assert (gap.before.value, gap.difference.value) == (pytest.approx(0.65), pytest.approx(-0.16))
    assert {average.name for average in task.averages} == {"all", "seen", "unseen"}


def test_the_same_items_make_intervals_narrower_than_numbers_alone() -> None:
    narrow, wide = (changes(BEFORE, AFTER, with_rows=found).gap[BOTH].difference for found in (True, False))
    assert narrow and wide
    assert narrow.high - narrow.low < wide.high - wide.low


def test_a_small_change_is_noise_and_a_large_one_is_clear() -> None:
    found = {language.code: language.changes[BOTH] for language in changes(BEFORE, AFTER, with_rows=False).languages}
    assert (found["de"].is_clear, found["sw"].is_clear, found["sw"].is_unclear) == (True, False, True)


def test_no_right_answer_before_and_after_leaves_room_for_a_change() -> None:
    difference = changes({"en": 0, "de": 0}, {"en": 0, "de": 0}).mean[BOTH].difference
    assert difference is not None
    assert (difference.value, difference.low < 0 < difference.high) == (0, True)


def test_a_language_that_is_never_asked_for_is_not_measured() -> None:
    result = EvaluationResult(languages=(a_language_result("ko", 0.5, is_in_language=None),))
    (task,) = compare_moments({"before": result})
    assert task.main == RIGHT
    assert task.languages[0].changes[BOTH].before is None
    assert task.languages[0].changes[IN_LANGUAGE].before is None


def test_the_earliest_and_the_latest_evaluation_are_compared() -> None:
    assert first_and_last({"step-9": 0, "before": 0, "step-10": 0}) == ("before", "step-10")
    assert first_and_last({"after": 0, "step-10": 0}) == ("step-10", "after")
    assert first_and_last({"before": 0}) == ("before", None)
    assert first_and_last({"step-4": 0}) == (None, "step-4")
    assert first_and_last({}) == (None, None)


def test_responses_that_are_missing_or_damaged_are_left_out(tmp_path: Path) -> None:
    write_rows(tmp_path / "before.parquet", rows({"de": 3}))
    (tmp_path / "after.parquet").write_bytes(b"no Parquet")
    assert set(kept_rows(tmp_path, {"before": 0, "step-2": 0, "after": 0})) == {"before"}


def test_a_mean_that_rises_is_better_and_so_is_a_gap_that_narrows() -> None:
    mean, gap, languages = statements(changes(BEFORE, {"en": 80, "de": 60, "sw": 50}))
    assert (mean.tone, gap.tone) == ("better", "better")
    assert "narrowed" in gap.text
    assert "German" in languages.text
    worse = statements(changes({"en": 80, "de": 60, "sw": 50}, BEFORE))
    assert [found.tone for found in worse[:2]] == ["worse", "worse"]
    assert "widened" in worse[1].text


def test_a_gap_that_narrows_because_english_fell_is_said() -> None:
    gap = statements(changes({"en": 80, "de": 20, "sw": 20}, {"en": 40, "de": 20, "sw": 20}))[1]
    assert gap.tone == "better"
    assert "English itself fell by 40.0 points" in gap.text


def test_a_gap_below_zero_does_not_narrow_as_the_others_get_further_ahead() -> None:
    gap = statements(changes({"en": 20, "de": 30, "sw": 30}, {"en": 20, "de": 60, "sw": 60}))[1]
    assert (gap.tone, "narrowed" in gap.text, "fell from −10.0 to −40.0" in gap.text) == ("better", False, True)


def test_noise_has_no_tone() -> None:
    assert [found.tone for found in statements(changes(BEFORE, BEFORE))] == ["", "", ""]


def test_one_evaluation_alone_is_told_with_its_gap() -> None:
    (task,) = compare_moments({"before": a_result(rows(BEFORE))})
    (statement,) = statements(task)
    assert "80.0% (71.1% to 86.7%)" in statement.text
    assert gap_in_short(task) == "gap 65.0"
