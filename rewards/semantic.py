"""The semantic reward of whole groups: gates, answer, reasoning, in one pass over a batch.

Owns the order of judgement: a response that a gate shuts out is never encoded, and all reasonings of all groups are
encoded together. Judges against the pivot's reference alone; gold answers do not reach this module.

What is recorded in a `Score`, shut or not:
- gates "language", "format", "truncation": those that are switched on. One that is switched off is judged all the same
  and recorded as a part of that name, 0 or 1, with no weight.
- parts "answer" (1 where the declared answer is the pivot's) and "reasoning" (0 where a gate is shut: not encoded).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from driver.schema import Score, ScoreRequest, Unscored
from rewards.answers import declared_answers, final_answer, same_answer, split_reasoning
from rewards.compose import Weights, compose_reward
from rewards.format_gate import format_is_open
from rewards.language_gate import LanguageGate
from rewards.similarity import Encoder, ReasoningJudge, ReasoningPair, WholeTextSimilarity

PIVOT_LANGUAGE = "en"
NO_REFERENCE_ANSWER = "reference has no final answer"


class WeightSettings(Protocol):
    @property
    def answer(self) -> float: ...
    @property
    def reasoning(self) -> float: ...


class RewardSettings(Protocol):
    """What a run says about its reward; the config's section has this shape."""

    @property
    def weights(self) -> WeightSettings: ...
    @property
    def language_gate(self) -> bool: ...
    @property
    def format_gate(self) -> bool: ...
    @property
    def truncation_gate(self) -> bool: ...
    @property
    def similarity_low(self) -> float: ...
    @property
    def similarity_high(self) -> float: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class _Judged:
    """One response after everything but its reasoning was judged."""

    gates: dict[str, bool]
    parts: dict[str, float]  # without "reasoning"
    answer: str | None
    pair: ReasoningPair

    @property
    def is_open(self) -> bool:
        return all(self.gates.values())


class SemanticReward:
    """Scores groups of responses against their references."""

    def __init__(self, encoder: Encoder, *, languages: Sequence[str], config: RewardSettings) -> None:
        self._language_gate = LanguageGate(languages)
        self._weights = Weights(answer=config.weights.answer, reasoning=config.weights.reasoning)
        self._is_on = {
            "language": config.language_gate,
            "format": config.format_gate,
            "truncation": config.truncation_gate,
        }
        self._judge: ReasoningJudge = WholeTextSimilarity(
            encoder, low=config.similarity_low, high=config.similarity_high
        )

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Score | Unscored, ...]]:
        """One result per response, in order, group by group. An encoder that fails raises: no reward is made up."""
        groups = [self._judge_group(request) for request in requests]
        open_pairs = [judged.pair for group in groups if group for judged in group if judged.is_open]
        similarities = iter(self._judge.judge(open_pairs).tolist())
        return [
            self._scores(group, similarities)
            if group is not None
            else tuple(Unscored(reason=NO_REFERENCE_ANSWER) for _ in request.responses)
            for request, group in zip(requests, groups, strict=True)
        ]

    def _judge_group(self, request: ScoreRequest) -> list[_Judged] | None:
        """All responses of a group, or None where the reference leaves nothing to compare with."""
        reference_answer = final_answer(request.reference, PIVOT_LANGUAGE)
        if reference_answer is None:
            return None
        reference_reasoning, _ = split_reasoning(request.reference, PIVOT_LANGUAGE)
        return [
            self._judge_response(
                response,
                is_truncated=is_truncated,
                language=request.language,
                reference_answer=reference_answer,
                reference_reasoning=reference_reasoning,
            )
            for response, is_truncated in zip(request.responses, request.truncated, strict=True)
        ]

    def _judge_response(
        self, response: str, *, is_truncated: bool, language: str, reference_answer: str, reference_reasoning: str
    ) -> _Judged:
        declared = declared_answers(response, language)
        answer = declared[-1].value if declared else None
        reasoning, _ = split_reasoning(response, language)
        judged = {
            "language": self._language_gate.is_open(response, language, declared),
            "format": format_is_open(response, declared, reasoning),
            "truncation": not is_truncated,
        }
        is_right = answer is not None and same_answer(answer, reference_answer)
        return _Judged(
            gates={name: is_open for name, is_open in judged.items() if self._is_on[name]},
            parts={"answer": float(is_right)}
            | {name: float(is_open) for name, is_open in judged.items() if not self._is_on[name]},
            answer=answer,
            pair=ReasoningPair(language=language, reasoning=reasoning, reference=reference_reasoning),
        )

    def _scores(self, group: Sequence[_Judged], similarities: Iterator[float]) -> tuple[Score, ...]:
        return tuple(self._score(judged, next(similarities) if judged.is_open else 0.0) for judged in group)

    def _score(self, judged: _Judged, similarity: float) -> Score:
        parts = {**judged.parts, "reasoning": similarity}
        return Score(
            reward=compose_reward(parts, judged.gates, self._weights),
            parts=parts,
            gates=judged.gates,
            answer=judged.answer,
        )
