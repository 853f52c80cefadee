"""Say from a run's metrics how much of it was learned from, and why the rest was not: with the key to change.

Pure: the console, the summary and report.html all say the same.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

Metrics = Mapping[str, float]

_DROPPED, _UNSCORED = "group/dropped_", "response/unscored_"
NEVER = 0.05
"""A condition that at most this share of the responses meets counts as never met."""
MOSTLY = 0.5
"""Where more than this share of the responses is cut off, that is the reason for what else is missing in them."""

_ADVICE: Mapping[str, tuple[str, str]] = {
    "reference_truncated": ("the reference was cut off", "raise pivot.max_response_tokens"),
    "reference_undecided": (
        "the pivot did not agree on an answer",
        "lower pivot.min_agreement, or take a better pivot",
    ),
    "reference_empty": ("the reference is empty", "take a better pivot.model"),
    "the_reference_is_empty": ("the reference is empty", "take a better pivot.model"),
    "the_reference_declares_no_final_answer": (
        "the reference declares no answer",
        "raise pivot.num_exemplars, or take a better pivot.model",
    ),
    "the_reference_declares_several_answers_at_once": (
        "the reference declares several answers",
        "raise pivot.num_exemplars, or take a better pivot.model",
    ),
    "the_reference_s_answer_is_neither_number_option_nor_formula": (
        "the reference's answer is in words",
        "set reward.unparsed_answers to comet",
    ),
    "custom_reward_failed": ("your own reward failed", "see events.jsonl"),
    "truncated": ("all responses were cut off", "raise policy.max_response_tokens"),
    "too_long": ("they are longer than a row", "raise learner.row_tokens, or lower policy.max_response_tokens"),
    "too_stale": ("they were drawn by weights that are too old", "raise algorithm.max_staleness"),
    "bad_prompt": ("the prompt is too long", "raise policy.max_model_len and pivot.max_model_len"),
    "not_finite": ("the loss was not finite", "lower learner.learning_rate"),
    "no_translation": ("the data has no translation of them", "set algorithm.sft_target to pivot"),
    "finished": ("they were learned from already", "nothing needs to be changed"),
}
"""Reason of a dropped group, or of a response without a score -> what happened, and what to do."""
_GATES: Mapping[str, tuple[str, str]] = {
    "format": (
        "no response declares its answer",
        "raise prompt.num_exemplars, or start from a model that follows the format",
    ),
    "language": (
        "no response is in the asked language",
        "raise prompt.num_exemplars, or start from another policy.model",
    ),
    "answer_language": (
        "no answer is declared in the asked language",
        "raise prompt.num_exemplars, or start from another policy.model",
    ),
    "empty": ("no response has any reasoning", "raise prompt.num_exemplars"),
    "repetition": ("every response repeats itself", "start from another policy.model"),
    "copying": ("every response copies its question", "raise prompt.num_exemplars"),
    "length": ("no response is about as long as its reference", "raise reward.gates.max_length_ratio"),
}
"""Gate that is never open -> what that means, and what to do; the first ones explain the others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """Say why some groups were not learned from."""

    what: str
    advice: str
    num_groups: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningSignal:
    """Hold what became of the groups of some steps."""

    num_steps: int
    num_groups: int
    num_used: int
    has_learned: bool  # an optimiser step was taken
    causes: tuple[Cause, ...]  # of the groups that were not learned from, the most frequent first

    @property
    def is_weak(self) -> bool:
        """Return whether less than half of the groups were learned from."""
        return self.num_steps > 0 and (not self.has_learned or 2 * self.num_used < self.num_groups)

    @property
    def sentence(self) -> str:
        """Return how much was learned from, and why not more."""
        if not self.has_learned:
            return f"nothing was learned because {self._reasons() or 'no step had a sample to learn from'}"
        learned = f"{self.num_used} of {self.num_groups} groups were learned from"
        return f"{learned}; the others: {reasons}" if (reasons := self._reasons()) else learned

    def _reasons(self) -> str:
        total = sum(cause.num_groups for cause in self.causes)
        return ", and ".join(
            f"{_part(cause.num_groups / total)} {cause.what} ({cause.advice})" for cause in self.causes
        )


def _part(share: float) -> str:
    return "in all groups" if share == 1 else f"in {share:.0%} of the groups"


def learning_signal(steps: Sequence[Metrics]) -> LearningSignal:
    """Return what became of the groups of these steps, from the metrics of each."""
    totals: Counter[str] = Counter()
    for step in steps:
        totals.update({name: value for name, value in step.items() if name.startswith(("group/", "response/"))})
    dropped = {name.removeprefix(_DROPPED): num for name, num in totals.items() if name.startswith(_DROPPED) and num}
    num_used = totals["group/used"]
    causes = [
        cause
        for reason, num in dropped.items()
        for cause in (_unscored(totals, num) if reason == "unscored" else [_cause(reason, num, steps)])
    ]
    return LearningSignal(
        num_steps=len(steps),
        num_groups=round(num_used + sum(dropped.values())),
        num_used=round(num_used),
        has_learned=any("policy/loss" in step for step in steps),
        causes=tuple(sorted(causes, key=lambda cause: -cause.num_groups)),
    )


def _unscored(totals: Mapping[str, float], num_groups: float) -> list[Cause]:
    """Divide the groups without a score by the reasons of their responses."""
    reasons = {name.removeprefix(_UNSCORED): num for name, num in totals.items() if name.startswith(_UNSCORED)}
    total = sum(reasons.values())
    if not total:
        return [_named("unscored", num_groups)]
    return [_named(reason, num_groups * num / total) for reason, num in reasons.items() if num]


def _cause(reason: str, num_groups: float, steps: Sequence[Metrics]) -> Cause:
    if reason != "no_signal":
        return _named(reason, num_groups)
    what, advice = _why_equal(steps)
    return Cause(what=f"all responses earned the same: {what}", advice=advice, num_groups=num_groups)


def _named(reason: str, num_groups: float) -> Cause:
    otherwise = (f"no reward was given: {reason.replace('_', ' ')}", "see events.jsonl and logs/")
    what, advice = _ADVICE.get(reason, otherwise)
    return Cause(what=what, advice=advice, num_groups=num_groups)


def _why_equal(steps: Sequence[Metrics]) -> tuple[str, str]:
    """Return why the responses of a group earn the same, from what is true of nearly all responses."""
    if (cut_off := _mean(steps, "lang/all/truncated")) is not None and cut_off > MOSTLY:
        return f"{cut_off:.0%} of them are cut off", "raise policy.max_response_tokens"
    for gate, found in _GATES.items():
        if (is_open := _mean(steps, f"gate/{gate}/all")) is not None and is_open <= NEVER:
            return found
    if (agreement := _mean(steps, "lang/all/agreement")) is not None and agreement >= 1 - NEVER:
        return "all are right", "take harder problems"
    return (
        "none is better than the others",
        "raise algorithm.group_size, or take easier problems or a better policy.model",
    )


def _mean(steps: Sequence[Metrics], name: str) -> float | None:
    values = [step[name] for step in steps if name in step]
    return fmean(values) if values else None
