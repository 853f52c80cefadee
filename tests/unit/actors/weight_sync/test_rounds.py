"""Test which workers are sent weights, and again, on a hand-written fleet and ranks that accept what the test says."""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import pytest

from actors.weight_sync.rounds import MAX_ATTEMPTS, PushRounds, TransferGroup, Workers
from actors.weight_sync.sender import PushOutcome
from contracts.batches import PushResult
from contracts.errors import FleetLost
from tests.refusals import raised


class Fleet:
    """Handles are texts: "policy-0/1" is the second process of policy-0. Replaces a worker that missed two pushes."""

    def __init__(self, *names: str, spares: int = 0) -> None:
        self.workers = {name: f"{name}/0" for name in names}
        self.versions: dict[str, int] = {}
        self.blamed: list[str] = []
        self.excused: list[str] = []  # those that may be silent now
        self._spares = spares  # processes that may be started yet
        self._dead: list[str] = []

    def receivers(self) -> Workers:
        return dict(self.workers)

    @contextmanager
    def sending(self, names: Iterable[str]) -> Iterator[None]:
        self.excused = list(names)
        yield
        self.excused = []

    def received(self, names: Iterable[str], policy_version: int) -> None:
        self.versions |= dict.fromkeys(names, policy_version)

    def missed(self, name: str, why: str) -> None:
        self.blamed.append(f"{name}: {why}")
        if sum(line.startswith(name) for line in self.blamed) % 2 == 0:
            self._dead.append(self.workers.pop(name))

    async def wait_receivers(self) -> None:
        if not self._spares:
            raise FleetLost("policy-0: killed too often")
        self._spares -= 1
        self.start_again()

    def start_again(self) -> None:
        name, _, number = self._dead.pop().partition("/")
        self.workers[name] = f"{name}/{int(number) + 1}"


class Ranks:
    """Attempt k goes as the k-th plan says: {name: why it misses}; a why of "gone" is a dead process."""

    def __init__(self, fleet: Fleet, *plans: dict[str, str]) -> None:
        self.asked: list[tuple[int, list[str]]] = []
        self.fleet = fleet
        self._plans = list(plans)

    async def send(self, policy_version: int, workers: Workers) -> PushOutcome:
        self.asked.append((policy_version, list(workers.values())))
        assert self.fleet.excused == list(workers)
        plan = self._plans.pop(0) if self._plans else {}
        missed = {name: why for name, why in plan.items() if name in workers}
        return PushOutcome(
            taken=tuple(name for name in workers if name not in missed and "all" not in plan),
            missed=missed,
            dead=frozenset(name for name, why in missed.items() if why == "gone"),
            num_tensors=3,
            num_bytes=44,
        )


def push(ranks: Ranks, policy_version: int = 7) -> PushResult:
    return asyncio.run(PushRounds(ranks.fleet, ranks.send).push(policy_version))


def test_all_workers_that_take_it_are_current_after_one_attempt() -> None:
    fleet = Fleet("policy-0", "policy-1")
    ranks = Ranks(fleet)
    report = push(ranks)
    assert fleet.versions == {"policy-0": 7, "policy-1": 7}
    assert (report.policy_version, report.num_workers, report.missed, report.attempts) == (7, 2, (), 1)
    assert (report.num_tensors, report.num_bytes) == (3, 44)
    assert fleet.excused == []


def test_a_worker_that_misses_once_is_asked_again_alone() -> None:
    fleet = Fleet("policy-0", "policy-1")
    ranks = Ranks(fleet, {"policy-1": "late"})
    report = push(ranks)
    assert ranks.asked == [(7, ["policy-0/0", "policy-1/0"]), (7, ["policy-1/0"])]
    assert fleet.versions == {"policy-0": 7, "policy-1": 7}
    assert fleet.blamed == ["policy-1: late"]
    assert (report.num_workers, report.missed, report.attempts) == (2, ("policy-1",), 2)


def test_a_worker_that_misses_twice_is_left_to_the_fleet_and_the_push_is_done() -> None:
    fleet = Fleet("policy-0", "policy-1")
    ranks = Ranks(fleet, {"policy-1": "late"}, {"policy-1": "late again"})
    report = push(ranks)
    assert fleet.blamed == ["policy-1: late", "policy-1: late again"]
    assert list(fleet.workers) == ["policy-0"]
    assert (report.num_workers, report.missed, report.attempts) == (1, ("policy-1",), 2)


