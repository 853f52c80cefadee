"""Test what raw values are worth: the fit, the scale, and its file."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from contracts.rollouts import ParallelSolution
from rewards.calibration import (
    FAITHFUL_EARNS,
    Calibration,
    LanguageScale,
    LinearScale,
    Spread,
    calibration_pairs,
    earned,
    fit,
    from_json,
)
from tests.refusals import raised

SPREAD = Spread(mean=0.9, sd=0.01, num=8)


def scale(floor: float, half: float, half_over_question: float = 0.05) -> LanguageScale:
    return LanguageScale(
        floor=floor,
        half=half,
        half_over_question=half_over_question,
        faithful=SPREAD,
        question=SPREAD,
        unrelated=SPREAD,
    )


CALIBRATION = Calibration(
    similarity="fingerprint",
    data="data",
    languages={"de": scale(0.8, 0.1), "th": scale(0.7, 0.1, half_over_question=0.02)},
)


def solutions(num: int, languages: Sequence[str] = ("de",)) -> list[ParallelSolution]:
    return [
        ParallelSolution(
            item_id=f"item-{number}",
            language=language,
            question=f"Frage {number}?",
            solution=f"Rechnung {number}.\nDie Antwort lautet {number}.",
            question_en=f"Question {number}?",
            solution_en=f"Reckoning {number}.\nThe answer is {number}.",
        )
        for number in range(num)
        for language in languages
    ]


def test_nothing_below_zero_a_half_at_half_and_never_all() -> None:
    """d² / (d² + h²) at d = -1, 0, h, 2h, 3h: 0, 0, 1/2, 4/5, 9/10."""
    above = np.array([-1.0, 0.0, 0.1, 0.2, 0.3])
    assert earned(above, 0.1) == pytest.approx([0.0, 0.0, 0.5, 0.8, 0.9])


def test_each_language_has_its_own_zero_and_half() -> None:
    values = CALIBRATION.rescale(np.array([0.9, 0.9]), ["de", "th"])
    assert values == pytest.approx([0.5, 0.8])


def test_question_s_own_value_is_zero_where_it_is_given() -> None:
    """0.9 is 0.05 above its question's 0.85, and 0.02 below half of it in Thai: 4/5 at twice the half."""
    values = CALIBRATION.rescale(np.array([0.9, 0.89, 0.8]), ["de", "th", "de"], baselines=np.array([0.85, 0.85, 0.85]))
    assert values == pytest.approx([0.5, 0.8, 0.0])


def test_value_or_baseline_that_is_not_a_number_stays_none() -> None:
    values = CALIBRATION.rescale(np.array([math.nan, 0.9]), ["de", "de"])
    assert math.isnan(values[0]) and values[1] == pytest.approx(0.5)
    assert np.isnan(CALIBRATION.rescale(np.array([0.9]), ["de"], baselines=np.array([math.nan]))).all()


def test_a_language_that_was_not_measured_is_refused() -> None:
    with raised(ValueError, " sw;", " de, th."):
        CALIBRATION.rescale(np.array([0.9]), ["sw"])


def test_linear_scale_is_a_line_cut_at_both_ends() -> None:
    values = LinearScale(0.8, 0.9).rescale(np.array([0.7, 0.85, 0.95, math.nan]), ["de"] * 4)
    assert values[:3] == pytest.approx([0.0, 0.5, 1.0])
    assert math.isnan(values[3])


def test_linear_scale_begins_at_the_question_where_that_is_above_low() -> None:
    baselines = np.array([0.85, 0.5, 0.95])
    values = LinearScale(0.8, 0.9).rescale(np.array([0.875, 0.85, 0.94]), ["de"] * 3, baselines=baselines)
    assert values == pytest.approx([0.5, 0.5, 0.0])


def test_linear_scale_needs_low_below_high() -> None:
    with raised(ValueError, "low 0.9", "high 0.9"):
        LinearScale(0.9, 0.9)


def test_pairs_are_the_solution_its_question_and_the_next_problem_s_solution_of_the_language() -> None:
    pairs = calibration_pairs(solutions(3, ("de", "fr")))
    assert len(pairs) == 18
    german = [pair for pair in pairs if pair.language == "de"]
    assert [pair.reasoning for pair in german[:3]] == ["Rechnung 0.", "Frage 0?", "Rechnung 1."]
    assert [pair.reasoning for pair in german[6:]] == ["Rechnung 2.", "Frage 2?", "Rechnung 0."]
    assert {pair.reference for pair in german[:3]} == {"Reckoning 0."}
    assert {pair.question for pair in german[:3]} == {"Frage 0?"}


