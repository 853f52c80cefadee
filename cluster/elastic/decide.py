"""Workers that come and go with the cluster's nodes: who is given up, which place is taken again, when one is added.

Owns that decision, as a pure function, and the loop that asks for it. Knows neither Ray (cluster/elastic/ray_room.py
does) nor what a worker computes. A worker that spent its restarts is not this module's to bring back: it would only
fail again, so from then on one fewer is wanted.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from actors.fleets.supervisor import Report, Worker
from actors.remote.process import RemoteActor
from cluster.layout import Resources

LOOK_EVERY_S = 10.0
"""Between two looks at the cluster. A place without a node at two looks in a row has none for now: Ray itself finds
another within a second or two where there is room."""


class ClusterSilent(RuntimeError):
    """The cluster could not be asked just now."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A bundle that a worker can be started in; it stays reserved while its node is away."""

    key: str
    node: str | None  # None: the cluster has no room for it now
    is_draining: bool = False  # its node has been told to end


@dataclass(frozen=True, kw_only=True)
class View:
    """What a look at the cluster shows."""

    places: tuple[Place, ...]  # all that were ever reserved for these workers and not released
    free: tuple[Resources, ...]  # of every node that lives and is not about to end
    is_short: bool  # something of the run waits for a node: what is free belongs to that first


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How many workers there may be, and what one takes."""

    least: int
    most: int
    bundle: Resources


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do after a look."""

    give_up: Mapping[str, str] = field(default_factory=dict)  # key of the place -> why its worker is given up
    fill: tuple[str, ...] = ()  # keys of reserved places to start a worker in
    reserve: bool = False  # whether to ask for one more place


class Room(Protocol):
    """The cluster's side; every call may block for a moment (cluster/elastic/ray_room.py)."""

    def look(self) -> View:
        """
        Raises:
            ClusterSilent: it does not answer.
        """
        ...

    def reserve(self) -> str | None:
        """The key of one more place; None where the room that was seen is gone.

        Raises:
            ClusterSilent: it does not answer.
        """
        ...

    def release(self, key: str) -> None:
        """Give a place back that was reserved later; those that the run reserved as a whole stay together."""
        ...

    def start(self, key: str) -> RemoteActor:
        """A new actor there. Does not wait for it."""
        ...


class Fleet(Protocol):
    """The workers' side (actors/fleets/supervisor.py)."""

    def possible(self) -> list[Worker]:
        """All that serve, load or wait to be restarted."""
        ...

    def hire(self, start: Callable[[], RemoteActor]) -> Worker:
        """One more, whose name was never used before; it loads by itself."""
        ...

    def retire(self, worker: Worker, why: str) -> None:
        """Never to be restarted; its work goes to the others."""
        ...


def decide(
    view: View, *, taken: Collection[str], closed: Collection[str], away: Collection[str], living: int, limits: Limits
) -> Decision:
    """Pure. `taken`: keys of places with a worker; `closed`: of those that none may be started in any more; `away`: of
    those that had no node at the look before; `living`: workers now.

    Never goes below `limits.least`: such a worker keeps its place, and its restarts decide what becomes of the run.
    """
    give_up: dict[str, str] = {}
    for place in view.places:
        if place.key not in taken or living - len(give_up) <= limits.least:
            continue
        if place.is_draining:
            give_up[place.key] = "its node is about to end"
        elif place.node is None and place.key in away:
            give_up[place.key] = "its node is gone and no other has room"
    wanted = limits.most - len(closed) - (living - len(give_up))
    vacant = [
        place.key
        for place in view.places
        if place.key not in taken and place.key not in closed and place.node is not None and not place.is_draining
    ]
    fill = tuple(vacant[: max(0, wanted)])
    has_room = any(_fits(limits.bundle, free) for free in view.free)
    return Decision(give_up=give_up, fill=fill, reserve=wanted > len(fill) and has_room and not view.is_short)


def _fits(bundle: Resources, free: Resources) -> bool:
    return bundle.cpus <= free.cpus + 1e-6 and bundle.gpus <= free.gpus + 1e-6


class Elastic:
    """Keeps one role's number of workers in step with the cluster. `run` it as a task; cancel it to stop."""

    def __init__(self, role: str, fleet: Fleet, room: Room, *, limits: Limits, report: Report) -> None:
        """`seat` then says who was started where."""
        self._role = role
        self._fleet = fleet
        self._room = room
        self._limits = limits
        self._report = report
        self._taken: dict[str, Worker] = {}  # key of the place -> its worker
        self._closed: set[str] = set()
        self._away: frozenset[str] = frozenset()
        self._silence = ""

    def seat(self, keys: Sequence[str], workers: Sequence[Worker]) -> None:
        """The places of the first workers, in the same order."""
        self._taken = dict(zip(keys, workers, strict=True))

    async def run(self, *, every_s: float = LOOK_EVERY_S) -> None:
        while True:
            await asyncio.sleep(every_s)
            await self.look()

    async def look(self) -> None:
        """One look at the cluster, and what follows from it. One that does not answer is looked at again later."""
        try:
            view = await asyncio.to_thread(self._room.look)
            self._close_spent()
            decision = self._decide(view)
            for key, why in decision.give_up.items():
                self._give_up(key, why)
            for key in decision.fill:
                self._start(key, "there is room again for a worker that was given up")
            if decision.reserve and (key := await asyncio.to_thread(self._room.reserve)) is not None:
                self._start(key, "the cluster has room for another")
            self._silence = ""
        except ClusterSilent as failure:
            if not self._silence:
                self._report("fleet", f"{self._role}: the cluster does not say what it has", str(failure))
            self._silence = str(failure)

    def _decide(self, view: View) -> Decision:
        decision = decide(
            view,
            taken=self._taken,
            closed=self._closed,
            away=self._away,
            living=self._num_living(),
            limits=self._limits,
        )
        self._away = frozenset(place.key for place in view.places if place.node is None)
        return decision

    def _num_living(self) -> int:
        return len(self._fleet.possible())

    def _close_spent(self) -> None:
        """Whoever is out without having been given up here has spent its restarts."""
        possible = self._fleet.possible()
        for key in [key for key, worker in self._taken.items() if worker not in possible]:
            del self._taken[key]
            self._closed.add(key)  # first: it holds also where the cluster does not answer
            self._room.release(key)

    def _give_up(self, key: str, why: str) -> None:
        before = self._num_living()
        worker = self._taken.pop(key)
        self._fleet.retire(worker, why)
        self._room.release(key)
        self._changed(before, f"{worker.name} is given up: {why}")

    def _start(self, key: str, why: str) -> None:
        before = self._num_living()
        worker = self._fleet.hire(lambda: self._room.start(key))
        self._taken[key] = worker
        self._changed(before, f"{worker.name} is added: {why}")

    def _changed(self, before: int, why: str) -> None:
        self._report("fleet", f"{self._role}: {before} -> {self._num_living()} workers", why)
