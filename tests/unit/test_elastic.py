"""Workers that come and go with the nodes: what is decided after a look, and what the loop makes of it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.process import RemoteActor
from actors.supervisor import Worker
from actors.worker_states import RestartBudget, WorkerState
from cluster.elastic import ClusterSilent, Decision, Elastic, Limits, Place, View, decide
from cluster.layout import Resources
from driver.streaming_config import FleetConfig
from tests.fakes import run

BUNDLE = Resources(cpus=2, gpus=1)
FITS, TOO_SMALL = Resources(cpus=2, gpus=1), Resources(cpus=8, gpus=0)
HERE, LOST, ENDING = Place(key="a", node="n"), Place(key="a", node=None), Place(key="a", node="n", is_draining=True)


def view(*places: Place, free: tuple[Resources, ...] = (), is_short: bool = False) -> View:
    """Places are renamed by their order: a, b, c ..."""
    named = tuple(replace(place, key=key) for place, key in zip(places, "abcdefgh", strict=False))
    return View(places=named, free=free, is_short=is_short)


def decided(seen: View, *, taken: str, most: int, least: int = 1, closed: str = "", away: str = "") -> Decision:
    """Places are named by letters; one worker lives per taken place."""
    return decide(
        seen,
        taken=set(taken),
        closed=set(closed),
        away=set(away),
        living=len(taken),
        limits=Limits(least=least, most=most, bundle=BUNDLE),
    )


# --- the decision -----------------------------------------------------------------------------------------------------


def test_nothing_is_done_while_all_live_and_no_more_are_wanted() -> None:
    assert decided(view(HERE, HERE, free=(FITS,)), taken="ab", most=2) == Decision()


def test_one_more_is_asked_for_where_one_node_has_room_for_a_whole_worker() -> None:
    assert decided(view(HERE, free=(TOO_SMALL, FITS)), taken="a", most=3) == Decision(reserve=True)
    assert decided(view(HERE, free=(TOO_SMALL, Resources(cpus=1, gpus=4))), taken="a", most=3) == Decision()


def test_what_the_run_itself_lacks_comes_first() -> None:
    assert decided(view(HERE, free=(FITS,), is_short=True), taken="a", most=3) == Decision()


def test_a_worker_without_a_node_is_given_up_at_the_second_look() -> None:
    seen = view(HERE, LOST)
    assert decided(seen, taken="ab", most=2) == Decision()
    assert decided(seen, taken="ab", most=2, away="b") == Decision(
        give_up={"b": "its node is gone and no other has room"}
    )


def test_a_worker_on_a_node_that_is_about_to_end_is_given_up_at_once_and_another_asked_for() -> None:
    assert decided(view(HERE, ENDING, free=(FITS,)), taken="ab", most=2) == Decision(
        give_up={"b": "its node is about to end"}, reserve=True
    )


def test_the_fewest_that_may_be_keep_their_places_whatever_happens_to_the_nodes() -> None:
    seen = view(LOST, ENDING, LOST)
    assert set(decided(seen, taken="abc", least=2, most=3, away="ac").give_up) == {"a"}
    assert decided(seen, taken="abc", least=3, most=3, away="ac") == Decision()


def test_a_place_that_has_a_node_again_is_taken_before_another_is_asked_for() -> None:
    assert decided(view(HERE, HERE, free=(FITS,)), taken="b", most=2) == Decision(fill=("a",))
    assert decided(view(HERE, HERE, free=(FITS,)), taken="b", most=3) == Decision(fill=("a",), reserve=True)


@pytest.mark.parametrize("unusable", [LOST, ENDING])
def test_a_place_without_a_lasting_node_is_not_taken(unusable: Place) -> None:
    assert decided(view(unusable, HERE), taken="b", most=2) == Decision()


def test_the_place_of_a_worker_that_spent_its_restarts_is_closed_and_one_fewer_is_wanted() -> None:
    assert decided(view(HERE, HERE, free=(FITS,)), taken="b", closed="a", most=2) == Decision()
    assert decided(view(HERE, HERE, free=(FITS,)), taken="b", closed="a", most=3) == Decision(reserve=True)


@given(
    nodes=st.lists(st.sampled_from([HERE, LOST, ENDING]), max_size=8),
    fates=st.lists(st.sampled_from(["taken", "vacant", "closed"]), min_size=8, max_size=8),
    is_away=st.lists(st.booleans(), min_size=8, max_size=8),
    least=st.integers(1, 4),
    more=st.integers(0, 5),
)
def test_no_decision_leaves_fewer_than_the_least_or_makes_more_than_the_most(
    nodes: list[Place], fates: list[str], is_away: list[bool], least: int, more: int
) -> None:
    seen = view(*nodes, free=(FITS,))
    keys = [place.key for place in seen.places]
    fate = dict(zip(keys, fates, strict=False))
    taken = [key for key in keys if fate[key] == "taken"]
    closed = [key for key in keys if fate[key] == "closed"]
    away = [key for key, was_away in zip(keys, is_away, strict=False) if was_away]
    made = decided(
        seen, taken="".join(taken), closed="".join(closed), away="".join(away), least=least, most=least + more
    )
    left = len(taken) - len(made.give_up)
    assert set(made.give_up) <= set(taken)
    assert not {*made.fill} & {*taken, *closed}
    assert left >= min(least, len(taken))
    assert left + len(made.fill) + made.reserve <= max(left, least + more - len(closed))


# --- the loop ---------------------------------------------------------------------------------------------------------


@dataclass
class FakeFleet:
    """Numbers its workers as they come, and never uses a number twice."""

    workers: list[Worker] = field(default_factory=list)
    retired: dict[str, str] = field(default_factory=dict)

    def possible(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.state is not WorkerState.RETIRED]

    def hire(self, start: Callable[[], RemoteActor]) -> Worker:
        index = len(self.workers)
        worker = Worker(f"policy-{index}", index, start=start, budget=RestartBudget(FleetConfig()), handle=start())
        self.workers.append(worker)
        return worker

    def retire(self, worker: Worker, why: str) -> None:
        worker.state = WorkerState.RETIRED
        self.retired[worker.name] = why


@dataclass
class FakeRoom:
    """A cluster as a test describes it: nodes by place, and how many more places there is room for."""

    nodes: dict[str, str | None]
    num_free: int = 0
    is_silent: bool = False
    is_taken_by_another: bool = False
    ending: set[str] = field(default_factory=set)
    added: list[str] = field(default_factory=list)

    def look(self) -> View:
        self._answer()
        return View(
            places=tuple(
                Place(key=key, node=node, is_draining=node in self.ending) for key, node in self.nodes.items()
            ),
            free=(FITS,) * self.num_free,
            is_short=any(node is None for key, node in self.nodes.items() if key not in self.added),
        )

    def reserve(self) -> str | None:
        self._answer()
        if self.is_taken_by_another:
            return None
        key = f"added {len(self.added)}"
        self.added.append(key)
        self.nodes[key] = "another node"
        self.num_free -= 1
        return key

    def release(self, key: str) -> bool:
        if key not in self.added:
            return False
        del self.nodes[key]
        return True

    def start(self, key: str) -> RemoteActor:
        assert self.nodes[key] is not None, f"nothing can start in {key}"
        return f"an actor in {key}"

    def _answer(self) -> None:
        if self.is_silent:
            raise ClusterSilent("no answer")


@dataclass
class Watched:
    """A fleet of two workers on two nodes, and all that was reported about it."""

    room: FakeRoom
    fleet: FakeFleet
    elastic: Elastic
    events: list[tuple[str, str, str]]

    def look(self) -> None:
        run(self.elastic.look())

    def living(self) -> list[str]:
        return [worker.name for worker in self.fleet.possible()]


def watched(*, least: int = 1, most: int = 2, num_free: int = 0) -> Watched:
    room = FakeRoom({"bundle 0": "head", "bundle 1": "other"}, num_free=num_free)
    fleet, events = FakeFleet(), []
    for key in room.nodes:
        fleet.hire(lambda key=key: room.start(key))
    elastic = Elastic(
        "policy",
        fleet,
        room,
        limits=Limits(least=least, most=most, bundle=BUNDLE),
        report=lambda *event: events.append(event),
    )
    elastic.seat(list(room.nodes), fleet.workers)
    return Watched(room, fleet, elastic, events)


def test_a_quiet_cluster_changes_nothing_and_is_not_reported() -> None:
    seen = watched()
    seen.look()
    assert (seen.living(), seen.events) == (["policy-0", "policy-1"], [])


def test_a_node_that_goes_costs_its_worker_and_one_that_comes_brings_a_new_one_into_the_same_place() -> None:
    seen = watched()
    seen.room.nodes["bundle 1"] = None
    seen.look()
    assert seen.living() == ["policy-0", "policy-1"]
    seen.look()
    assert seen.living() == ["policy-0"]
    seen.look()
    assert seen.living() == ["policy-0"]
    seen.room.nodes["bundle 1"] = "third"
    seen.look()
    assert seen.living() == ["policy-0", "policy-2"]
    assert seen.fleet.workers[2].handle == "an actor in bundle 1"
    assert seen.room.added == []
    assert seen.events == [
        ("fleet", "policy: 2 -> 1 workers", "policy-1 is given up: its node is gone and no other has room"),
        (
            "fleet",
            "policy: 1 -> 2 workers",
            "policy-2 is added: there is room again for a worker that was given up",
        ),
    ]


def test_a_node_that_is_back_at_the_next_look_costs_nothing() -> None:
    seen = watched()
    for node in (None, "third", None, "fourth"):
        seen.room.nodes["bundle 1"] = node
        seen.look()
    assert (seen.living(), seen.events) == (["policy-0", "policy-1"], [])


def test_workers_are_added_one_a_look_up_to_the_most() -> None:
    seen = watched(most=4, num_free=8)
    sizes = []
    for _ in range(4):
        seen.look()
        sizes.append(len(seen.living()))
    assert sizes == [3, 4, 4, 4]
    assert [reason for _, reason, _ in seen.events] == ["policy: 2 -> 3 workers", "policy: 3 -> 4 workers"]


def test_room_that_another_run_took_first_is_asked_for_again_later() -> None:
    seen = watched(most=3, num_free=1)
    seen.room.is_taken_by_another = True
    seen.look()
    assert (len(seen.living()), seen.events) == (2, [])
    seen.room.is_taken_by_another = False
    seen.look()
    assert len(seen.living()) == 3


def test_an_added_place_on_a_node_that_ends_is_given_back() -> None:
    seen = watched(most=3, num_free=1)
    seen.look()
    assert "added 0" in seen.room.nodes
    seen.room.ending.add("another node")
    seen.look()
    assert seen.fleet.retired == {"policy-2": "its node is about to end"}
    assert "added 0" not in seen.room.nodes


def test_a_worker_that_spent_its_restarts_is_not_replaced_and_its_added_place_given_back() -> None:
    seen = watched(most=3, num_free=1)
    seen.look()
    seen.room.num_free = 5
    for worker in (seen.fleet.workers[0], seen.fleet.workers[2]):
        worker.state = WorkerState.RETIRED
    for _ in range(3):
        seen.look()
    assert seen.living() == ["policy-1"]
    assert list(seen.room.nodes) == ["bundle 0", "bundle 1"]


def test_a_silent_cluster_is_reported_once_and_looked_at_again() -> None:
    seen = watched(most=3, num_free=1)
    seen.room.is_silent = True
    seen.look()
    seen.look()
    assert seen.events == [("fleet", "policy: the cluster does not say what it has", "no answer")]
    seen.room.is_silent = False
    seen.look()
    assert len(seen.living()) == 3
    seen.room.is_silent = True
    seen.look()
    assert len(seen.events) == 3


def test_the_loop_looks_again_and_again_until_it_is_stopped() -> None:
    async def watch() -> None:
        seen = watched(most=4, num_free=2)
        loop = asyncio.ensure_future(seen.elastic.run(every_s=0))
        while len(seen.living()) < 4:
            await asyncio.sleep(0)
        loop.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loop

    run(watch())