def raw(num: int, *, faithful: float, question: float, seed: int = 0, sd: float = 0.01) -> list[float]:
    random = np.random.default_rng(seed)
    rows = np.stack([random.normal(mean, sd, num) for mean in (faithful, question, question - 0.05)], axis=1)
    return rows.ravel().tolist()


def test_faithful_solutions_earn_the_same_in_every_language_and_the_question_nothing() -> None:
    """One language lies 0.1 higher than the other and spreads twice as wide."""
    values = {"de": raw(50, faithful=0.95, question=0.88), "th": raw(50, faithful=0.86, question=0.78, sd=0.02, seed=1)}
    items = [item for language in values for item in solutions(50, (language,))]
    fitted = fit(items, [*values["de"], *values["th"]], similarity="j", data="d")
    for language, rows in values.items():
        table = np.array(rows).reshape(50, 3)
        codes = [language] * 50
        assert fitted.rescale(table[:, 0], codes).mean() == pytest.approx(FAITHFUL_EARNS["language"], abs=1e-6)
        by_question = fitted.rescale(table[:, 0], codes, baselines=table[:, 1])
        assert by_question.mean() == pytest.approx(FAITHFUL_EARNS["question"], abs=1e-6)
        assert fitted.rescale(table[:, 1], codes, baselines=table[:, 1]) == pytest.approx(np.zeros(50))
        assert fitted.languages[language].floor == pytest.approx(table[:, 1].mean())
        assert fitted.languages[language].unrelated.num == 50


def test_values_that_are_not_finite_are_left_out_of_the_fit() -> None:
    values = raw(10, faithful=0.95, question=0.88)
    values[0] = math.nan
    values[4] = math.inf
    fitted = fit(solutions(10), values, similarity="j", data="d")
    assert fitted.languages["de"].faithful.num == 8


def test_too_few_values_are_refused() -> None:
    with raised(ValueError, "'de'", " 7 of 7 ", " 8 "):
        fit(solutions(7), raw(7, faithful=0.95, question=0.88), similarity="j", data="d")


def test_a_similarity_that_sees_no_difference_is_refused() -> None:
    with raised(ValueError, "'de'", " of 40 ", "reward.reasoning.calibration"):
        fit(solutions(40), raw(40, faithful=0.88, question=0.88), similarity="j", data="d")


def test_values_must_be_three_for_each_solution() -> None:
    with raised(ValueError, "25 values", " 8 "):
        fit(solutions(8), [0.0] * 25, similarity="j", data="d")


def test_json_gives_the_same_calibration_back() -> None:
    fitted = fit(solutions(9), raw(9, faithful=0.95, question=0.88), similarity="j", data="d")
    assert from_json(fitted.to_json()) == fitted


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "{}",
        lambda text: text.replace('"version": 1', '"version": 2'),
        lambda text: text.replace('"floor": 0.8', '"floor": "high"'),
        lambda text: text.replace('"half": 0.1', '"half": 0'),
        lambda text: text.replace('"half": 0.1', '"half": NaN'),
        lambda text: text.replace('"faithful"', '"true"'),
        lambda text: text.replace('"languages": {', '"languages": 3, "rest": {'),
    ],
)
def test_a_damaged_file_is_refused_with_the_command_that_writes_it(damage: Callable[[str], str]) -> None:
    text = CALIBRATION.to_json()
    assert from_json(text) == CALIBRATION
    assert damage(text) != text
    with raised(ValueError, "`calibrate`"):
        from_json(damage(text))


@pytest.mark.parametrize(("below", "is_fitted"), [(9, True), (10, True), (11, False)])
def test_three_quarters_of_the_solutions_lie_above_their_question(below: int, is_fitted: bool) -> None:
    # Of forty solutions so many are no closer than the question alone.
    values = [value for index in range(40) for value in (0.5 if index < below else 0.9, 0.6, 0.1)]
    if is_fitted:
        assert fit(solutions(40), values, similarity="j", data="d").languages["de"].faithful.num == 40
    else:
        with raised(ValueError, "'de'", f" {40 - below} of 40 "):
            fit(solutions(40), values, similarity="j", data="d")


def test_faithful_solutions_earn_what_the_documentation_says() -> None:
    assert FAITHFUL_EARNS == {"language": 0.91, "question": 0.80}


def test_a_solution_as_close_as_its_question_does_not_count_as_closer() -> None:
    # Two of ten lie below the question, and one is exactly as close.
    values = [value for index in range(10) for value in ((0.25, 0.25, 0.5, *[0.75] * 7)[index], 0.5, 0.125)]
    with raised(ValueError, "'de'", " 7 of 10 "):
        fit(solutions(10), values, similarity="j", data="d")


def test_a_file_without_an_entry_is_refused_with_the_name_of_the_entry() -> None:
    with raised(ValueError, "'judge'"):
        from_json(CALIBRATION.to_json().replace('"judge"', '"other"'))
