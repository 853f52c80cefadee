"""Read the worked examples that a set comes with."""

from pathlib import Path

from contracts.errors import BadInput
from driver.evaluation.sets.fields import Fields
from driver.evaluation.sets.item import WorkedItem
from driver.evaluation.sets.rows import has_files, open_rows
from driver.evaluation.tasks.definition import EvaluationTask, Shots
from driver.problems.builtin.generate import exemplars as builtin_exemplars
from driver.problems.logic.prompt import logic_exemplars
from driver.problems.parallel import load_solutions
from driver.problems.tables import Row
from languages.facts import LANGUAGES

MAX_BUILTIN = 8
"""Worked examples of the built-in set: as many as MGSM has."""
PARALLEL = "exemplars.json"
"""Name of a file in the shape of MGSM's exemplars: {language: {number: {"q": "", "a": ""}}}."""


def worked_items(task: EvaluationTask, folder: Path | None, *, language: str) -> tuple[WorkedItem, ...]:
    """Return the set's worked examples in one language, in its order.

    Raises:
        BadInput: the set has none, or a row has a mistake.
    """
    if task.data.builtin == "logic":
        return tuple(
            WorkedItem(question=e.question, solution=e.solution) for e in logic_exemplars(language, MAX_BUILTIN)
        )
    if task.data.builtin:
        return _builtin(language)
    if (shots := task.shots) is None:
        raise BadInput(
            f"task {task.name}: the set has no worked examples of its own; set evaluation.shots to 0",
            key="evaluation.shots",
        )
    if PARALLEL in shots.files and folder is not None and (folder / PARALLEL).is_file():
        solutions = load_solutions(str(folder / PARALLEL), languages=(language,), num_items=100, seed=0, split="test")
        return tuple(
            WorkedItem(question=solution.question, solution=solution.solution)
            for solution in solutions
            if solution.language == language
        )
    place = task.data.model_copy(update={"split": shots.split, "files": shots.files})
    if folder is not None and folder.is_dir() and not has_files(task, place, folder, code=language):
        where = shots.files[0] if shots.files else f"a file of the split {shots.split!r}"
        raise BadInput(
            f"task {task.name}: {folder} has no worked examples in {language!r} ({where}); add them, or set "
            "evaluation.shots to 0",
            key="evaluation.shots",
        )
    examples = []
    for table in open_rows(task, place, folder, code=language):
        for number, row in enumerate(table.rows()):
            fields = Fields(task, row, where=lambda table=table, number=number: table.where(number), language=language)
            examples.append(_worked(task, shots, row, fields, language))
    return tuple(examples)


def _builtin(language: str) -> tuple[WorkedItem, ...]:
    closing = LANGUAGES[language].closing
    return tuple(
        WorkedItem(
            question=example.question,
            solution="\n".join([*example.steps, closing.replace("{answer}", example.answer)]),
        )
        for example in builtin_exemplars(language, num=MAX_BUILTIN)
    )


def _worked(task: EvaluationTask, shots: Shots, row: Row, fields: Fields, language: str) -> WorkedItem:
    solution = fields.optional(shots.solution).strip()
    options = fields.options
    return WorkedItem(
        question=_without_labels(fields.fill(task.items.question), language),
        options=options,
        solution=_without_labels(solution, language),
        gold="" if solution else fields.gold(options),
        category=fields.optional(task.items.category),
    )


def _without_labels(text: str, language: str) -> str:
    """Return the text without the labels that MGSM and its relatives write before questions and solutions."""
    codes = dict.fromkeys((language, "en"))
    known = [LANGUAGES[code] for code in codes if code in LANGUAGES]
    for label in (label for found in known for label in (found.question_prefix, found.solution_label) if label):
        text = text.removeprefix(label).strip()
    return text
