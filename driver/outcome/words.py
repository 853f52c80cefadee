"""Put what a run changed into sentences: the strongest claims that the numbers support."""

from dataclasses import dataclass

from driver.evaluation.intervals import Interval
from driver.evaluation.measured import BOTH
from driver.evaluation.results import Moment
from driver.names import language_name, percent, points, signed_points
from driver.outcome.changes import Change, TaskChanges
from rewards.reading import PIVOT_LANGUAGE

NOISE = "not told apart from noise"


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """Hold one sentence; `tone` is "better", "worse" or empty."""

    text: str
    tone: str = ""


def moment_name(moment: Moment) -> str:
    """Return a moment as a reader calls it: "before", "after", "step 40"."""
    return moment.replace("step-", "step ")


def statements(task: TaskChanges) -> list[Statement]:
    """Return what happened on a task: on average, to the gap, and in which languages."""
    if task.first is None or task.last is None:
        return [_measured_once(task)]
    found = [_mean(task), _gap(task), _languages(task)]
    return [statement for statement in found if statement is not None]


def gap_in_short(task: TaskChanges) -> str:
    """Return the last gap to English that was measured: "gap 12.5"; empty where there is none."""
    change = task.gap.get(task.main)
    found = change and (change.after or change.before)
    return f"gap {points(found.value)}" if found else ""


def interval_text(interval: Interval) -> str:
    """Return the 95% interval of a share: "3.5% to 36.0%"."""
    return f"{percent(interval.low)} to {percent(interval.high)}"


def difference_text(difference: Interval) -> str:
    """Return a difference in percentage points with its 95% interval: "+12.5 points, 95% interval +3.1 to +21.9"."""
    limits = f"{signed_points(difference.low)} to {signed_points(difference.high)}"
    return f"{signed_points(difference.value)} points, 95% interval {limits}"


def judgement(change: Change, *, lower_is_better: bool = False) -> Statement:
    """Return the difference in words."""
    if change.difference is None or not change.is_clear:
        return Statement(text=NOISE)
    rises = change.difference.value > 0
    return Statement(
        text="a clear rise" if rises else "a clear fall", tone="better" if rises != lower_is_better else "worse"
    )


def _right(task: TaskChanges) -> str:
    return "Right answers in the asked language" if task.main == BOTH else "Right answers"


def _others(task: TaskChanges) -> str:
    codes = [language.code for language in task.languages if language.code != PIVOT_LANGUAGE]
    return language_name(codes[0]) if len(codes) == 1 else f"mean over {len(codes)} languages other than English"


def _mean(task: TaskChanges) -> Statement | None:
    change = task.mean.get(task.main)
    if change is None or change.before is None or change.after is None or change.difference is None:
        return _english_only(task)
    judged = judgement(change)
    return Statement(
        text=f"{_right(task)}, {_others(task)}: {percent(change.before.value)} {_at(task.first)}, "
        f"{percent(change.after.value)} {_at(task.last)} ({difference_text(change.difference)}): {judged.text}.",
        tone=judged.tone,
    )


def _at(moment: Moment | None) -> str:
    name = moment_name(moment or "")
    return name if name in ("before", "after") else f"after {name}"


def _english_only(task: TaskChanges) -> Statement | None:
    english = _english(task)
    if english is None or english.before is None or english.after is None:
        return None
    return Statement(
        text=f"Only English was measured: {percent(english.before.value)} {_at(task.first)}, "
        f"{percent(english.after.value)} {_at(task.last)}."
    )


def _english(task: TaskChanges) -> Change | None:
    found = next((language for language in task.languages if language.code == PIVOT_LANGUAGE), None)
    return found.changes[task.main] if found else None


def _gap(task: TaskChanges) -> Statement | None:
    change = task.gap.get(task.main)
    if change is None or change.before is None or change.after is None or change.difference is None:
        return None
    ends = f"from {points(change.before.value)} to {points(change.after.value)} points"
    is_english_ahead = max(change.before.value, change.after.value) > 0  # else there is no gap that narrows
    wider, narrower = ("widened", "narrowed") if is_english_ahead else ("rose", "fell")
    verb = f"{wider if change.difference.value > 0 else narrower} {ends}"
    if not change.difference.value:
        verb = f"stayed at {points(change.after.value)} points"
    judged = judgement(change, lower_is_better=True)
    text = f"The gap to English {verb} ({difference_text(change.difference)})"
    text += ", by more than its error." if judged.tone else f": {NOISE}."
    english = _english(task)
    if english is not None and english.is_clear and english.difference is not None and english.difference.value < 0:
        text += f" English itself fell by {points(-english.difference.value)} points."
    return Statement(text=text, tone=judged.tone)


def _languages(task: TaskChanges) -> Statement | None:
    """Say which languages moved."""
    known = [
        (language_name(language.code), difference, language.changes[task.main].is_clear)
        for language in task.languages
        if (difference := language.changes[task.main].difference) is not None
    ]
    if len(known) < 2:
        return None
    if not any(is_clear for _, _, is_clear in known):
        return Statement(text="No language moved by more than its error.")
    kinds = {
        "Clear gains": [
            f"{name} ({signed_points(by.value)})" for name, by, is_clear in known if is_clear and by.value > 0
        ],
        "Clear losses": [
            f"{name} ({signed_points(by.value)})" for name, by, is_clear in known if is_clear and by.value < 0
        ],
        NOISE.capitalize(): [name for name, _, is_clear in known if not is_clear],
    }
    return Statement(text=" ".join(f"{kind}: {', '.join(names)}." for kind, names in kinds.items() if names))


def _measured_once(task: TaskChanges) -> Statement:
    """Say what was measured at the only moment that there is."""
    moment = task.first or task.last or ""
    when = f"{_at(moment).capitalize()} training" if moment in ("before", "after") else _at(moment).capitalize()
    return Statement(text=f"{when}: {measured_text(task)}")


def measured_text(task: TaskChanges) -> str:
    """Return what was measured at one moment: English, the other languages and the gap, with their intervals."""
    parts = [
        f"{name} {percent(found.value)} ({interval_text(found)})"
        for name, change in (("English", _english(task)), (_others(task), task.mean.get(task.main)))
        if change is not None and (found := change.before or change.after) is not None
    ]
    gap = task.gap.get(task.main)
    if gap is not None and (found := gap.before or gap.after) is not None:
        parts.append(f"gap {points(found.value)} points ({points(found.low)} to {points(found.high)})")
    return f"{_right(task).lower()}: {'; '.join(parts)}. In brackets: 95% intervals."
