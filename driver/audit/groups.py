"""Build the requests that the scorer gets: groups of a faithful solution and its cheats, corruptions, questions."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.rollouts import ParallelSolution, ScoreRequest
from driver.audit.cheats import CHEATS, Cheat, Subject
from driver.audit.faithful import WorkedText, native_and_english, number_places, with_numbers_changed
from languages.facts import LANGUAGES
from rewards.texts.clean import clean

FAITHFUL = "faithful"
MAX_CORRUPTED = 8
"""Largest number of numbers in a reasoning that are corrupted one after the other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheatGroup:
    """Hold one solution and its cheats: response 0 is the faithful one, as it is in the source."""

    item_id: str
    request: ScoreRequest
    names: tuple[str, ...]  # of the responses; FAITHFUL first
    left_out: tuple[str, ...]  # cheats that can't be made from this solution, or that give the faithful text again


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """Hold a question, as a text that is certainly in its language."""

    language: str
    question: str
    question_en: str


def cheat_groups(solutions: Sequence[ParallelSolution], *, seed: int) -> list[CheatGroup]:
    """Return one group per solution, in order."""
    return [_group(solution, subject) for solution, subject in zip(solutions, _subjects(solutions, seed), strict=True)]


def corruption_series(solutions: Sequence[ParallelSolution], *, seed: int) -> list[ScoreRequest]:
    """Return one request for each solution that has at least two numbers before its closing.

    Response k has k of these numbers changed, and the answer is right in all responses. Which numbers are changed is
    drawn per item.
    """
    series = []
    for solution, subject in zip(solutions, _subjects(solutions, seed), strict=True):
        native, random = subject.native, subject.random("corruption")
        places = number_places(native.reasoning, native.language)
        if len(places) < 2:
            continue
        random.shuffle(places)
        texts = with_numbers_changed(native.reasoning, places[:MAX_CORRUPTED], random)
        series.append(_request(solution, [native.changed(text) for text in texts]))
    return series


def questions_of(solutions: Sequence[ParallelSolution]) -> list[Question]:
    """Return the question of each solution."""
    return [
        Question(language=solution.language, question=solution.question, question_en=solution.question_en)
        for solution in solutions
    ]


def question_request(question: Question) -> ScoreRequest:
    """Return a request with a question as its response; only the language gate's verdict on it has a meaning."""
    closing = LANGUAGES[question.language].closing.format(answer="18")
    return ScoreRequest(
        language=question.language,
        question=question.question,
        question_en=question.question_en,
        reference=f"{question.question_en}\n{LANGUAGES['en'].closing.format(answer='18')}",
        responses=(f"{question.question}\n{closing}",),
        truncated=(False,),
    )


def _group(solution: ParallelSolution, subject: Subject) -> CheatGroup:
    faithful = solution.solution
    made: list[tuple[Cheat, str]] = []
    left_out: list[str] = []
    for cheat in CHEATS:
        text = cheat.make(subject)
        if text is None or _same(text, faithful):
            left_out.append(cheat.name)
        else:
            made.append((cheat, text))
    return CheatGroup(
        item_id=solution.item_id,
        request=_request(
            solution, [faithful, *(text for _, text in made)], [False, *(cheat.is_truncated for cheat, _ in made)]
        ),
        names=(FAITHFUL, *(cheat.name for cheat, _ in made)),
        left_out=tuple(left_out),
    )


def _same(text: str, faithful: str) -> bool:
    return clean(text).split() == clean(faithful).split()


def _request(
    solution: ParallelSolution, responses: Sequence[str], truncated: Sequence[bool] | None = None
) -> ScoreRequest:
    return ScoreRequest(
        language=solution.language,
        question=solution.question,
        question_en=solution.question_en,
        reference=solution.solution_en,
        responses=tuple(responses),
        truncated=tuple(truncated or [False] * len(responses)),
    )


def _subjects(solutions: Sequence[ParallelSolution], seed: int) -> list[Subject]:
    """Return one subject per solution, in order; its neighbours are the next solutions, then those from the start."""
    texts = [native_and_english(solution) for solution in solutions]
    by_language: dict[str, list[int]] = {}
    by_item: dict[str, list[int]] = {}
    for index, solution in enumerate(solutions):
        by_language.setdefault(solution.language, []).append(index)
        by_item.setdefault(solution.item_id, []).append(index)
    subjects = []
    for index, (solution, (native, english)) in enumerate(zip(solutions, texts, strict=True)):
        alike = by_language[solution.language]
        position = alike.index(index)
        others = [*alike[position + 1 :], *alike[:position]]
        subjects.append(
            Subject(
                item_id=solution.item_id,
                question=clean(solution.question).strip(),
                native=native,
                english=english,
                others=tuple(texts[other][0] for other in others),
                other_questions=tuple(clean(solutions[other].question).strip() for other in others),
                elsewhere=_elsewhere(solution, [(solutions[i], texts[i][0]) for i in by_item[solution.item_id]]),
                position=position,
                seed=seed,
            )
        )
    return subjects


def _elsewhere(
    solution: ParallelSolution, of_item: Sequence[tuple[ParallelSolution, WorkedText]]
) -> tuple[WorkedText, ...]:
    """Return the texts in other languages, from the code after the solution's own: languages get different ones."""
    found = {other.language: worked for other, worked in of_item if other.language not in (solution.language, "en")}
    codes = sorted(found, key=lambda code: (code < solution.language, code))
    return tuple(found[code] for code in codes)
