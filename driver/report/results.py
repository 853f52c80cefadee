"""What the run achieved, from its numbers alone: the verdict line and the tables before and after.

Owns the wording of the verdict and when a difference counts: beyond twice its standard error. Must not know pictures
beyond asking for one.
"""

import math
from collections.abc import Callable, Sequence
from statistics import fmean

from driver.evaluation.measure import PIVOT_LANGUAGE, EvaluationResult, LanguageResult, Overall, standard_error
from driver.names import NOT_MEASURED, language_name, percent, points, signed_points
from driver.report.figures import AFTER, BEFORE, Pair, before_and_after
from driver.report.page import Content, Html, details, element, table
from driver.report.run_record import RunRecord

_CLEAR = 2.0  # standard errors

_Share = Callable[[LanguageResult], float]
_MEASURES: tuple[tuple[str, _Share], ...] = (
    ("Right and in the language", lambda result: result.accuracy_in_language),
    ("Right", lambda result: result.accuracy),
    ("In the language", lambda result: result.language_consistency),
)


def verdict(record: RunRecord) -> str:
    """What changed, in one or two sentences; the strongest that the numbers carry."""
    before, after = record.evaluations.get("before"), record.evaluations.get("after")
    if before is not None and after is not None:
        return _compared(before.accuracy_in_language, after.accuracy_in_language)
    if (result := after or before) is not None:
        moment = "After" if after is not None else "Before"
        return f"{moment} training: {_standing(result.accuracy_in_language)} {_reward_trend(record)}".strip()
    return _reward_trend(record) or "Nothing has been measured yet."


def _compared(before: Overall, after: Overall) -> str:
    if before.others is None or after.others is None:
        return _compared_english(before, after)
    change = after.others - before.others
    error = math.hypot(before.others_error or 0.0, after.others_error or 0.0)
    sentence = (
        f"Right answers in the asked language, mean over the languages other than English: {percent(before.others)} "
        f"before, {percent(after.others)} after ({signed_points(change)} points, standard error {100 * error:.1f}): "
        f"{_judgement(change, error)}."
    )
    if before.gap is None or after.gap is None:
        return sentence
    return f"{sentence} The gap to English went from {points(before.gap)} to {points(after.gap)} points."


def _compared_english(before: Overall, after: Overall) -> str:
    return f"Only English was measured: {percent(before.english)} before, {percent(after.english)} after."


def _standing(overall: Overall) -> str:
    shares = [f"{percent(overall.english)} in English"] if overall.english is not None else []
    if overall.others is not None:
        shares.append(f"{percent(overall.others)} in the other languages on average")
    return f"{' and '.join(shares)} of the answers are right and in the asked language."


