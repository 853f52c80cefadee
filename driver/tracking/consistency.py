"""Does the policy still answer in the language that it is asked in? Ends a run that no longer does.

Owns what counts as "in the asked language" and the window over which that is watched. Knows scores; must not know how a
language is told (rewards/gates/language.py).
"""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

from contracts.errors import RunFailed
from contracts.rollouts import Score, ScoredGroup, Unscored

LANGUAGE_GATES = ("language", "answer_language")


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageCounts:
    """The scored responses of one step by language, and how many of them are in it."""

    in_language: Counter[str]
    scored: Counter[str]


class ConsistencyWatch:
    """Fails a run whose responses in some language, over the last `steps` steps, are hardly ever in that language."""

    def __init__(self, *, floor: float, steps: int) -> None:
        """`floor` is the least share, in [0, 1]; 0 never fails a run. Nothing is judged before `steps` were seen."""
        self._floor = floor
        self._window: deque[LanguageCounts] = deque(maxlen=steps)

    def see(self, step: LanguageCounts) -> None:
        """One more step.

        Raises:
            RunFailed: a language is under the floor; the message says which, and what to do.
        """
        self._window.append(step)
        if len(self._window) < (self._window.maxlen or 0):
            return
        in_language = sum((seen.in_language for seen in self._window), Counter())
        scored = sum((seen.scored for seen in self._window), Counter())
        shares = {language: in_language[language] / num for language, num in scored.items() if num}
        low = {language: share for language, share in sorted(shares.items()) if share < self._floor}
        if low:
            told = ", ".join(f"{language}: {share:.1%} of {scored[language]}" for language, share in low.items())
            raise RunFailed(
                f"too few responses are in the language that was asked for ({told} in the last {len(self._window)} "
                f"steps; reward.consistency_floor is {self._floor:.1%}). Start from a model that answers in it, show "
                "it more exemplars (prompt.num_exemplars), or set reward.consistency_floor = 0 to go on all the same"
            )


def count_languages(groups: Iterable[ScoredGroup]) -> LanguageCounts:
    """Unscored responses, and scores without a language gate, are not counted."""
    in_language: Counter[str] = Counter()
    scored: Counter[str] = Counter()
    for group in groups:
        judged = [is_in for score in group.scores if (is_in := is_in_language(score)) is not None]
        in_language[group.group.problem.language] += sum(judged)
        scored[group.group.problem.language] += len(judged)
    return LanguageCounts(in_language=in_language, scored=scored)


def is_in_language(score: Score | Unscored) -> bool | None:
    """Whether reasoning and answer are in the asked language; None where nobody judged.

    A gate that is switched off is recorded as a part of its name, 1 where it would have been open.
    """
    if isinstance(score, Unscored):
        return None
    opened = [
        bool(recorded[name]) for name in LANGUAGE_GATES for recorded in (score.gates, score.parts) if name in recorded
    ]
    return all(opened) if opened else None
