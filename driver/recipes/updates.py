"""Describe the optimiser steps of one batch, taken or skipped, and merge their results into the result of the step."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from contracts.batches import StepResult, TrainBatch
from contracts.metrics.metric import reduced
from contracts.metrics.registry import metric_named
from driver.tracking.step_record import SkippedStep


@dataclass(frozen=True, kw_only=True)
class OptimizerStep:
    """Hold one optimiser step that the learner was asked for."""

    group_ids: tuple[str, ...]  # [num_sequences] by sequence id
    result: StepResult

    @classmethod
    def of(cls, batch: TrainBatch, result: StepResult) -> "OptimizerStep":
        """Return the optimiser step on a packed batch."""
        return cls(group_ids=batch.group_ids, result=result)

    @property
    def not_finite_group_ids(self) -> tuple[str, ...]:
        """Return the groups whose loss was not finite, each once; all groups if only a gradient was not finite."""
        named = [self.group_ids[index] for index in sorted(self.result.not_finite)]
        return tuple(dict.fromkeys(named or self.group_ids))


@dataclass(frozen=True, kw_only=True)
class BatchUpdate:
    """Hold the optimiser steps of one batch, in order; none if the batch has no sample."""

    group_sizes: Mapping[str, int]  # number of samples of each group of the batch
    optimizer_steps: Sequence[OptimizerStep]
    num_before: int  # optimiser steps of the run before this batch, skipped ones included
    skipped_before: int  # how many of them were skipped in a row, at the end

    @property
    def result(self) -> StepResult | None:
        """Return the merged result of all optimiser steps, or None if there was none."""
        if not self.optimizer_steps:
            return None
        result = merge_step_results([step.result for step in self.optimizer_steps])
        return replace(result, metrics={**result.metrics, "group/used": float(len(self._taken_group_ids))})

    @property
    def has_changed_weights(self) -> bool:
        """Return whether at least one optimiser step was taken."""
        return any(not step.result.is_skipped for step in self.optimizer_steps)

    @property
    def num_samples(self) -> int:
        """Return the number of samples that the learner learned from."""
        return sum(self.group_sizes[group_id] for group_id in self._taken_group_ids)

    @property
    def group_ids(self) -> tuple[str, ...]:
        """Return the groups that the learner learned from, in the order of the batch."""
        taken = self._taken_group_ids
        return tuple(group_id for group_id in self.group_sizes if group_id in taken)

    @property
    def skipped_group_ids(self) -> tuple[str, ...]:
        """Return the groups whose optimiser steps were all skipped, or that the batch did not get to."""
        taken = self._taken_group_ids
        return tuple(group_id for group_id in self.group_sizes if group_id not in taken)

    @property
    def num_optimizer_steps(self) -> int:
        """Return the number of optimiser steps of the run so far, skipped ones included."""
        return self.num_before + len(self.optimizer_steps)

    @property
    def skipped(self) -> tuple[SkippedStep, ...]:
        """Return the skipped optimiser steps of this batch."""
        return tuple(
            SkippedStep(optimizer_step=number, group_ids=step.not_finite_group_ids)
            for number, step in enumerate(self.optimizer_steps, start=self.num_before + 1)
            if step.result.is_skipped
        )

    @property
    def skipped_in_a_row(self) -> int:
        """Return how many optimiser steps of the run were skipped in a row up to now."""
        for count, step in enumerate(reversed(self.optimizer_steps)):
            if not step.result.is_skipped:
                return count
        return self.skipped_before + len(self.optimizer_steps)

    @property
    def _taken_group_ids(self) -> set[str]:
        return {group_id for step in self.optimizer_steps if not step.result.is_skipped for group_id in step.group_ids}


def merge_step_results(results: Sequence[StepResult]) -> StepResult:
    """Return the result of all optimiser steps of a batch together. `results` are in order, at least one.

    The declaration of a metric says how it is reduced over the steps, and whether skipped steps count. Values that are
    not finite are left out, and so are metrics that only skipped steps have.

    Raises:
        UnknownMetric: a result has a metric that is not declared.
        ValueError: a result has a metric that is declared to be measured once a step.
    """
    taken = [result for result in results if not result.is_skipped]
    metrics: dict[str, float] = {}
    for name in dict.fromkeys(name for result in results for name in result.metrics):
        metric = metric_named(name)
        if metric.over_optimizer_steps is None:
            raise ValueError(f"{name} is measured once a step and has no place in the result of an optimiser step")
        sources = results if metric.counts_skipped_steps else taken
        values = [result.metrics[name] for result in sources if math.isfinite(result.metrics.get(name, math.nan))]
        if values:
            metrics[name] = reduced(values, metric.over_optimizer_steps)
    metrics["learner/optimizer_steps"] = float(len(taken))
    metrics["learner/skipped_steps"] = float(len(results) - len(taken))
    return StepResult(
        metrics=metrics,
        num_tokens=sum(result.num_tokens for result in results),
        seconds=math.fsum(result.seconds for result in results),
        is_skipped=not taken,
    )
