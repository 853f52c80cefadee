"""Check what is shown to Prometheus while a run goes on, and that failures of it end no run."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from unittest import TestCase

import pytest

from actors.fleets.readings import ActorReading
from contracts.metrics.registry import UnknownMetric
from driver.tracking.live_metrics import LONGEST_PAUSE_S, LiveMetrics, beside
from tests.fakes.clock import FakeTime, settle
from tests.fakes.ports import run


class KeptGauges:
    """Keep what was shown, oldest first."""

    def __init__(self) -> None:
        self.shown: list[dict[str, float]] = []

    def show(self, metrics: Mapping[str, float]) -> None:
        self.shown.append(dict(metrics))


def readings() -> list[ActorReading]:
    return [ActorReading(name="policy-0", role="policy", is_serving=True, num_restarts=2, progress=None, queue=5)]


def test_the_last_step_and_the_present_of_the_actors_are_shown_again_and_again(tmp_path: Path) -> None:
    async def work() -> None:
        gauges, time = KeptGauges(), FakeTime()
        live = LiveMetrics(gauges, readings, folder=tmp_path, every_s=60, sleep=time.sleep)
        done = asyncio.Event()
        running = asyncio.ensure_future(beside(done.wait(), live.keep_showing()))
        await time.advance(1)
        assert gauges.shown[0]["actor/policy-0/restarts"] == 2
        assert "run/step" not in gauges.shown[0]
        live.step(4, {"reward/mean": 0.5, "actor/policy-0/queue": 9.0})
        await time.advance(LONGEST_PAUSE_S)
        assert gauges.shown[1]["reward/mean"] == 0.5
        assert gauges.shown[1]["run/step"] == 4
        assert gauges.shown[1]["actor/policy-0/queue"] == 5  # as it is now, not as it was in the step
        assert gauges.shown[1]["disk/free_share"] > 0
        done.set()
        assert await running is True
        await time.advance(60)
        assert len(gauges.shown) == 2

    run(work())


def test_a_disk_that_can_not_be_reached_ends_only_its_own_series(tmp_path: Path) -> None:
    async def work() -> None:
        gauges, time = KeptGauges(), FakeTime()
        live = LiveMetrics(gauges, readings, folder=tmp_path / "gone", every_s=1, sleep=time.sleep)
        await beside(time.advance(1.5), live.keep_showing())
        assert [shown.keys() & {"actor/policy-0/queue", "disk/free_share"} for shown in gauges.shown] == [
            {"actor/policy-0/queue"}
        ] * 2

    run(work())


def test_a_failure_to_show_metrics_is_logged_and_the_work_goes_on(tmp_path: Path) -> None:
    class Refusing:
        def show(self, metrics: Mapping[str, float]) -> None:
            raise UnknownMetric(next(iter(metrics)))

    async def work() -> str:
        await settle()
        return "done"

    live = LiveMetrics(Refusing(), readings, folder=tmp_path, every_s=1)
    with TestCase().assertLogs() as logs:
        assert run(beside(work(), live.keep_showing())) == "done"
    assert [record.exc_info[0] for record in logs.records if record.exc_info] == [UnknownMetric]


def test_a_failure_of_the_work_is_raised(tmp_path: Path) -> None:
    async def work() -> None:
        raise ValueError

    with pytest.raises(ValueError):
        run(beside(work(), LiveMetrics(KeptGauges(), readings, folder=tmp_path, every_s=1).keep_showing()))
