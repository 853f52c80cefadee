"""Check that every metric has one declaration, and that values are reduced as it says."""

import pytest

from contracts.metrics.metric import Reduction, reduced
from contracts.metrics.registry import METRICS, UnknownMetric, metric_named


@pytest.mark.parametrize(
    ("name", "declared"),
    [
        ("policy/loss", "policy/loss"),
        ("reward/mean", "reward/mean"),
        ("reward/reasoning/all", "reward/<component>/<language>"),
        ("gate/answer_language/sw", "gate/<gate>/<language>"),
        ("lang/all/accuracy", "lang/<language>/accuracy"),
        ("group/dropped_no_signal", "group/dropped_<reason>"),
        ("response/unscored", "response/unscored"),
        ("response/unscored_scorer_timed_out", "response/unscored_<reason>"),
        ("timing_s/learn", "timing_s/<stage>"),
    ],
)
def test_a_name_finds_its_declaration(name: str, declared: str) -> None:
    assert metric_named(name).name == declared


@pytest.mark.parametrize(
    "name",
    ["policy/lr", "policy/loss_max", "lang/sw/speed", "lang/sw", "reward/a/b/sw", "timing_s/", "loss", "scorer/texts"],
)
def test_a_name_without_a_declaration_is_refused(name: str) -> None:
    with pytest.raises(UnknownMetric) as refused:
        metric_named(name)
    assert refused.value.name == name


def test_every_metric_is_declared_once() -> None:
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))


def test_no_pattern_covers_another_declaration() -> None:
    patterns = [metric for metric in METRICS if metric.is_pattern]
    exact = [metric.name for metric in METRICS if not metric.is_pattern]
    assert [(pattern.name, name) for pattern in patterns for name in exact if pattern.matches(name)] == []


def test_every_metric_has_a_title_and_one_sentence_of_meaning() -> None:
    for metric in METRICS:
        assert metric.title and metric.meaning.endswith(".") and ". " not in metric.meaning, metric.name


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [(Reduction.MEAN, 2.5), (Reduction.SUM, 7.5), (Reduction.MAX, 4.0), (Reduction.LAST, 1.5)],
)
def test_values_are_reduced_as_declared(reduction: Reduction, expected: float) -> None:
    assert reduced([2.0, 4.0, 1.5], reduction) == expected


@pytest.mark.parametrize("reduction", [Reduction.WEIGHTED_SUM, Reduction.STD, Reduction.RATIO])
def test_a_reduction_that_needs_more_than_the_values_is_refused(reduction: Reduction) -> None:
    with pytest.raises(ValueError):
        reduced([1.0], reduction)


def test_no_values_have_no_reduction() -> None:
    with pytest.raises(ValueError):
        reduced([], Reduction.SUM)
