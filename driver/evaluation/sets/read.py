"""Read the items of tasks in the languages that are asked for, and the set's own worked examples."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

from contracts.errors import BadInput
from driver.evaluation.sets.fields import Fields
from driver.evaluation.sets.item import LETTERS, Choice, Item, WorkedItem
from driver.evaluation.sets.rows import is_there, open_rows
from driver.evaluation.sets.worked import worked_items
from driver.evaluation.tasks.definition import EvaluationTask
from driver.evaluation.tasks.registry import ChosenTask
from driver.problems.builtin.generate import builtin_problems
from driver.problems.logic.generate import logic_problems
from driver.problems.tables import Row

MAX_BUILTIN = 500
"""Items of the built-in set where all are asked for; it could generate any number."""


@dataclass(frozen=True, kw_only=True)
class SetRequest:
    """Say which part of a set is wanted."""

    languages: Sequence[str]
    max_items: int | None = None  # of each language and level, the first ones; None: all
    folder: Path | None = None  # None: the hub
    seed: int = 1  # of the built-in problems
    shots: int = 0  # worked examples


@dataclass(frozen=True, kw_only=True)
class TaskSet:
    """Hold the items of one task, and its worked examples by language."""

    chosen: ChosenTask
    items: tuple[Item, ...]
    worked: Mapping[str, tuple[WorkedItem, ...]] = field(default_factory=dict)

    @property
    def languages(self) -> tuple[str, ...]:
        """Return the languages of the items, in order."""
        return tuple(dict.fromkeys(item.language for item in self.items))


def read_set(chosen: ChosenTask, wanted: SetRequest) -> TaskSet:
    """Read a task's items and worked examples.

    Raises:
        BadInput: the set or a row has a mistake, holds an item twice, or has fewer items than are asked for.
    """
    task = chosen.task
    check_languages_of(task, wanted.languages)
    _check_one_language(task, wanted)
    items: list[Item] = []
    for language in wanted.languages:
        for level in task.levels or ("",):
            found = list(_items(chosen, wanted, language, level))
            _check_count(task, found, wanted, language, level)
            items += found
    _refuse_duplicates(task, items)
    worked = {}
    if wanted.shots and chosen.method == "generate":
        worked = {language: worked_items(task, wanted.folder, language=language) for language in wanted.languages}
    return TaskSet(chosen=chosen, items=tuple(items), worked=worked)


def languages_there(task: EvaluationTask, folder: Path | None) -> tuple[str, ...]:
    """Return the languages of a task whose files are in a local folder; on the hub, all of them.

    Raises:
        BadInput: the folder has no file of the set.
    """
    if folder is None or folder.is_file() or task.data.builtin:
        return tuple(task.languages)
    level = next(iter(task.levels), "")
    there = tuple(code for code in task.languages if is_there(task, folder, code=code, level=level))
    if not there:
        open_rows(task, task.data, folder, code=next(iter(task.languages)), level=level)  # says what is missing
    return there


def check_languages_of(task: EvaluationTask, languages: Sequence[str]) -> None:
    """Check that a task has every language.

    Raises:
        BadInput: it lacks one.
    """
    if missing := [language for language in languages if language not in task.languages]:
        raise BadInput(
            f"task {task.name} has no {', '.join(missing)}; it has {', '.join(task.languages)}",
            key="evaluation.languages",
        )


def _check_one_language(task: EvaluationTask, wanted: SetRequest) -> None:
    """Check that a single file whose rows name no language is read for one language, not as the same rows for several.

    Raises:
        BadInput: several are asked for.
    """
    file = wanted.folder
    if file is None or not file.is_file() or task.items.language or len(wanted.languages) == 1:
        return
    num = len(wanted.languages)
    raise BadInput(
        f"task {task.name}: {file} is one file whose rows name no language, and {num} languages are asked for; name "
        "its one language (--languages)",
        key="evaluation.languages",
    )


def _check_count(task: EvaluationTask, found: Sequence[Item], wanted: SetRequest, language: str, level: str) -> None:
    what = f"{language!r}" + (f", level {level}" if level else "")
    if not found:
        raise BadInput(f"task {task.name}: the set has no item in {what}", key="evaluation.languages")
    if wanted.max_items is not None and len(found) < wanted.max_items:
        raise BadInput(
            f"task {task.name}: the set has {len(found)} items in {what}, and {wanted.max_items} were asked for; lower "
            "evaluation.max_items",
            key="evaluation.max_items",
        )


def _refuse_duplicates(task: EvaluationTask, items: Sequence[Item]) -> None:
    for key, count in Counter(item.key for item in items).items():
        if count > 1:
            raise BadInput(
                f"task {task.name}: item {key.removeprefix(f'{task.name}/')} is in the set {count} times; give each "
                "row an id of its own",
                key="item_id",
            )


def _items(chosen: ChosenTask, wanted: SetRequest, language: str, level: str) -> Iterator[Item]:
    rows = islice(_rows(chosen.task, wanted, language, level), wanted.max_items)
    for number, (where, row) in enumerate(rows, start=1):
        fields = Fields(chosen.task, row, where=where, language=language)
        yield _item(chosen, fields, number=number, language=language, level=level)


def _item(chosen: ChosenTask, fields: Fields, *, number: int, language: str, level: str) -> Item:
    columns, options = chosen.task.items, fields.options
    item_id = fields.item_id or str(number)
    return Item(
        task=chosen.name,
        item_id=f"{level}/{item_id}" if level else item_id,
        language=language,
        question=fields.fill(columns.question),
        gold=fields.gold(options),
        options=options,
        is_clause=chosen.task.answer == "clause",
        choices=_choices(chosen, fields, options),
        level=level,
        category=fields.optional(columns.category),
        tag=fields.optional(columns.tag),
    )


def _choices(chosen: ChosenTask, fields: Fields, options: tuple[str, ...]) -> tuple[Choice, ...]:
    """Return what is scored: for each option, or the whole text; nothing where answers are generated."""
    if chosen.method == "perplexity":
        return (Choice(context="", continuation=fields.fill(chosen.task.items.question)),)
    likelihood = chosen.task.likelihood
    if chosen.method != "likelihood" or likelihood is None:
        return ()
    choices = []
    for letter, option in zip(LETTERS, options, strict=False):
        made = {"option": option.strip(), "letter": letter}
        context, continuation = fields.fill(likelihood.context, made), fields.fill(likelihood.continuation, made)
        choices.append(Choice(context=context, continuation=f"{likelihood.delimiter}{continuation}"))
    return tuple(choices)


def _rows(
    task: EvaluationTask, wanted: SetRequest, language: str, level: str
) -> Iterator[tuple[Callable[[], str], Row]]:
    """Yield the rows of one language, each with the function that says where it is."""
    if task.data.builtin:
        yield from _builtin_rows(task, wanted, language)
        return
    column = task.items.language
    for table in open_rows(task, task.data, wanted.folder, code=language, level=level):
        for number, row in enumerate(table.rows()):
            if not column or row.get(column) in (language, task.languages[language]):
                yield partial(table.where, number), row


def _builtin_rows(task: EvaluationTask, wanted: SetRequest, language: str) -> Iterator[tuple[Callable[[], str], Row]]:
    draw = logic_problems if task.data.builtin == "logic" else builtin_problems
    num_items = wanted.max_items or MAX_BUILTIN
    problems = draw(seed=wanted.seed, split="test", num_items=num_items, languages=(language,))
    for problem in problems:
        texts = {"question": problem.question, "answer": problem.answer, "solution": problem.translation}
        row = {"item_id": problem.item_id, **texts}
        yield partial("the built-in problem {}".format, problem.item_id), row
