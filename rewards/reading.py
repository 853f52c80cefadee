"""Read a response and its reference once: cleaned text, declared answers, reasoning and closing.

All gates and parts look at the same reading, so no two of them read a text differently or twice.
"""

import math
from dataclasses import dataclass

from contracts.rollouts import ScoreRequest
from rewards.answers.final import DeclaredAnswer, answer_of, declared_answers, split_reasoning
from rewards.texts.clean import clean

PIVOT_LANGUAGE = "en"


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """Hold what the responses of a group have in common."""

    language: str  # of the question and the responses, ISO 639-1
    question: str
    question_en: str  # the question in English
    reference: str  # the pivot's solution, in English
    reference_reasoning: str  # the text before the reference's declaration
    reference_declared: tuple[DeclaredAnswer, ...]  # in order; the last one counts

    @property
    def reference_answer(self) -> str | None:
        """Return the pivot's final answer; None where the reference declares none."""
        return answer_of(self.reference_declared)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """Hold one response. All text is NFC, without control characters, lone surrogates and direction marks."""

    task: Task
    text: str
    declared: tuple[DeclaredAnswer, ...]  # in order; the last one counts
    reasoning: str  # the text before the declaration, and after it where that explains the answer
    closing: str  # the declaration and the text after it; empty without one
    is_truncated: bool  # at its token limit
    thinking: str = ""  # before the response, of a model that thinks
    translation: str = ""  # of the reasoning into English, where an engine of the run made one
    answer_probability: float = math.nan  # of the pivot's answer after the reasoning, where the policy was asked

    @property
    def answer(self) -> str | None:
        """Return the declared final answer; None without a declaration."""
        return answer_of(self.declared)

    def compared_reasoning(self, *, with_thinking: bool) -> str:
        """Return the reasoning that is compared with the pivot's, with the thinking before it if that is judged."""
        return f"{self.thinking}\n{self.reasoning}".strip() if with_thinking else self.reasoning


def read_task(request: ScoreRequest) -> Task:
    """Return what a request's responses have in common: the question and the pivot's reference, read."""
    reference = clean(request.reference)
    declared = declared_answers(reference, PIVOT_LANGUAGE)
    reasoning, _ = split_reasoning(reference, declared, PIVOT_LANGUAGE)
    return Task(
        language=request.language,
        question=clean(request.question),
        question_en=clean(request.question_en),
        reference=reference,
        reference_reasoning=reasoning,
        reference_declared=tuple(declared),
    )


def read_group(request: ScoreRequest) -> list[Reading]:
    """Return the readings of a group's responses, in order.

    Raises:
        ValueError: the request's language is unknown, or its lists differ in length.
    """
    task = read_task(request)
    num = len(request.responses)
    translations = request.translations or ("",) * num
    probabilities = request.answer_probabilities or (math.nan,) * num
    thinking = request.thinking or ("",) * num
    facts = zip(request.responses, request.truncated, translations, probabilities, thinking, strict=True)
    return [_read(task, *response) for response in facts]


def _read(
    task: Task, response: str, is_truncated: bool, translation: str, answer_probability: float, thinking: str
) -> Reading:
    text = clean(response)
    declared = declared_answers(text, task.language)
    reasoning, closing = split_reasoning(text, declared, task.language)
    return Reading(
        task=task,
        text=text,
        declared=tuple(declared),
        reasoning=reasoning,
        closing=closing,
        is_truncated=is_truncated,
        translation=clean(translation),
        answer_probability=answer_probability,
        thinking=clean(thinking).strip(),
    )
