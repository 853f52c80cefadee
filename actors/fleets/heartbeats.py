"""Ask every worker of a role for a heartbeat every few seconds, and report silence and failures to its supervisor."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

from actors.fleets.worker import Worker
from actors.remote.calls import ProcessLost, Unreachable, WorkerRaised, answer
from actors.remote.process import RemoteActor
from actors.remote.progress import Progress
from actors.remote.silence import SilenceDetector
from contracts.config.workers import FleetConfig


class Monitor(Protocol):
    """Name the workers to ask, and act on what the heartbeats show: the supervisor."""

    def watched(self) -> Sequence[Worker]: ...

    def mark_dead(self, worker: Worker, why: str, *, handle: RemoteActor | None = None) -> None: ...

    def mark_suspect(self, worker: Worker, why: str, *, handle: RemoteActor | None = None) -> None: ...

    def mark_answering(self, worker: Worker) -> None: ...

    def note_progress(self, worker: Worker, progress: Progress) -> None: ...


class Heartbeats:
    """Watch the workers of one supervisor that have loaded or are loading.

    A worker that loads is asked whether its process answers, because a heartbeat proper is the model's.
    """

    def __init__(
        self,
        monitor: Monitor,
        rules: FleetConfig,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._monitor = monitor
        self._rules = rules
        self._clock = clock
        self._sleep = sleep
        self._detectors: dict[str, tuple[RemoteActor, SilenceDetector]] = {}  # by worker: its process, its detector

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            while True:
                await self._sleep(self._rules.heartbeat_s)
                for worker in self._monitor.watched():
                    self._look(worker)
        finally:
            questions = [detector.stop() for _, detector in self._detectors.values()]
            await asyncio.gather(*filter(None, questions), return_exceptions=True)

    def _look(self, worker: Worker) -> None:
        handle, detector = self._detectors.get(worker.name, (None, None))
        if detector is None or handle is not worker.handle:
            ask = partial(self._ask, worker, worker.handle)
            detector = SilenceDetector(ask, look_s=self._rules.heartbeat_s, clock=self._clock)
            self._detectors[worker.name] = worker.handle, detector
        silent_s = detector.look()
        if worker.is_receiving:  # the push has its own limit (weights.timeout_s)
            detector.forgive()
            return
        why = f"no heartbeat for {silent_s:g} s"
        if silent_s >= self._rules.dead_after_s:
            self._monitor.mark_dead(worker, why)
        elif silent_s >= self._rules.suspect_after_s:
            self._monitor.mark_suspect(worker, why)

    async def _ask(self, worker: Worker, handle: RemoteActor) -> bool:
        """Return whether this process of the worker answered."""
        is_loaded = worker.is_loaded
        try:
            found = await answer(handle.heartbeat.remote() if is_loaded else handle.process.remote())
        except Unreachable as failure:
            self._monitor.mark_suspect(worker, f"it can't be reached: {failure}", handle=handle)
            return False
        except (ProcessLost, WorkerRaised) as failure:
            if is_loaded:  # a worker that loads is awaited elsewhere, where more is known about the failure
                self._monitor.mark_dead(worker, str(failure), handle=handle)
            return False
        if handle is worker.handle:
            self._monitor.mark_answering(worker)
            if isinstance(found, Progress):
                self._monitor.note_progress(worker, found)
        return True
