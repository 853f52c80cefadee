"""The policy's workers: engines that serve only while they hold the learner's weights of now.

Owns who is to be sent weights and what became of it. How weights travel is the learner's matter (actors/learner.py).
"""

import asyncio
from collections.abc import Iterable

from actors.fleets.generators import GeneratorFleet
from actors.fleets.states import WorkerState
from actors.fleets.supervisor import Supervisor, Worker
from actors.remote.process import RemoteActor

MAX_MISSED = 2
"""Pushes that a worker may miss in a row before another takes its place."""


class PolicyFleet(GeneratorFleet):
    """Workers that were started again are stale: they are asked for nothing until they were given weights."""

    def __init__(self, supervisor: Supervisor, *, timeout_s: float = 1800.0) -> None:
        super().__init__(supervisor, timeout_s=timeout_s)
        self.stale = asyncio.Event()
        """Set when a worker became stale outside a push: somebody should bring it up to the weights of now."""
        self._receiving: dict[str, RemoteActor] = {}
        self._num_missed: dict[RemoteActor, int] = {}  # in a row, by process
        self._is_missing = False

    def receivers(self) -> dict[str, RemoteActor]:
        """All that are loaded and not dead, by name."""
        self._receiving = {worker.name: worker.handle for worker in self.supervisor.loaded()}
        return dict(self._receiving)

    def received(self, names: Iterable[str], policy_version: int) -> None:
        """These hold that version now. One whose process was exchanged since `receivers` was asked holds nothing."""
        for worker in self._of(names):
            self._num_missed.pop(worker.handle, None)
            if worker.state is WorkerState.STALE:  # a suspect one is ready again when it answers a heartbeat
                self.supervisor.current(worker, f"holds version {policy_version}")

    def missed(self, name: str, why: str) -> None:
        """It did not take a push; after the second time in a row another takes its place."""
        for worker in self._of([name]):
            times = self._num_missed[worker.handle] = self._num_missed.get(worker.handle, 0) + 1
            if times >= MAX_MISSED:
                self._num_missed.pop(worker.handle)
                self.supervisor.failed(worker, f"missed {times} weight pushes: {why}")
                continue
            self._is_missing = True
            self.supervisor.stale(worker, f"missed a weight push: {why}")
            self._is_missing = False

    async def wait_receivers(self) -> None:
        """Until `receivers` is not empty. Raises FleetLost where it never will be."""
        await self.supervisor.until_loaded()

    def _of(self, names: Iterable[str]) -> list[Worker]:
        """The workers that still have the process which was to receive."""
        wanted = set(names)
        return [
            worker
            for worker in self.supervisor.workers
            if worker.name in wanted and worker.handle is self._receiving.get(worker.name, worker.handle)
        ]

    def _hear(self, worker: Worker) -> None:
        super()._hear(worker)
        if worker.state is WorkerState.STALE and self.supervisor.is_open and not self._is_missing:
            self.stale.set()
