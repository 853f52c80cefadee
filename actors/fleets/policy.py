"""Put the policy's workers behind the driver's ports: engines that serve only with the learner's current weights."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from actors.fleets.engines import EnginePool
from actors.fleets.supervisor import Supervisor
from actors.fleets.worker import Worker, WorkerState
from actors.remote.process import RemoteActor

MAX_MISSED = 2
"""Weight pushes that a worker may miss in a row before another process takes its place."""


class PolicyPool(EnginePool):
    """Track which workers hold which weights. A restarted worker is stale: it gets no requests before it has weights.

    How weights travel is the learner's matter.
    """

    def __init__(self, supervisor: Supervisor, *, timeout_s: float = 1800.0) -> None:
        super().__init__(supervisor, timeout_s=timeout_s)
        self.stale = asyncio.Event()
        """Set when a worker became stale outside a push: the current weights should be sent to it."""
        self._receiving: dict[str, RemoteActor] = {}
        self._num_missed: dict[RemoteActor, int] = {}  # pushes in a row, by process
        self._is_missing = False

    def receivers(self) -> dict[str, RemoteActor]:
        """Return the workers to push weights to, by name: all that are loaded."""
        self._receiving = {worker.name: worker.handle for worker in self.supervisor.loaded()}
        return dict(self._receiving)

    @contextmanager
    def sending(self, names: Iterable[str]) -> Iterator[None]:
        """Don't take the silence of these workers for that of a dead one while weights are sent to them."""
        receiving = self._same_process(names)
        for worker in receiving:
            worker.is_receiving = True
        try:
            yield
        finally:
            for worker in receiving:
                worker.is_receiving = False

    def received(self, names: Iterable[str], policy_version: int) -> None:
        """Note that these workers hold this version.

        A worker whose process was replaced since `receivers` was called holds nothing.
        """
        for worker in self._same_process(names):
            self._num_missed.pop(worker.handle, None)
            worker.version = policy_version
            if worker.state is WorkerState.STALE:  # a suspect one is ready again when it answers a heartbeat
                self.supervisor.mark_current(worker, f"holds version {policy_version}")

    def missed(self, name: str, why: str) -> None:
        """Note that a worker did not take a push. After the second miss in a row its process is replaced."""
        for worker in self._same_process([name]):
            times = self._num_missed[worker.handle] = self._num_missed.get(worker.handle, 0) + 1
            if times >= MAX_MISSED:
                self._num_missed.pop(worker.handle)
                self.supervisor.mark_dead(worker, f"missed {times} weight pushes: {why}")
                continue
            self._is_missing = True
            self.supervisor.mark_stale(worker, f"missed a weight push: {why}")
            self._is_missing = False

    async def wait_receivers(self) -> None:
        """Wait until `receivers` is not empty.

        Raises:
            FleetLost: it never will be.
        """
        await self.supervisor.until_loaded()

    def _same_process(self, names: Iterable[str]) -> list[Worker]:
        """Return the named workers that still have the process that was to receive."""
        wanted = set(names)
        return [
            worker
            for worker in self.supervisor.workers
            if worker.name in wanted and worker.handle is self._receiving.get(worker.name, worker.handle)
        ]

    def _on_change(self, worker: Worker) -> None:
        super()._on_change(worker)
        if worker.state is WorkerState.STALE and self.supervisor.is_open and not self._is_missing:
            self.stale.set()
