"""Collect what report.html shows of models that `evaluate` measured: every task of every model, with 95% intervals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from driver.evaluation.record import ModelResult
from driver.evaluation.results import EvaluationResult, Example, TextResult
from driver.evaluation.tables import all_results
from driver.names import NOT_MEASURED
from driver.outcome.changes import compare_moments
from driver.outcome.words import measured_text
from driver.report.task_sections import Cell, TableRow, TaskSection, task_sections

_GLANCE = ("English", "Mean without English", "Gap to English")
"""Rows of a task's table that the first table shows of every model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSection:
    """Hold everything that is shown of one model."""

    name: str
    tasks: tuple[TaskSection, ...]
    plain_texts: tuple[tuple[str, TextResult], ...]  # with the task
    corrected: tuple[EvaluationResult, ...]  # tasks that were measured beside their originals
    examples: dict[str, list[tuple[str, Example]]]  # by language, with the task


@dataclass(frozen=True, kw_only=True, slots=True)
class Glance:
    """Hold one task of one model in a line."""

    model: str
    task: str
    cells: tuple[Cell, ...]


def evaluate_facts(measured: Mapping[str, ModelResult]) -> dict[str, object]:
    """Return what the template of an evaluation is filled in with."""
    models = [_model(name, found.result) for name, found in measured.items()]
    return {
        "verdict": list(_verdict(measured)),
        "num_tasks": len({task.task for found in measured.values() for task in all_results(found.result)}),
        "models": models,
        "glance_heads": _GLANCE,
        "glance": [
            Glance(model=model.name, task=task.task, cells=_glance(task.rows))
            for model in models
            for task in model.tasks
        ],
    }


def _model(name: str, result: EvaluationResult) -> ModelSection:
    moment = {"after": result}
    examples: dict[str, list[tuple[str, Example]]] = {}
    for task in all_results(result):
        for language in task.languages:
            examples.setdefault(language.language, []).extend((task.task, example) for example in language.examples)
    return ModelSection(
        name=name,
        tasks=tuple(task_sections(moment, compare_moments(moment))),
        plain_texts=tuple((task.task, text) for task in all_results(result) for text in task.texts),
        corrected=tuple(task for task in all_results(result) if task.editions),
        examples={language: found for language, found in examples.items() if found},
    )


def _verdict(measured: Mapping[str, ModelResult]) -> Iterator[str]:
    """Yield a sentence for each model, on its first task."""
    if not measured:
        yield "No model is measured yet: the evaluation is still going, or it was stopped."
    for name, found in measured.items():
        for task in compare_moments({"after": found.result})[:1]:
            yield f"{name}, {task.task}: {measured_text(task)}"


def _glance(rows: Sequence[TableRow]) -> tuple[Cell, ...]:
    by_name = {row.name: row.cells[0] for row in rows}
    return tuple(by_name.get(name, Cell(text=NOT_MEASURED)) for name in _GLANCE)