def test_nothing_is_sent_a_second_time_to_a_dead_process() -> None:
    fleet = Fleet("policy-0", "policy-1")
    ranks = Ranks(fleet, {"policy-1": "gone"})
    report = push(ranks)
    assert len(ranks.asked) == 1
    assert fleet.blamed == ["policy-1: gone", "policy-1: gone"]
    assert report.num_workers == 1


def test_a_worker_that_was_replaced_during_the_push_is_neither_praised_nor_blamed() -> None:
    fleet = Fleet("policy-0", "policy-1", "policy-2")

    class Replacing(Ranks):
        async def send(self, policy_version: int, workers: Workers) -> PushOutcome:
            if not self.asked:
                fleet.workers |= {"policy-1": "policy-1/1", "policy-2": "policy-2/1"}
            return await super().send(policy_version, workers)

    ranks = Replacing(fleet, {"policy-2": "gone"})
    push(ranks)
    assert fleet.blamed == []
    # The attempt reached their old processes: the new ones are sent the weights like those who missed.
    assert ranks.asked[1:] == [(7, ["policy-1/1", "policy-2/1"])]
    assert fleet.versions == {"policy-0": 7, "policy-1": 7, "policy-2": 7}


def test_workers_that_anothers_failure_stopped_are_asked_again_without_blame() -> None:
    fleet = Fleet("policy-0", "policy-1")
    ranks = Ranks(fleet, {"policy-1": "no", "all": ""}, {"policy-1": "no", "all": ""})
    report = push(ranks)
    assert ranks.asked[2] == (7, ["policy-0/0"])  # policy-1 has missed two: the fleet has it
    assert fleet.blamed == ["policy-1: no", "policy-1: no"]
    assert (report.num_workers, report.attempts) == (1, 3)


def test_a_push_that_every_worker_missed_waits_for_a_new_worker() -> None:
    fleet = Fleet("policy-0", spares=1)
    ranks = Ranks(fleet, {"policy-0": "gone"})
    report = push(ranks)
    assert ranks.asked == [(7, ["policy-0/0"]), (7, ["policy-0/1"])]
    assert (report.num_workers, report.missed, report.attempts) == (1, ("policy-0",), 2)


def test_a_push_that_no_worker_takes_ends_with_the_reasons() -> None:
    fleet = Fleet("policy-0", spares=10)
    ranks = Ranks(fleet, *[{"policy-0": "has no room"}] * MAX_ATTEMPTS)
    with raised(FleetLost, "policy-0 has no room", key="policy"):
        push(ranks)
    assert len(ranks.asked) == MAX_ATTEMPTS


def test_a_fleet_without_workers_ends_the_push() -> None:
    fleet = Fleet("policy-0")
    with pytest.raises(FleetLost):
        push(Ranks(fleet, {"policy-0": "gone"}))


def test_stale_workers_are_updated_and_no_others() -> None:
    fleet = Fleet("policy-0", "policy-1")
    ranks = Ranks(fleet)

    async def play() -> None:
        rounds = PushRounds(fleet, ranks.send)
        await rounds.push(7)
        fleet.versions.clear()  # the last report to the fleet was that they are stale
        await rounds.update_stale(7)  # all workers have it
        assert fleet.versions == {"policy-0": 7, "policy-1": 7}
        fleet.workers |= {"policy-1": "policy-1/1", "policy-2": "policy-2/0"}
        await rounds.update_stale(7)

    asyncio.run(play())
    assert ranks.asked[1:] == [(7, ["policy-1/1", "policy-2/0"])]
    assert fleet.versions["policy-2"] == 7


def test_a_transfer_group_fits_only_the_processes_that_it_was_built_for() -> None:
    group = TransferGroup()
    two = {"policy-0": "policy-0/0", "policy-1": "policy-1/0"}
    assert not group.is_for(two)
    group.mark_built(two)
    assert group.is_for(dict(reversed(two.items())))
    assert not group.is_for({"policy-0": "policy-0/0"})
    assert not group.is_for(two | {"policy-2": "policy-2/0"})
    assert not group.is_for(two | {"policy-1": "policy-1/1"})  # the same name in a new process
    group.mark_broken()
    assert not group.is_for(two)
