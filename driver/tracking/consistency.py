"""End a run whose policy no longer answers in the language of the problem.

A response is in the language where the language gates say so; how they identify a language is not decided here.
"""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

from contracts.errors import RunFailed
from contracts.rollouts import Score, ScoredGroup, Unscored

LANGUAGE_GATES = ("language", "answer_language")


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageCounts:
    """Hold the scored responses of one step by the problem's language, and how many of them are in it."""

    in_language: Counter[str]
    scored: Counter[str]


class ConsistencyWatch:
    """End a run whose responses to problems in some language are hardly ever in that language."""

    def __init__(self, *, floor: float, steps: int) -> None:
        """Take the least share of responses, in [0, 1] (0 never ends a run), and over how many of the last steps.

        A run is never ended before that many steps were seen.
        """
        self._floor = floor
        self._window: deque[LanguageCounts] = deque(maxlen=steps)

    def see(self, step: LanguageCounts) -> None:
        """Count one more step.

        Raises:
            RunFailed: a language is below the least share; the message says which, and what to do.
        """
        self._window.append(step)
        if len(self._window) < (self._window.maxlen or 0):
            return
        in_language = sum((seen.in_language for seen in self._window), Counter())
        scored = sum((seen.scored for seen in self._window), Counter())
        shares = {language: in_language[language] / num for language, num in scored.items() if num}
        low = {language: share for language, share in sorted(shares.items()) if share < self._floor}
        if low:
            shown = ", ".join(f"{language}: {share:.1%} of {scored[language]}" for language, share in low.items())
            raise RunFailed(
                f"too few responses are in the language of their problem ({shown} in the last {len(self._window)} "
                f"steps; reward.consistency_floor is {self._floor:.1%}). Start from a model that answers in that "
                "language, show it more exemplars (prompt.num_exemplars), or set reward.consistency_floor = 0 to go on "
                "regardless",
                key="reward.consistency_floor",
            )


def count_languages(groups: Iterable[ScoredGroup]) -> LanguageCounts:
    """Count a step's responses; unscored responses, and scores without a language gate, are left out."""
    in_language: Counter[str] = Counter()
    scored: Counter[str] = Counter()
    for group in groups:
        known = [is_in for score in group.scores if (is_in := is_in_language(score)) is not None]
        in_language[group.group.problem.language] += sum(known)
        scored[group.group.problem.language] += len(known)
    return LanguageCounts(in_language=in_language, scored=scored)


def is_in_language(score: Score | Unscored) -> bool | None:
    """Return whether reasoning and answer are in the problem's language; None where no language gate was measured.

    A gate that is switched off is recorded as a component of its name, which is 1 where the gate would have been open.
    """
    if isinstance(score, Unscored):
        return None
    opened = [
        bool(recorded[name]) for name in LANGUAGE_GATES for recorded in (score.gates, score.parts) if name in recorded
    ]
    return all(opened) if opened else None
