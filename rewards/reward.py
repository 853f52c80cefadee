"""The semantic reward of whole groups: gates, parts and their sum, in one pass over a batch.

Owns the order of judgement: every response is read once, one that a gate shuts out is never encoded, and all reasonings
of all groups are judged together. Judges against the pivot's reference alone; gold answers do not reach this module.

What is recorded in a `Score`, shut or not:
- every gate that is switched on. One that is switched off is judged all the same and recorded as a part of its name, 0
  or 1, with no weight.
- parts "answer" (is the declared answer the pivot's), "reasoning" and "numbers" (0 where a gate is shut: not judged),
  and "custom" where there is one.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from contracts.rollouts import Score, ScoreRequest, Unscored
from rewards.answers.final import same_answer
from rewards.compose import Combination
from rewards.gates.gate import Gate
from rewards.number_coverage import number_coverage
from rewards.reading import Reading, Task, read_group
from rewards.reasoning.pairs import VERSION, question_pair, reasoning_pair
from rewards.reasoning.similarity import ReasoningPair, ReasoningSimilarity

_SENTENCE_END = re.compile(r"[.!?]\s|\n")

NO_REFERENCE = "the reference is empty"
NO_REFERENCE_ANSWER = "the reference declares no final answer"
SEVERAL_ANSWERS = "the reference declares several answers at once"
TEXT_ANSWER = "the reference's answer is neither number, option nor formula"
NOT_FINITE = "the reasoning's similarity is not finite"


class Scale(Protocol):
    """Maps a judge's raw values to [0, 1] (rewards/calibration.py)."""

    def rescale(
        self, values: NDArray[np.float64], languages: Sequence[str], *, baselines: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """[N] in [0, 1], NaN where `values` [N] is NaN; `baselines` [N] are what counts as 0, where that is known."""
        ...


class TextAnswers(Protocol):
    """Compares answers that only a language model can compare."""

    def judge(self, english: Sequence[str], native: Sequence[str], languages: Sequence[str]) -> NDArray[np.float64]:
        """[N] in [0, 1]: how well each native answer means its English one; NaN where it can't say."""
        ...


class CustomReward(Protocol):
    """A user's own part."""

    def score(self, request: ScoreRequest) -> Sequence[float] | Unscored:
        """One number in [0, 1] per response, or why the whole group has none."""
        ...


@dataclass(slots=True)
class Reasoning:
    """How reasonings are compared, and what the raw values mean."""

    judge: ReasoningSimilarity
    scale: Scale | None  # None until the judge was calibrated: `similarities` works before, `score` does not
    baseline: Literal["language", "question"] = "language"


@dataclass(slots=True)
class _Judged:
    """A response on its way: parts are added as they become known; `unscored` ends it."""

    reading: Reading
    gates: dict[str, bool]
    parts: dict[str, float]
    unscored: Unscored | None = None

    @property
    def is_open(self) -> bool:
        return self.unscored is None and all(self.gates.values())


class SemanticReward:
    """Scores groups of responses against their references."""

    def __init__(
        self,
        *,
        gates: Sequence[Gate],
        reasoning: Reasoning,
        combination: Combination,
        switched_off: Collection[str] = (),
        text_answers: TextAnswers | None = None,
        custom: CustomReward | None = None,
    ) -> None:
        """`switched_off` names the gates that are judged and recorded but shut nothing."""
        self._gates = tuple(gates)
        self._switched_off = frozenset(switched_off)
        self.reasoning = reasoning
        self._combination = combination
        self._text_answers = text_answers
        self._custom = custom

    @property
    def fingerprint(self) -> str:
        """Of the judge and of what it is shown: what a calibration is tied to."""
        return f"{self.reasoning.judge.fingerprint}/{VERSION}"

    def similarities(self, pairs: Sequence[ReasoningPair]) -> NDArray[np.float64]:
        """[N] raw values of the judge, for calibration."""
        return self.reasoning.judge.judge(pairs)

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Score | Unscored, ...]]:
        """One result per response, in order, group by group. A judge that fails raises: no reward is made up."""
        groups = [self._read(request) for request in requests]
        everyone = [judged for group in groups for judged in group]
        self._judge_text_answers(everyone)
        self._judge_reasonings([judged for judged in everyone if judged.is_open])
        return [
            tuple(self._score(judged, request.step) for judged in group)
            for request, group in zip(requests, groups, strict=True)
        ]

    def _read(self, request: ScoreRequest) -> list[_Judged]:
        """All that is known of a group before any model is asked."""
        judged = [self._judge_gates(reading) for reading in read_group(request)]
        custom = self._custom.score(request) if self._custom is not None else ()
        for index, response in enumerate(judged):
            if isinstance(custom, Unscored):
                response.unscored = custom
            elif custom:
                response.parts["custom"] = custom[index]
        return judged

    def _judge_gates(self, reading: Reading) -> _Judged:
        opened = {gate.name: gate.is_open(reading) for gate in self._gates}
        judged = _Judged(
            reading=reading,
            gates={name: is_open for name, is_open in opened.items() if name not in self._switched_off},
            parts={name: float(is_open) for name, is_open in opened.items() if name in self._switched_off},
        )
        judged.parts |= {"reasoning": 0.0, "numbers": 0.0, "answer": _answer(reading)}
        judged.unscored = self._why_unscored(reading)
        return judged

    def _why_unscored(self, reading: Reading) -> Unscored | None:
        """A reference that leaves nothing to compare with says nothing about a response."""
        task = reading.task
        if not task.reference.strip():
            return Unscored(reason=NO_REFERENCE)
        if not task.reference_declared:
            return Unscored(reason=NO_REFERENCE_ANSWER)
        if _is_ambiguous(task):
            return Unscored(reason=SEVERAL_ANSWERS)
        if task.reference_declared[-1].kind == "text" and self._text_answers is None:
            return Unscored(reason=TEXT_ANSWER)
        return None

    def _judge_text_answers(self, everyone: Sequence[_Judged]) -> None:
        """Answers that no rule can compare: the pivot's is free text, and the response's is not the same text."""
        asked = [judged for judged in everyone if judged.is_open and _needs_text_judge(judged.reading)]
        if self._text_answers is None or not asked:
            return
        values = self._text_answers.judge(
            [judged.reading.task.reference_answer or "" for judged in asked],
            [judged.reading.answer or "" for judged in asked],
            [judged.reading.task.language for judged in asked],
        )
        for judged, value in zip(asked, values.tolist(), strict=True):
            if np.isfinite(value):
                judged.parts["answer"] = value
            else:
                judged.unscored = Unscored(reason="the answer's similarity is not finite")

    def _judge_reasonings(self, judged: Sequence[_Judged]) -> None:
        judge, scale = self.reasoning.judge, self.reasoning.scale
        if scale is None:
            raise RuntimeError("the reward has no calibration yet; score nothing before it was given one")
        if not judged:
            return
        pairs = [reasoning_pair(response.reading) for response in judged]
        raw = judge.judge(pairs)
        asks_questions = self.reasoning.baseline == "question"
        baselines = judge.judge([question_pair(pair) for pair in pairs]) if asks_questions else None
        values = scale.rescale(raw, [pair.language for pair in pairs], baselines=baselines)
        for response, value in zip(judged, values.tolist(), strict=True):
            if np.isfinite(value):
                response.parts |= {"reasoning": value, "numbers": number_coverage(response.reading)}
            else:
                response.unscored = Unscored(reason=NOT_FINITE)

    def _score(self, judged: _Judged, step: int) -> Score | Unscored:
        if judged.unscored is not None:
            return judged.unscored
        return Score(
            reward=self._combination.reward(judged.parts, judged.gates, step=step),
            parts=judged.parts,
            gates=judged.gates,
            answer=judged.reading.answer,
        )


def _answer(reading: Reading) -> float:
    """1 where the declared answer is the pivot's."""
    answer, reference = reading.answer, reading.task.reference_answer
    return float(answer is not None and reference is not None and same_answer(answer, reference))


def _is_ambiguous(task: Task) -> bool:
    """Two different answers in one sentence or box. An earlier sentence may well declare another: a step's result."""
    if len(task.reference_declared) < 2:
        return False
    first, last = task.reference_declared[-2:]
    between = task.reference[first.end : last.start]
    return first.value != last.value and not _SENTENCE_END.search(between)


def _needs_text_judge(reading: Reading) -> bool:
    task = reading.task
    return bool(reading.declared) and task.reference_declared[-1].kind == "text" and not _answer(reading)
