"""Turn the folder of a finished run into a row of results."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from contracts.config.data import BuiltinSource
from contracts.config.run import Config
from driver.evaluation.judging import JudgedRow, read_rows
from driver.evaluation.results import read_evaluations
from driver.problems.builtin.generate import BuiltinItem, builtin_items
from driver.problems.builtin.reasoning import is_reasoning_right
from driver.tracking.line_logs import StepMetrics, read_metrics
from driver.tracking.run_folder import RunFolder
from experiments.rows import Shares


def moments_of(folder: RunFolder, config: Config) -> dict[str, dict[str, Shares]]:
    """Return what was measured, by moment and language."""
    items = _items(config)
    return {
        moment: _shares(read_rows(folder.evaluations / f"{moment}.parquet"), items)
        for moment in read_evaluations(folder.evaluation)
    }


def per_step(steps: Sequence[StepMetrics], name: str) -> tuple[float, ...]:
    """Return a metric of each step that has it."""
    return tuple(round(step.metrics[name], 6) for step in steps if name in step.metrics)


def steps_of(folder: RunFolder) -> list[StepMetrics]:
    """Return the metrics of all steps."""
    return read_metrics(folder.metrics)


def _items(config: Config) -> Mapping[str, BuiltinItem]:
    """Return the evaluated items by id; none where they are not built-in ones, whose steps are known."""
    evaluation = config.evaluation
    if not isinstance(evaluation, BuiltinSource) or evaluation.tasks:
        return {}
    drawn = builtin_items(
        seed=config.run.seed, split=evaluation.split, num_items=evaluation.num_items, levels=evaluation.levels
    )
    return {item.item_id: item for item in drawn}


def _shares(rows: Iterable[JudgedRow], items: Mapping[str, BuiltinItem]) -> dict[str, Shares]:
    by_language: dict[str, list[JudgedRow]] = {}
    for row in rows:
        by_language.setdefault(row.language, []).append(row)
    return {language: _shares_of(found, items) for language, found in by_language.items()}


def _shares_of(rows: Sequence[JudgedRow], items: Mapping[str, BuiltinItem]) -> Shares:
    both = [row.is_correct and bool(row.is_in_language) for row in rows]
    return Shares(
        num_items=len(rows),
        right=fmean(row.is_correct for row in rows),
        consistent=fmean(bool(row.is_in_language) for row in rows),
        right_in_language=fmean(both),
        reasoned=fmean(
            is_right and row.item_id in items and is_reasoning_right(row.response, items[row.item_id], row.language)
            for row, is_right in zip(rows, both, strict=True)
        ),
    )
