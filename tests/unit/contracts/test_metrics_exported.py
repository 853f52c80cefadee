"""Check the names and labels under which Prometheus gets metrics."""

import re

import pytest

from contracts.metrics.exported import RUN_LABEL, Series, exported_name, query_name, series_of
from contracts.metrics.metric import Metric
from contracts.metrics.registry import METRICS, UnknownMetric


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("reward/mean", Series("pb_rlsvr_reward_mean", {})),
        ("reward/answer/sw", Series("pb_rlsvr_reward", {"component": "answer", "language": "sw"})),
        ("lang/all/accuracy", Series("pb_rlsvr_lang_accuracy", {"language": "all"})),
        ("group/dropped_no_signal", Series("pb_rlsvr_group_dropped", {"reason": "no_signal"})),
        ("response/unscored", Series("pb_rlsvr_response_unscored", {})),
        ("response/unscored_timed_out", Series("pb_rlsvr_response_unscored_by_reason", {"reason": "timed_out"})),
        ("timing_s/learn", Series("pb_rlsvr_timing_s", {"stage": "learn"})),
        ("actor/policy-0/busy_share", Series("pb_rlsvr_actor_busy_share", {"actor": "policy-0"})),
    ],
)
def test_slashes_become_underscores_and_words_become_labels(name: str, series: Series) -> None:
    assert series_of(name) == series


def test_no_two_declarations_have_the_same_name() -> None:
    names = [exported_name(metric) for metric in METRICS]
    assert len(set(names)) == len(METRICS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_and_labels_are_what_prometheus_takes(metric: Metric) -> None:
    assert re.fullmatch(r"[a-z_][a-z0-9_]*", exported_name(metric))
    assert RUN_LABEL not in metric.words
    assert len(set(metric.words)) == len(metric.words)


def test_an_undeclared_metric_has_no_series() -> None:
    with pytest.raises(UnknownMetric):
        series_of("lang/sw/speed")


def test_a_query_has_the_prefix_of_ray() -> None:
    assert query_name("lang/<language>/accuracy") == "ray_pb_rlsvr_lang_accuracy"
