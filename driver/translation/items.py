"""Choose what is translated: one text for each item, and the rows of the new set that it makes.

Into English the question of an item is translated once, from the first language that has it: the other languages of
the item share its English question. From English it is translated into each language that is asked for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from contracts.rollouts import Problem
from driver.problems.sources import ProblemSource
from rewards.reading import PIVOT_LANGUAGE


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """Hold one text to translate, and the problems whose rows wait for it; the texts stay in the source."""

    source: str  # language of the text
    target: str
    places: tuple[tuple[str, int], ...]  # language and position of the problems; the text is the first one's
    is_given: bool = False  # the translation is there already


class Work:
    """Hold all tasks of a set, and read their problems."""

    def __init__(self, problems: ProblemSource, *, languages: Sequence[str], into: Sequence[str]) -> None:
        """
        Args:
            problems: the set.
            languages: of the questions that are translated into English.
            into: languages to translate into; ("en",) or others than English.
        """
        self._problems = problems
        self.is_into_english = tuple(into) == (PIVOT_LANGUAGE,)
        self.tasks = tuple(self._into_english(languages) if self.is_into_english else self._from_english(into))

    def text(self, task: Task) -> str:
        """Return the text that is translated."""
        return self._problem(task.places[0]).question

    def rows(self, task: Task, translation: str) -> Iterator[dict[str, object]]:
        """Yield the rows of the new set that a translation makes."""
        for place in task.places:
            problem = self._problem(place)
            row: dict[str, object] = {"item_id": problem.item_id}
            if self.is_into_english:
                english = problem.question_en if task.is_given and problem.question_en else translation
                row |= {"language": problem.language, "question": problem.question, "question_en": english}
            else:
                row |= {"language": task.target, "question": translation, "question_en": problem.question}
            row["answer"] = problem.answer
            if self.is_into_english and problem.translation is not None:
                row["translation"] = problem.translation
            yield row

    def keys(self, task: Task) -> Iterator[tuple[str, str]]:
        """Yield item and language of the rows that a task makes."""
        for language, position in task.places:
            item_id = self._problem((language, position)).item_id
            yield item_id, language if self.is_into_english else task.target

    def given(self, task: Task) -> str:
        """Return the translation that is there already."""
        return self._problem(task.places[0]).question_en

    def where(self, task: Task) -> str:
        """Return where the text is, as a person finds it."""
        return self._problems.where(*task.places[0])

    def _into_english(self, languages: Sequence[str]) -> Iterator[Task]:
        by_item: dict[str, list[tuple[str, int]]] = {}
        given: set[str] = set()
        for language in languages:
            for position in range(self._problems.counts[language]):
                problem = self._problems.problem(language, position)
                if problem.question_en and problem.item_id not in given:
                    given.add(problem.item_id)
                    by_item.setdefault(problem.item_id, []).insert(0, (language, position))
                else:
                    by_item.setdefault(problem.item_id, []).append((language, position))
        for item_id, places in by_item.items():
            yield Task(source=places[0][0], target=PIVOT_LANGUAGE, places=tuple(places), is_given=item_id in given)

    def _from_english(self, into: Sequence[str]) -> Iterator[Task]:
        for target in into:
            for position in range(self._problems.counts[PIVOT_LANGUAGE]):
                yield Task(source=PIVOT_LANGUAGE, target=target, places=((PIVOT_LANGUAGE, position),))

    def _problem(self, place: tuple[str, int]) -> Problem:
        return self._problems.problem(*place)
