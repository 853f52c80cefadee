"""Measure how good the policy is in each language: accuracy, language consistency, and both at once.

Gold answers are read here and in the metrics, never by a reward.
"""

import asyncio
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Literal

from contracts.errors import BadInput
from contracts.files import write_whole
from contracts.ports import Generator
from contracts.rollouts import Problem, Rollout, SamplingRequest
from contracts.user_files import read_user_json
from driver.evaluation.tasks.task import EvaluationTask, Grade
from rewards.reading import PIVOT_LANGUAGE

Moment = Literal["before", "after"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """Hold one evaluated response, kept for people to read."""

    item_id: str
    question: str
    gold: str
    response: str  # without thinking
    is_correct: bool
    is_in_language: bool
    thinking: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageResult:
    """Hold what was measured in one language. Shares are in [0, 1], of `num_items` responses, one for each item."""

    language: str
    num_items: int
    accuracy: float  # the final answer is gold: the declared one, else the last number
    language_consistency: float  # the response is in the asked language
    accuracy_in_language: float  # both
    declared_rate: float  # a final answer was declared
    truncated_rate: float
    mean_length: float  # tokens
    mean_thinking_length: float = 0.0  # tokens up to the end of the thinking, of a model that thinks
    examples: tuple[Example, ...]

    @property
    def accuracy_error(self) -> float:
        return standard_error(self.accuracy, self.num_items)

    @property
    def accuracy_in_language_error(self) -> float:
        return standard_error(self.accuracy_in_language, self.num_items)


@dataclass(frozen=True, kw_only=True, slots=True)
class Overall:
    """Hold one share in English and its mean over the other languages.

    None if no language of that kind was measured. The mean's error takes the languages as fully correlated: they are
    asked the same items, so more languages do not make it smaller.
    """

    english: float | None
    others: float | None
    others_error: float | None

    @property
    def gap(self) -> float | None:
        """Return how far the other languages are behind English; None if one of the two was not measured."""
        return None if self.english is None or self.others is None else self.english - self.others


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationResult:
    """Hold one evaluation of one policy."""

    languages: tuple[LanguageResult, ...]
    measured_on: Mapping[str, str] = field(default_factory=dict)
    """Source, split, model, policy version and limits: two results are comparable only if these are equal."""

    @property
    def accuracy(self) -> Overall:
        return _overall([(r.language, r.accuracy, r.accuracy_error) for r in self.languages])

    @property
    def accuracy_in_language(self) -> Overall:
        return _overall([(r.language, r.accuracy_in_language, r.accuracy_in_language_error) for r in self.languages])

    def to_json(self) -> str:
        """Return the result as JSON; errors and overall numbers are for readers: `from_json` computes them again."""
        languages = [
            {
                **asdict(result),
                "accuracy_error": result.accuracy_error,
                "accuracy_in_language_error": result.accuracy_in_language_error,
            }
            for result in self.languages
        ]
        overall = {
            name: {**asdict(value), "gap": value.gap}
            for name, value in (("accuracy", self.accuracy), ("accuracy_in_language", self.accuracy_in_language))
        }
        record = {"measured_on": dict(self.measured_on), "overall": overall, "languages": languages}
        return json.dumps(record, ensure_ascii=False, indent=2)

    @staticmethod
    def from_json(text: str) -> "EvaluationResult":
        """Read a result that `to_json` wrote."""
        record = json.loads(text)
        return EvaluationResult(
            languages=tuple(_language_from_record(found) for found in record["languages"]),
            measured_on=record["measured_on"],
        )


def _language_from_record(record: Mapping) -> LanguageResult:
    derived = ("accuracy_error", "accuracy_in_language_error", "examples")
    plain = {name: value for name, value in record.items() if name not in derived}
    return LanguageResult(**plain, examples=tuple(Example(**example) for example in record["examples"]))


def standard_error(share: float, num_items: int) -> float:
    """Return the standard error of a share p of n independent items: sqrt(p (1 - p) / n)."""
    return math.sqrt(share * (1 - share) / num_items)


def _overall(shares: list[tuple[str, float, float]]) -> Overall:
    english = [share for language, share, _ in shares if language == PIVOT_LANGUAGE]
    others = [share for language, share, _ in shares if language != PIVOT_LANGUAGE]
    errors = [error for language, _, error in shares if language != PIVOT_LANGUAGE]
    return Overall(
        english=english[0] if english else None,
        others=fmean(others) if others else None,
        others_error=fmean(errors) if errors else None,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationSettings:
    """Say how responses are drawn and graded, what is recorded about it, and how many are kept."""

    task: EvaluationTask
    max_tokens: int
    measured_on: Mapping[str, str]
    max_in_flight: int = 64
    num_examples: int = 3  # kept per language, the first ones: the same items before and after


@dataclass(frozen=True, kw_only=True, slots=True)
class _Graded:
    """Hold one response with its grade."""

    problem: Problem
    rollout: Rollout
    grade: Grade
    is_in_language: bool


async def evaluate(
    policy: Generator,
    problems: Iterable[Problem],
    *,
    prompter: Callable[[Problem], tuple[int, ...]],
    language_is: Callable[[str, str], bool],
    settings: EvaluationSettings,
    on_progress: Callable[[int], None] = lambda num_done: None,
) -> EvaluationResult:
    """Draw one greedy response to every problem and measure them.

    Problems are read as they are needed, `max_in_flight` at once. The result does not depend on the order in which the
    engines finish.

    Raises:
        BadInput: there is no problem, or one has no answer that the task can compare with.
    """
    numbered = iter(enumerate(problems))
    graded: dict[int, _Graded] = {}

    async def grade_until_none_is_left() -> None:
        for index, problem in numbered:
            gold = settings.task.gold(problem)
            request = SamplingRequest(
                request_id=f"evaluation/{problem.group_key}",
                prompt_token_ids=prompter(problem),
                seeds=(0,),
                max_tokens=settings.max_tokens,
                temperature=0.0,
            )
            (rollout,) = await policy.sample(request)
            graded[index] = _Graded(
                problem=problem,
                rollout=rollout,
                grade=settings.task.grade(rollout.text, gold=gold, language=problem.language),
                is_in_language=language_is(rollout.text, problem.language),
            )
            on_progress(len(graded))

    workers = [asyncio.create_task(grade_until_none_is_left()) for _ in range(settings.max_in_flight)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
    if not graded:
        raise BadInput(
            "there is no problem to evaluate on; check evaluation.source, its path and its split",
            key="evaluation.source",
        )
    in_order = [graded[index] for index in sorted(graded)]
    return EvaluationResult(
        languages=_summarise(in_order, num_examples=settings.num_examples), measured_on=dict(settings.measured_on)
    )


def _summarise(graded: list[_Graded], *, num_examples: int) -> tuple[LanguageResult, ...]:
    """Return the results of the languages, in the order of their first problem."""
    by_language: dict[str, list[_Graded]] = {}
    for response in graded:
        by_language.setdefault(response.problem.language, []).append(response)
    return tuple(
        LanguageResult(
            language=language,
            num_items=len(found),
            accuracy=fmean(r.grade.is_correct for r in found),
            language_consistency=fmean(r.is_in_language for r in found),
            accuracy_in_language=fmean(r.grade.is_correct and r.is_in_language for r in found),
            declared_rate=fmean(r.grade.is_declared for r in found),
            truncated_rate=fmean(r.rollout.is_truncated for r in found),
            mean_length=fmean(len(r.rollout.token_ids) for r in found),
            mean_thinking_length=fmean(r.rollout.num_thinking_tokens for r in found),
            examples=tuple(_example(response) for response in found[:num_examples]),
        )
        for language, found in by_language.items()
    )


def _example(response: _Graded) -> Example:
    return Example(
        item_id=response.problem.item_id,
        question=response.problem.question,
        gold=response.problem.answer or "",
        response=response.rollout.text,
        is_correct=response.grade.is_correct,
        is_in_language=response.is_in_language,
        thinking=response.rollout.thinking,
    )


def record_evaluation(path: Path, moment: Moment, result: EvaluationResult) -> None:
    """Put a result into evaluation.json beside what it already holds; the file is replaced whole or not at all."""
    records = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    records[moment] = json.loads(result.to_json())
    write_whole(path, json.dumps(records, ensure_ascii=False, indent=2) + "\n")


def read_evaluations(path: Path) -> dict[str, EvaluationResult]:
    """Read evaluation.json by moment ("before", "after"); empty if there is no file.

    Raises:
        BadInput: the file is damaged, or not what `record_evaluation` wrote.
    """
    if not path.exists():
        return {}
    records = read_user_json(path, key=path.name)
    try:
        if not isinstance(records, dict):
            raise TypeError(type(records).__name__)
        return {moment: EvaluationResult.from_json(json.dumps(record)) for moment, record in records.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{path} is no record of evaluations ({type(error).__name__}); move it away", key=path.name
        ) from None
