"""Score whole groups with the semantic reward: gates, parts and their combination, in one pass over a batch.

Every response is read once, a response that a gate shuts out is never encoded, and the reasonings of all groups are
compared together. Responses are compared with the pivot's reference alone: gold answers do not reach this module.

A `Score` records, whether a gate is shut or not:
- every gate that is switched on. A gate that is switched off is evaluated all the same and recorded as a part of its
  name, 0 or 1, without weight.
- the parts "answer" (is the declared answer the pivot's), "reasoning" and "numbers" (both 0 where a gate is shut,
  as they are not computed then), and "custom" where there is one.
- the part "thinking_language", without weight, where the model thought before it answered: is that in the language.
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
from rewards.gates.gates import Gate, LanguageGate
from rewards.number_coverage import number_coverage
from rewards.reading import Reading, Task, read_group
from rewards.reasoning.similarity import (
    VERSION,
    ReasoningPair,
    ReasoningSimilarity,
    question_pair,
    reasoning_pair,
)

_SENTENCE_END = re.compile(r"[.!?]\s|\n")

THINKING_LANGUAGE = "thinking_language"
"""Part, without weight, that says whether the thinking is in the asked language."""

NO_REFERENCE = "the reference is empty"
NO_REFERENCE_ANSWER = "the reference declares no final answer"
SEVERAL_ANSWERS = "the reference declares several answers at once"
TEXT_ANSWER = "the reference's answer is neither number, option nor formula"
NOT_FINITE = "the reasoning's similarity is not finite"
ANSWER_NOT_FINITE = "the answer's similarity is not finite"


class Scale(Protocol):
    """Map raw similarities to [0, 1]."""

    def rescale(
        self, values: NDArray[np.float64], languages: Sequence[str], *, baselines: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """Return [N] in [0, 1], NaN where `values` [N] is NaN.

        `languages` [N] are the responses' (ISO 639-1); `baselines` [N] are the raw values that count as 0, where each
        response has its own.
        """
        ...


class TextAnswers(Protocol):
    """Compare answers that only a language model can compare."""

    def compare(self, english: Sequence[str], native: Sequence[str], languages: Sequence[str]) -> NDArray[np.float64]:
        """Return [N] in [0, 1]: how well each native answer means its English one; NaN where no value can be given."""
        ...


class CustomReward(Protocol):
    """Compute a part of the user's own."""

    def score(self, request: ScoreRequest) -> Sequence[float] | Unscored:
        """Return one number in [0, 1] per response, or why the whole group has none."""
        ...


@dataclass(slots=True)
class Reasoning:
    """Hold how reasonings are compared and how the raw values become [0, 1]."""

    similarity: ReasoningSimilarity
    scale: Scale | None  # None until the similarity is calibrated: `similarities` works before, `score` does not
    baseline: Literal["language", "question"] = "language"
    with_thinking: bool = False  # the thinking is part of the reasoning that is compared


@dataclass(slots=True)
class _Pending:
    """Hold a response that is being scored: parts are added as they become known.

    A response with `unscored` set gets no score.
    """

    reading: Reading
    gates: dict[str, bool]
    parts: dict[str, float]
    unscored: Unscored | None = None

    @property
    def is_open(self) -> bool:
        """Return whether the response may still earn something."""
        return self.unscored is None and all(self.gates.values())


