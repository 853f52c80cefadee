"""Check what is measured of single actors, worked out by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from actors.fleets.readings import ActorReading
from actors.remote.progress import Progress
from contracts.metrics.registry import refuse_unknown
from driver.tracking.actor_metrics import ActorMeter, disk_metrics


def reading(work: float, busy_s: float, at_s: float, *, name: str = "policy-0", role: str = "policy") -> ActorReading:
    return ActorReading(
        name=name,
        role=role,
        is_serving=True,
        num_restarts=0,
        progress=Progress(work=work, turns=1, busy_s=busy_s, at_s=at_s),
        queue=3,
        version=7 if role == "policy" else None,
    )


def test_rates_are_over_the_seconds_between_two_readings() -> None:
    meter = ActorMeter()
    first = meter.measure([reading(100, 4, 10)])
    second = meter.measure([reading(400, 10, 18)])
    assert "actor/policy-0/tokens_per_s" not in first
    assert second["actor/policy-0/tokens_per_s"] == 300 / 8
    assert second["actor/policy-0/busy_share"] == 6 / 8
    assert second["actor/policy-0/waiting_share"] == 2 / 8
    refuse_unknown(second)


def test_an_old_reading_gives_no_rate_and_does_not_shorten_the_next_interval() -> None:
    meter = ActorMeter()
    meter.measure([reading(100, 4, 10)])
    again = meter.measure([reading(100, 4, 10)])
    later = meter.measure([reading(200, 4, 20)])
    assert "actor/policy-0/busy_share" not in again
    assert later["actor/policy-0/tokens_per_s"] == 10
    assert later["actor/policy-0/waiting_share"] == 1


def test_a_new_process_is_not_compared_with_the_one_before() -> None:
    meter = ActorMeter()
    meter.measure([reading(900, 50, 60)])
    restarted = meter.measure([replace(reading(10, 1, 5), num_restarts=1)])
    later = meter.measure([replace(reading(20, 2, 10), num_restarts=1)])
    assert "actor/policy-0/tokens_per_s" not in restarted
    assert restarted["actor/policy-0/restarts"] == 1
    assert later["actor/policy-0/tokens_per_s"] == 2


def test_a_step_that_is_counted_late_fills_the_interval_and_no_more() -> None:
    meter = ActorMeter()
    meter.measure([reading(0, 0, 10)])
    assert meter.measure([reading(50, 9, 15)])["actor/policy-0/busy_share"] == 1


def test_a_scorer_scores_texts_and_has_no_version() -> None:
    meter = ActorMeter()
    meter.measure([reading(0, 0, 0, name="scorer-0", role="scorer")])
    measured = meter.measure([reading(8, 1, 4, name="scorer-0", role="scorer")])
    assert measured["actor/scorer-0/texts_per_s"] == 2
    assert not {"actor/scorer-0/tokens_per_s", "actor/scorer-0/version"} & measured.keys()


def test_a_worker_with_older_weights_is_behind_the_newest() -> None:
    silent = replace(reading(0, 0, 0, name="policy-1"), version=4, is_serving=False, progress=None)
    measured = ActorMeter().measure([reading(0, 0, 0), silent])
    assert measured["actor/policy-0/versions_behind"] == 0
    assert measured["actor/policy-1/versions_behind"] == 3
    assert (measured["actor/policy-0/serving"], measured["actor/policy-1/serving"]) == (1, 0)
    assert measured["actor/policy-1/queue"] == 3


def test_the_disk_of_the_folder_is_measured(tmp_path: Path) -> None:
    measured = disk_metrics(tmp_path)
    assert measured["disk/free_gib"] > 0
    assert 0 < measured["disk/free_share"] <= 1
    refuse_unknown(measured)


def test_the_disk_of_a_folder_that_is_gone_can_not_be_measured(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        disk_metrics(tmp_path / "gone")
