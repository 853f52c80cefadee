"""A response and its reference, read once: cleaned text, declared answers, reasoning and closing.

Owns what gates and parts look at, so that no two of them read a text differently or twice. Knows text only.
"""

import math
from dataclasses import dataclass

from contracts.rollouts import ScoreRequest
from rewards.answers.final import DeclaredAnswer, declared_answers, split_reasoning
from rewards.texts.clean import clean

PIVOT_LANGUAGE = "en"


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """What the responses of a group have in common."""

    language: str
    question: str
    question_en: str
    reference: str
    reference_reasoning: str
    reference_declared: tuple[DeclaredAnswer, ...]

    @property
    def reference_answer(self) -> str | None:
        """The pivot's final answer; None where it declares none."""
        return self.reference_declared[-1].value if self.reference_declared else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One response; all text is NFC, without control characters, lone surrogates and direction marks."""

    task: Task
    text: str
    declared: tuple[DeclaredAnswer, ...]  # in order; the last one counts
    reasoning: str  # what stands before the declaration
    closing: str  # the declaration and what follows; empty without one
    is_truncated: bool
    translation: str = ""
    answer_probability: float = math.nan

    @property
    def answer(self) -> str | None:
        """The declared final answer; None without one."""
        return self.declared[-1].value if self.declared else None


def read_task(request: ScoreRequest) -> Task:
    reference = clean(request.reference)
    declared = declared_answers(reference, PIVOT_LANGUAGE)
    reasoning, _ = split_reasoning(reference, declared)
    return Task(
        language=request.language,
        question=clean(request.question),
        question_en=clean(request.question_en),
        reference=reference,
        reference_reasoning=reasoning,
        reference_declared=tuple(declared),
    )


def read_group(request: ScoreRequest) -> list[Reading]:
    """The group's responses in order."""
    task = read_task(request)
    num = len(request.responses)
    translations = request.translations or ("",) * num
    probabilities = request.answer_probabilities or (math.nan,) * num
    facts = zip(request.responses, request.truncated, translations, probabilities, strict=True)
    return [_read(task, *response) for response in facts]


def _read(task: Task, response: str, is_truncated: bool, translation: str, answer_probability: float) -> Reading:
    text = clean(response)
    declared = declared_answers(text, task.language)
    reasoning, closing = split_reasoning(text, declared)
    return Reading(
        task=task,
        text=text,
        declared=tuple(declared),
        reasoning=reasoning,
        closing=closing,
        is_truncated=is_truncated,
        translation=clean(translation),
        answer_probability=answer_probability,
    )
