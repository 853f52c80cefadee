"""Compute the metrics of a step's responses for each language; "all" stands for all languages together."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

from contracts.rollouts import Rollout, Score, ScoredGroup
from driver.problems.gold import gold_number
from driver.tracking.consistency import is_in_language
from rewards.answers.final import final_answer, has_two_readings, same_answer

ALL_LANGUAGES = "all"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scored:
    """Hold one scored response and what its answer is compared with."""

    score: Score
    gold: str | None
    pivot_answer: str | None

    @property
    def is_correct(self) -> bool:
        return self.score.answer is not None and self.gold is not None and same_answer(self.score.answer, self.gold)

    @property
    def agrees(self) -> bool:
        answer, pivot_answer = self.score.answer, self.pivot_answer
        return answer is not None and pivot_answer is not None and same_answer(answer, pivot_answer)


class _Compared(NamedTuple):
    """Hold a group and its scored responses."""

    group: ScoredGroup
    scored: Sequence[_Scored]


def language_metrics(groups: Iterable[ScoredGroup]) -> dict[str, float]:
    """Return the metrics of each language that has a group, and of all languages together."""
    compared = _compared(groups)
    metrics: dict[str, float] = {}
    for language, of_language in _by_language(compared).items():
        metrics |= _of_language(language, of_language)
    return metrics


def _by_language(groups: Sequence[_Compared]) -> dict[str, list[_Compared]]:
    by_language: dict[str, list[_Compared]] = defaultdict(list)
    for compared in groups:
        by_language[compared.group.group.problem.language].append(compared)
    return {ALL_LANGUAGES: list(groups), **by_language}


def _compared(groups: Iterable[ScoredGroup]) -> list[_Compared]:
    """Pair each group with its scored responses; each reference is read for its answer once, as languages share it."""
    pivot_answers: dict[str, str | None] = {}
    compared: list[_Compared] = []
    for group in groups:
        gold, reference = gold_number(group.group.problem), group.reference
        if reference.text not in pivot_answers:
            pivot_answers[reference.text] = final_answer(reference.text, "en")
        scored = [
            _Scored(score=score, gold=gold, pivot_answer=pivot_answers[reference.text])
            for score in group.scores
            if isinstance(score, Score)
        ]
        compared.append(_Compared(group, scored))
    return compared


def _thinking(language: str, rollouts: Sequence[Rollout]) -> dict[str, list[int]]:
    """Return how much the policy thinks; nothing of a policy that never does."""
    lengths = [rollout.num_thinking_tokens for rollout in rollouts]
    return {f"lang/{language}/thinking_length": lengths} if any(lengths) else {}


def _of_language(language: str, groups: Sequence[_Compared]) -> dict[str, float]:
    """Return the metrics of one language.

    Accuracy is against gold answers and only watched: no reward reads it. Agreement is with the pivot's answer.
    """
    rollouts = [rollout for compared in groups for rollout in compared.group.group.rollouts]
    scored = [response for compared in groups for response in compared.scored]
    scores = [response.score for response in scored]
    parts = {name for score in scores for name in score.parts}
    gates = {name for score in scores for name in score.gates}
    measured = {
        **{f"reward/{name}/{language}": [s.parts[name] for s in scores if name in s.parts] for name in parts},
        **{f"gate/{name}/{language}": [s.gates[name] for s in scores if name in s.gates] for name in gates},
        f"lang/{language}/reward_mean": [score.reward for score in scores],
        f"lang/{language}/accuracy": [response.is_correct for response in scored if response.gold is not None],
        f"lang/{language}/agreement": [response.agrees for response in scored if response.pivot_answer is not None],
        f"lang/{language}/two_readings": [has_two_readings(s.answer) for s in scores if s.answer is not None],
        f"lang/{language}/language_consistency": [is_in for s in scores if (is_in := is_in_language(s)) is not None],
        f"lang/{language}/response_length": [len(rollout.token_ids) for rollout in rollouts],
        f"lang/{language}/truncated": [rollout.is_truncated for rollout in rollouts],
        **_thinking(language, rollouts),
    }
    return {name: fmean(values) for name, values in sorted(measured.items()) if values}