def _reward_trend(record: RunRecord) -> str:
    """First against last tenth of the steps; no claim from fewer than four steps."""
    rewards = [step.metrics["reward/mean"] for step in record.steps if "reward/mean" in step.metrics]
    if len(rewards) < 4:
        return ""
    size = max(2, len(rewards) // 10)
    first, last = fmean(rewards[:size]), fmean(rewards[-size:])
    return f"Mean reward of the first {size} steps: {first:.3f}; of the last {size}: {last:.3f}."


def _judgement(change: float, error: float) -> str:
    if abs(change) <= _CLEAR * error or change == 0:
        return "no clear change"
    return "a clear gain" if change > 0 else "a clear loss"


def status(record: RunRecord) -> str:
    """How far the run came, and how it ended where the summary says so."""
    planned = record.setting("algorithm", "steps")
    of_all = f" of {planned}" if isinstance(planned, int) else ""
    ended = record.summary.get("status")
    ending = f"; {ended}" if isinstance(ended, str) else "" if record.summary else "; no summary yet"
    return f"{record.num_steps}{of_all} steps done{ending}."


def results_section(record: RunRecord) -> list[Html]:
    """Picture and tables of the evaluations; nothing when none was made."""
    if not record.evaluations:
        return []
    before, after = record.evaluations.get("before"), record.evaluations.get("after")
    codes = list(dict.fromkeys(found.language for result in record.evaluations.values() for found in result.languages))
    return [
        element("h2", "Before and after"),
        *_measured_on(record),
        _picture(codes, before, after),
        _shares_table(codes, before, after),
        element(
            "p",
            "Right: the final answer equals the known one (accuracy). In the language: the response is in the asked "
            "language (language consistency). Changes are in points, "
            "coloured where they exceed twice their standard error. The mean is over the languages other than English; "
            "the gap is English less that mean.",
            class_="soft small",
        ),
        details("Length, declared answers, cut-off responses", _habits_table(codes, before, after)),
    ]


def _measured_on(record: RunRecord) -> list[Html]:
    lines = []
    for moment, result in record.evaluations.items():
        items = sorted({found.num_items for found in result.languages})
        counts = f"{items[0]}" if len(items) == 1 else f"{items[0]} to {items[-1]}"
        settings = "".join(f"; {name} {value}" for name, value in result.measured_on.items())
        lines.append(element("p", f"{moment.capitalize()}: {counts} items a language{settings}.", class_="soft small"))
    return lines


def _of(result: EvaluationResult | None, code: str) -> LanguageResult | None:
    found = [language for language in result.languages if language.language == code] if result is not None else []
    return found[0] if found else None


def _picture(codes: Sequence[str], before: EvaluationResult | None, after: EvaluationResult | None) -> Html:
    pairs = []
    for code in codes:
        old, new = _of(before, code), _of(after, code)
        pairs.append(
            Pair(
                label=language_name(code),
                before=old.accuracy_in_language if old else None,
                after=new.accuracy_in_language if new else None,
            )
        )
    shades = ((BEFORE, "before", before), (AFTER, "after", after))
    keys = [
        element("li", element("i", style=f"background:{shade}"), moment) for shade, moment, result in shades if result
    ]
    caption = element("figcaption", "Right and in the asked language")
    picture = before_and_after(pairs, alt="share of responses that are right and in the language, before and after")
    return element("figure", caption, element("ul", keys, class_="legend"), picture, class_="wide")


def _shares_table(codes: Sequence[str], before: EvaluationResult | None, after: EvaluationResult | None) -> Html:
    over = [element("th", ""), *(element("th", name, colspan=3) for name, _ in _MEASURES)]
    under = [element("th", "Language")] + [element("th", text) for text in ("before", "after", "change") * 3]
    rows = []
    for code in codes:
        old, new = _of(before, code), _of(after, code)
        cells = [_share_cells(old, new, share) for _, share in _MEASURES]
        rows.append(element("tr", element("td", language_name(code)), cells))
    rows += _overall_rows(before, after)
    return table(rows, head=[element("tr", over, class_="over"), element("tr", under)])


def _share_cells(old: LanguageResult | None, new: LanguageResult | None, share: _Share) -> list[Html]:
    was, now = share(old) if old else None, share(new) if new else None
    error = math.hypot(*(standard_error(share(found), found.num_items) for found in (old, new) if found))
    return _three_cells(was, now, error=error)


def _three_cells(was: float | None, now: float | None, *, error: float | None, is_gap: bool = False) -> list[Html]:
    write = (lambda value: points(value) if value is not None else NOT_MEASURED) if is_gap else percent
    change, kind = NOT_MEASURED, ""
    if was is not None and now is not None:
        change = signed_points(now - was)
        if error is not None and abs(now - was) > _CLEAR * error and now != was:
            kind = "better" if now > was else "worse"
    return [element("td", write(was)), element("td", write(now)), element("td", change, class_=kind)]


def _overall_rows(before: EvaluationResult | None, after: EvaluationResult | None) -> list[Html]:
    """The mean over the other languages, and English's lead; language consistency has no English to lead it."""
    results = (before, after)
    accuracy = [result.accuracy if result else None for result in results]
    both = [result.accuracy_in_language if result else None for result in results]
    consistency = [_mean_consistency(result) for result in results]
    no_cells = _three_cells(None, None, error=None)
    mean_cells = [_mean_cells(*both), _mean_cells(*accuracy), _three_cells(*consistency, error=None)]
    gap_cells = [_gap_cells(*both), _gap_cells(*accuracy), no_cells]
    return [
        element("tr", element("td", "Mean"), mean_cells, class_="total first"),
        element("tr", element("td", "Gap to English"), gap_cells, class_="total"),
    ]


def _mean_consistency(result: EvaluationResult | None) -> float | None:
    languages = result.languages if result else ()
    found = [language.language_consistency for language in languages if language.language != PIVOT_LANGUAGE]
    return fmean(found) if found else None


def _mean_cells(old: Overall | None, new: Overall | None) -> list[Html]:
    errors = [(overall.others_error or 0.0) for overall in (old, new) if overall]
    return _three_cells(old.others if old else None, new.others if new else None, error=math.hypot(*errors))


def _gap_cells(old: Overall | None, new: Overall | None) -> list[Html]:
    return _three_cells(old.gap if old else None, new.gap if new else None, error=None, is_gap=True)


def _habits_table(codes: Sequence[str], before: EvaluationResult | None, after: EvaluationResult | None) -> Html:
    over = [element("th", "")] + [element("th", name, colspan=2) for name in ("Tokens", "Declared", "Cut off")]
    under = [element("th", "Language")] + [element("th", text) for text in ("before", "after") * 3]
    rows = []
    for code in codes:
        found = (_of(before, code), _of(after, code))
        cells: list[Content] = [
            *(f"{result.mean_length:.0f}" if result else NOT_MEASURED for result in found),
            *(percent(result.declared_rate if result else None) for result in found),
            *(percent(result.truncated_rate if result else None) for result in found),
        ]
        rows.append(element("tr", element("td", language_name(code)), [element("td", cell) for cell in cells]))
    return table(rows, head=[element("tr", over, class_="over"), element("tr", under)])
