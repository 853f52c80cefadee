"""Show a run's metrics to Prometheus while it goes on: those of the last step, and the actors as they are now.

Ray drops a series that is not set again within two of its report intervals (20 s by default). So everything is set
again every few seconds, and a run that has ended has no series.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from actors.fleets.readings import ActorReading
from driver.tracking.actor_metrics import ActorMeter, disk_metrics

LONGEST_PAUSE_S = 5.0
"""Between two settings of a series: half of Ray's report interval, so that no report misses one."""

Result = TypeVar("Result")
logger = logging.getLogger(__name__)


class Gauges(Protocol):
    """Take the newest value of each metric."""

    def show(self, metrics: Mapping[str, float]) -> None:
        """Set the series of these metrics.

        Raises:
            UnknownMetric: a metric is not declared.
        """
        ...


class LiveMetrics:
    """Set the series of one run again and again; a sink of the recorder."""

    def __init__(
        self,
        gauges: Gauges,
        readings: Callable[[], Sequence[ActorReading]],
        *,
        folder: Path,
        every_s: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """
        Args:
            gauges: take the values.
            readings: say how all actors stand now.
            folder: of the run, whose disk is measured.
            every_s: how often the actors are read, at most LONGEST_PAUSE_S, in seconds.
            sleep: waits for some seconds.
        """
        self._gauges = gauges
        self._readings = readings
        self._folder = folder
        self._every_s = min(every_s, LONGEST_PAUSE_S)
        self._sleep = sleep
        self._meter = ActorMeter()
        self._last_step: dict[str, float] = {}

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Show a finished step from the next setting on. Of single actors the present is shown, not the step."""
        of_step = {name: value for name, value in metrics.items() if not name.startswith(("actor/", "disk/"))}
        self._last_step = of_step | {"run/step": float(step)}

    def cut_back(self, step: int) -> None:
        """Do nothing: the last step is shown until another one ends."""

    def close(self) -> None:
        """Do nothing: Ray forgets what is not set again."""

    async def keep_showing(self) -> None:
        """Set the series again and again until cancelled."""
        while True:
            self._gauges.show(self._last_step | self._meter.measure(self._readings()) | self._disk())
            await self._sleep(self._every_s)

    def _disk(self) -> dict[str, float]:
        """Return what is known of the disk; nothing while it can't be reached, which the series then show by ending."""
        try:
            return disk_metrics(self._folder)
        except OSError as failure:
            logger.warning("the disk of %s can't be measured: %s", self._folder, failure)
            return {}


async def beside(work: Awaitable[Result], *monitors: Coroutine[object, object, None]) -> Result:
    """Await `work` and return its result; meanwhile the monitors run. A failure of one is logged, and ends no run."""
    running = [asyncio.ensure_future(monitor) for monitor in monitors]
    for task in running:
        task.add_done_callback(_log_failure)
    try:
        return await work
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)


def _log_failure(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (failure := task.exception()) is not None:
        logger.error("metrics are no longer shown to Prometheus", exc_info=failure)
