"""Add and remove workers as nodes of the cluster come and go.

A pure function decides, and a loop applies its decisions. A worker that spent its restarts is not replaced here: the
next one would only fail again, so from then on one worker fewer is wanted.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from actors.fleets.supervisor import OnEvent
from actors.fleets.worker import Worker
from actors.remote.process import RemoteActor
from cluster.layout import Resources

LOOK_EVERY_S = 10.0
"""Seconds between two looks at the cluster. A slot without a node at two looks in a row has lost its node: where
another node has space, Ray itself moves the slot there within a second or two."""


class ClusterSilent(RuntimeError):
    """Report that the cluster did not answer."""


@dataclass(frozen=True, kw_only=True)
class Slot:
    """Hold one bundle that a worker can be started in. It stays reserved while its node is away."""

    key: str
    node: str | None  # None: no node has space for it now
    is_draining: bool = False  # its node is about to end


@dataclass(frozen=True, kw_only=True)
class ClusterView:
    """Hold what one look at the cluster shows."""

    slots: tuple[Slot, ...]  # all that were reserved for these workers and not released
    free: tuple[Resources, ...]  # of every node that is alive and not about to end
    is_short: bool  # something of the run waits for a node, and has the first claim on free resources
    refused: Mapping[str, str] = field(default_factory=dict)  # name of a node that gets no worker -> why


@dataclass(frozen=True, kw_only=True)
class ScalingLimits:
    """Say how many workers there may be, and what one of them needs."""

    min_workers: int
    max_workers: int
    bundle: Resources


@dataclass(frozen=True, kw_only=True)
class ScalingDecision:
    """Say what to do after a look."""

    remove: Mapping[str, str] = field(default_factory=dict)  # key of the slot -> why its worker is removed
    fill: tuple[str, ...] = ()  # keys of reserved slots to start a worker in
    reserve: bool = False  # whether to ask for one more slot


class Capacity(Protocol):
    """Reserve and release slots of the cluster. Every call may block for a moment."""

    def look(self) -> ClusterView:
        """Return what the cluster has.

        Raises:
            ClusterSilent: it does not answer.
        """
        ...

    def reserve(self) -> str | None:
        """Return the key of one more slot; None if the free resources that were seen are gone.

        Raises:
            ClusterSilent: the cluster does not answer.
        """
        ...

    def release(self, key: str) -> None:
        """Give back a slot that was reserved later; the slots that the run reserved as a whole stay reserved.

        Raises:
            ClusterSilent: the cluster does not answer.
        """
        ...

    def start(self, key: str) -> RemoteActor:
        """Start an actor in a slot, without waiting for it.

        Raises:
            ClusterSilent: the cluster does not answer.
        """
        ...


class ScaledWorkers(Protocol):
    """Add and remove the workers of one role: a supervisor."""

    def remaining(self) -> list[Worker]:
        """Return the workers that are not removed."""
        ...

    def add(self, start: Callable[[], RemoteActor]) -> Worker:
        """Add a worker under a name that was never used before. It loads at once."""
        ...

    def remove(self, worker: Worker, why: str) -> None:
        """Remove a worker for good; its requests go to the others."""
        ...


def decide(
    view: ClusterView,
    *,
    occupied: Collection[str],
    closed: Collection[str],
    without_node: Collection[str],
    num_workers: int,
    limits: ScalingLimits,
) -> ScalingDecision:
    """Decide which workers to remove, and where to start new ones.

    The decision never leaves fewer than `limits.min_workers`: such a worker keeps its slot, and its restart budget
    decides whether the run ends.

    Args:
        view: what the cluster shows.
        occupied: keys of slots with a worker.
        closed: keys of slots in which no worker may be started any more.
        without_node: keys of slots that had no node at the look before.
        num_workers: workers that are not removed.
        limits: of the role.
    """
    remove: dict[str, str] = {}
    for slot in view.slots:
        if slot.key not in occupied or num_workers - len(remove) <= limits.min_workers:
            continue
        if slot.is_draining:
            remove[slot.key] = "its node will be taken away"
        elif slot.node is None and slot.key in without_node:
            remove[slot.key] = "its node is gone, and no other node has free resources"
    wanted = limits.max_workers - len(closed) - (num_workers - len(remove))
    vacant = [
        slot.key
        for slot in view.slots
        if slot.key not in occupied and slot.key not in closed and slot.node is not None and not slot.is_draining
    ]
    fill = tuple(vacant[: max(0, wanted)])
    has_space = any(_fits(limits.bundle, free) for free in view.free)
    return ScalingDecision(remove=remove, fill=fill, reserve=wanted > len(fill) and has_space and not view.is_short)


def _fits(bundle: Resources, free: Resources) -> bool:
    return bundle.cpus <= free.cpus + 1e-6 and bundle.gpus <= free.gpus + 1e-6


class Autoscaler:
    """Keep the number of one role's workers in step with the cluster. Run `run` as a task; cancel it to stop."""

    def __init__(
        self, role: str, workers: ScaledWorkers, capacity: Capacity, *, limits: ScalingLimits, on_event: OnEvent
    ) -> None:
        """Call `occupy` next, to say which workers were started in which slots."""
        self._role = role
        self._workers = workers
        self._capacity = capacity
        self._limits = limits
        self._on_event = on_event
        self._occupied: dict[str, Worker] = {}  # key of the slot -> its worker
        self._closed: set[str] = set()
        self._without_node: frozenset[str] = frozenset()
        self._refused: set[str] = set()  # names of nodes of which an event has told
        self._is_silent = False

    def occupy(self, keys: Sequence[str], workers: Sequence[Worker]) -> None:
        """Set the slots of the first workers, in the same order."""
        self._occupied = dict(zip(keys, workers, strict=True))

    async def run(self, *, every_s: float = LOOK_EVERY_S) -> None:
        """Look at the cluster every `every_s` seconds, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            await self.look()

    async def look(self) -> None:
        """Look at the cluster once and apply what is decided. If it does not answer, the next look tries again."""
        try:
            view = await asyncio.to_thread(self._capacity.look)
            self._tell_of_refused(view.refused)
            self._close_spent()
            decision = self._decide(view)
            for key, why in decision.remove.items():
                self._remove(key, why)
            for key in decision.fill:
                self._start(key, "a node has free resources again")
            if decision.reserve and (key := await asyncio.to_thread(self._capacity.reserve)) is not None:
                self._start(key, "the cluster has free resources for another worker")
            self._is_silent = False
        except ClusterSilent as failure:
            if not self._is_silent:
                self._on_event("fleet", f"{self._role}: the resources of the cluster are unknown", str(failure))
            self._is_silent = True

    def _decide(self, view: ClusterView) -> ScalingDecision:
        decision = decide(
            view,
            occupied=self._occupied,
            closed=self._closed,
            without_node=self._without_node,
            num_workers=self._num_workers(),
            limits=self._limits,
        )
        self._without_node = frozenset(slot.key for slot in view.slots if slot.node is None)
        return decision

    def _tell_of_refused(self, refused: Mapping[str, str]) -> None:
        for node in sorted(refused.keys() - self._refused):
            self._on_event("fleet", f"{self._role}: a node gets no worker", f"{node}: {refused[node]}")
        self._refused |= refused.keys()

    def _num_workers(self) -> int:
        return len(self._workers.remaining())

    def _close_spent(self) -> None:
        """Close the slots of workers that were retired elsewhere: they have spent their restarts."""
        remaining = self._workers.remaining()
        for key in [key for key, worker in self._occupied.items() if worker not in remaining]:
            del self._occupied[key]
            self._closed.add(key)  # before the release, which fails if the cluster does not answer
            self._capacity.release(key)

    def _remove(self, key: str, why: str) -> None:
        before = self._num_workers()
        worker = self._occupied.pop(key)
        self._workers.remove(worker, why)
        self._capacity.release(key)
        self._report_size(before, f"{worker.name} is removed: {why}")

    def _start(self, key: str, why: str) -> None:
        before = self._num_workers()
        worker = self._workers.add(lambda: self._capacity.start(key))
        self._occupied[key] = worker
        self._report_size(before, f"{worker.name} is added: {why}")

    def _report_size(self, before: int, why: str) -> None:
        self._on_event("fleet", f"{self._role}: {before} -> {self._num_workers()} workers", why)