class SemanticReward:
    """Score groups of responses against their references."""

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
        """Score with these gates and parts; `switched_off` names gates that are recorded but shut nothing."""
        self._gates = tuple(gates)
        self._switched_off = frozenset(switched_off)
        self.reasoning = reasoning
        self._combination = combination
        self._text_answers = text_answers
        self._custom = custom
        self._language = next((gate for gate in gates if isinstance(gate, LanguageGate)), None)

    @property
    def fingerprint(self) -> str:
        """Return what a calibration is tied to: the similarity's fingerprint and the version of its texts."""
        return f"{self.reasoning.similarity.fingerprint}/{VERSION}"

    def similarities(self, pairs: Sequence[ReasoningPair]) -> NDArray[np.float64]:
        """Return the raw similarities [N] of N pairs, for calibration."""
        return self.reasoning.similarity.similarities(pairs)

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[Score | Unscored, ...]]:
        """Return one result per response, in order, group by group.

        A similarity that raises stops the scoring: no reward is made up.

        Raises:
            RuntimeError: the similarity was not calibrated yet.
            ValueError: a part with a weight lies outside [0, 1], or a language was not calibrated.
        """
        groups = [self._read(request) for request in requests]
        responses = [response for group in groups for response in group]
        self._compare_text_answers(responses)
        self._compare_reasonings([response for response in responses if response.is_open])
        return [
            tuple(self._score(response, request.step) for response in group)
            for request, group in zip(requests, groups, strict=True)
        ]

    def _read(self, request: ScoreRequest) -> list[_Pending]:
        """Return what is known of a group's responses before any model is asked."""
        group = [self._through_gates(reading) for reading in read_group(request)]
        custom = self._custom.score(request) if self._custom is not None else ()
        for index, response in enumerate(group):
            if isinstance(custom, Unscored):
                response.unscored = custom
            elif custom:
                response.parts["custom"] = custom[index]
        return group

    def _through_gates(self, reading: Reading) -> _Pending:
        opened = {gate.name: gate.is_open(reading) for gate in self._gates}
        response = _Pending(
            reading=reading,
            gates={name: is_open for name, is_open in opened.items() if name not in self._switched_off},
            parts={name: float(is_open) for name, is_open in opened.items() if name in self._switched_off},
        )
        response.parts |= {"reasoning": 0.0, "numbers": 0.0, "answer": _answer(reading)}
        if reading.thinking and self._language is not None:
            response.parts[THINKING_LANGUAGE] = float(self._language.is_thinking_in_language(reading))
        response.unscored = self._why_unscored(reading)
        return response

    def _why_unscored(self, reading: Reading) -> Unscored | None:
        """Return why no response to this task can be scored: its reference leaves nothing to compare with."""
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

    def _compare_text_answers(self, responses: Sequence[_Pending]) -> None:
        """Compare answers that no rule can: the pivot's is free text, and the response's is not the same text."""
        asked = [response for response in responses if response.is_open and _needs_text_comparison(response.reading)]
        if self._text_answers is None or not asked:
            return
        values = self._text_answers.compare(
            [response.reading.task.reference_answer or "" for response in asked],
            [response.reading.answer or "" for response in asked],
            [response.reading.task.language for response in asked],
        )
        for response, value in zip(asked, values.tolist(), strict=True):
            if np.isfinite(value):
                response.parts["answer"] = value
            else:
                response.unscored = Unscored(reason=ANSWER_NOT_FINITE)

    def _compare_reasonings(self, responses: Sequence[_Pending]) -> None:
        similarity, scale = self.reasoning.similarity, self.reasoning.scale
        if scale is None:
            raise RuntimeError("the reward has no calibration yet; give it one before scoring")
        if not responses:
            return
        pairs = [reasoning_pair(response.reading, with_thinking=self.reasoning.with_thinking) for response in responses]
        raw = similarity.similarities(pairs)
        asks_questions = self.reasoning.baseline == "question"
        baselines = similarity.similarities([question_pair(pair) for pair in pairs]) if asks_questions else None
        values = scale.rescale(raw, [pair.language for pair in pairs], baselines=baselines)
        for response, value in zip(responses, values.tolist(), strict=True):
            if np.isfinite(value):
                response.parts |= {"reasoning": value, "numbers": number_coverage(response.reading)}
            else:
                response.unscored = Unscored(reason=NOT_FINITE)

    def _score(self, response: _Pending, step: int) -> Score | Unscored:
        if response.unscored is not None:
            return response.unscored
        return Score(
            reward=self._combination.reward(response.parts, response.gates, step=step),
            parts=response.parts,
            gates=response.gates,
            answer=response.reading.answer,
        )


def _answer(reading: Reading) -> float:
    """Return 1 where the declared answer is the pivot's, else 0."""
    answer, reference = reading.answer, reading.task.reference_answer
    return float(answer is not None and reference is not None and same_answer(answer, reference))


def _is_ambiguous(task: Task) -> bool:
    """Return whether the reference declares two different answers in one sentence or box, or hedges its answer.

    An earlier sentence may well declare another answer: the result of a step.
    """
    if not task.reference_declared[-1].is_clear:
        return True
    if len(task.reference_declared) < 2:
        return False
    first, last = task.reference_declared[-2:]
    between = task.reference[first.end : last.start]
    return not same_answer(first.value, last.value) and not _SENTENCE_END.search(between)


def _needs_text_comparison(reading: Reading) -> bool:
    """Return whether the pivot's answer is free text that differs from the declared answer."""
    task = reading.task
    return bool(reading.declared) and task.reference_declared[-1].kind == "text" and not _answer(reading)
