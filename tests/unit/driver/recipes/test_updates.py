"""Test how the results of several optimiser steps are merged: mean, sum, largest, last, or left out."""

import math
from collections.abc import Mapping

import pytest

from contracts.batches import StepResult
from contracts.metrics.registry import UnknownMetric
from driver.recipes.updates import merge_step_results


def a_result(metrics: Mapping[str, float], *, is_skipped: bool = False) -> StepResult:
    return StepResult(metrics=metrics, num_tokens=10, seconds=1.5, is_skipped=is_skipped)


def test_a_single_result_stays_unchanged() -> None:
    found = merge_step_results([a_result({"policy/loss": 0.5, "learner/forward_s": 2.0})])
    assert found.metrics == {
        "policy/loss": 0.5,
        "learner/forward_s": 2.0,
        "learner/optimizer_steps": 1.0,
        "learner/skipped_steps": 0.0,
    }
    assert (found.num_tokens, found.seconds, found.is_skipped) == (10, 1.5, False)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("policy/loss", 0.2),  # (0.1 + 0.3) / 2
        ("policy/importance_ratio_max", 0.3),
        ("policy/learning_rate", 0.1),
        ("critic/learning_rate", 0.1),
        ("learner/memory_gib", 0.9),  # the skipped step's
        ("learner/forward_s", 0.3 + 0.9 + 0.1),
        ("learner/micro_batches", 0.3 + 0.9 + 0.1),
        ("learner/sequences", 0.3 + 0.9 + 0.1),
    ],
)
def test_every_metric_is_merged_as_declared(name: str, expected: float) -> None:
    found = merge_step_results([a_result({name: 0.3}), a_result({name: 0.9}, is_skipped=True), a_result({name: 0.1})])
    assert found.metrics[name] == pytest.approx(expected)
    assert (found.metrics["learner/optimizer_steps"], found.metrics["learner/skipped_steps"]) == (2, 1)
    assert (found.num_tokens, found.seconds) == (30, 4.5)


def test_values_that_are_not_finite_and_metrics_of_skipped_steps_only_are_left_out() -> None:
    found = merge_step_results(
        [a_result({"policy/loss": math.nan, "policy/grad_norm": 1.0}), a_result({"policy/grad_norm": math.inf})]
    )
    assert "policy/loss" not in found.metrics
    assert found.metrics["policy/grad_norm"] == 1.0
    lost = merge_step_results([a_result({"policy/loss": 0.5}, is_skipped=True)])
    assert lost.metrics == {"learner/optimizer_steps": 0.0, "learner/skipped_steps": 1.0}
    assert lost.is_skipped


def test_a_metric_that_is_not_declared_is_refused() -> None:
    with pytest.raises(UnknownMetric) as refused:
        merge_step_results([a_result({"policy/surprise": 1.0})])
    assert refused.value.name == "policy/surprise"


def test_a_metric_that_is_measured_once_a_step_is_refused() -> None:
    with pytest.raises(ValueError):
        merge_step_results([a_result({"reward/mean": 1.0})])
