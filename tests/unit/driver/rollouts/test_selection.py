"""Test which groups may be learned from now: small cases by hand, and random whole runs."""

from dataclasses import dataclass, field
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from driver.rollouts.selection import choose


def test_of_the_ready_the_earliest_deadlines_are_chosen_and_of_equal_ones_the_first() -> None:
    assert choose([7, 5, 6, 5, 5], [], version=5, size=3) == [1, 3, 4]
    assert choose([6, 6, 6], [], version=5, size=2) == [0, 1]


def test_too_few_ready_are_waited_for() -> None:
    assert choose([5], [5], version=5, size=2) is None
    assert choose([], [], version=0, size=1) is None


def test_an_older_one_whose_time_would_be_over_is_waited_for() -> None:
    """Version 5 learns from two groups. Every group with deadline 5 must be among them."""
    assert choose([6, 6], [5], version=5, size=2) is None
    assert choose([5, 6], [5], version=5, size=2) is None
    assert choose([6, 6], [6], version=5, size=2) == [0, 1]


def test_an_older_one_with_time_left_is_overtaken() -> None:
    """Version 6 can still learn from two of deadline 6."""
    assert choose([7, 7], [6, 6], version=5, size=2) == [0, 1]
    assert choose([7, 7], [6, 6, 6], version=5, size=2) is None
    assert choose([8, 8], [6, 6, 7, 7], version=5, size=2) == [0, 1]  # two for version 6, two for version 7
    assert choose([8, 8], [6, 6, 7, 7, 7], version=5, size=2) is None
    assert choose([6, 7], [6, 6], version=5, size=2) == [0, 1]  # one of the three is learned from now


def test_ready_ones_count_against_the_versions_to_come_too() -> None:
    """With deadline 6 one ready group is left and two are running; version 6 learns from two."""
    assert choose([6, 6, 6], [6, 6], version=5, size=2) == [0, 1]  # no older one could take a place: waiting is vain
    assert choose([6, 7, 7], [6, 6, 7], version=5, size=2) == [0, 1]
    assert choose([6, 7, 7], [6, 6, 6], version=5, size=2) is None  # but one of these could take 7's
    assert choose([7, 7, 7], [6, 7, 7, 7], version=5, size=2) == [0, 1]


def test_what_no_wait_can_mend_is_not_waited_for() -> None:
    """After a version that jumped: four of deadline 5 and only version 5 to learn from two. The others are too late."""
    assert choose([5, 5, 5, 5], [], version=5, size=2) == [0, 1]
    assert choose([5, 5], [5, 5], version=5, size=2) == [0, 1]


@dataclass
class Simulation:
    """A run as versions alone: groups start, finish in any order, are chosen, replaced; a step makes a version or none.

    A group is the version that it was started at; `under_way` and `ready` hold them.
    """

    max_staleness: int
    size: int
    random: Random
    version: int = 0
    under_way: list[int] = field(default_factory=list)
    ready: list[int] = field(default_factory=list)
    replacements: int = 0

    def step(self, *, replacements: int) -> None:
        """Until a step has its groups; and its version."""
        self.replacements = replacements
        self.fill()
        while (chosen := self.choose()) is None:
            assert self.under_way, f"waits for ever: {self}"
            self.finish_one()
        assert len(chosen) == len(set(chosen)) == self.size
        groups = [self.ready[index] for index in chosen]
        assert all(self.version - started <= self.max_staleness for started in groups), (groups, self)
        self.ready = [started for index, started in enumerate(self.ready) if index not in chosen]
        for _ in range(self.random.randrange(3)):  # while it learns
            if self.under_way:
                self.finish_one()
        self.version += self.random.random() < 0.8  # a step without a signal makes none

    def choose(self) -> list[int] | None:
        deadlines = ([started + self.max_staleness for started in groups] for groups in (self.ready, self.under_way))
        return choose(*deadlines, version=self.version, size=self.size)

    def fill(self) -> None:
        while len(self.under_way) + len(self.ready) < (self.max_staleness + 1) * self.size:
            self.under_way.append(self.version)

    def finish_one(self) -> None:
        started = self.under_way.pop(self.random.randrange(len(self.under_way)))
        if self.replacements and self.random.random() < 0.3:
            self.replacements -= 1
            self.under_way.append(self.version)
        else:  # its tokens are of the version that it was started at, or of a later one
            self.ready.append(self.random.randint(started, self.version))


@settings(max_examples=150, deadline=None)
@given(
    max_staleness=st.integers(0, 3),
    size=st.integers(1, 5),
    replacements=st.integers(0, 4),
    seed=st.integers(0, 2**32),
)
def test_no_chosen_group_is_too_old_and_no_step_waits_for_ever(
    max_staleness: int, size: int, replacements: int, seed: int
) -> None:
    simulation = Simulation(max_staleness=max_staleness, size=size, random=Random(seed))
    for _ in range(25):
        simulation.step(replacements=replacements)


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 4), seed=st.integers(0, 2**32))
def test_on_policy_every_step_learns_from_groups_of_its_own_version(size: int, seed: int) -> None:
    simulation = Simulation(max_staleness=0, size=size, random=Random(seed))
    for _ in range(10):
        simulation.step(replacements=2)
        assert set(simulation.ready) == set()


@settings(max_examples=60, deadline=None)
@given(max_staleness=st.integers(2, 4), size=st.integers(2, 4), seed=st.integers(0, 2**32))
def test_a_single_late_group_delays_no_step_before_its_last_version(max_staleness: int, size: int, seed: int) -> None:
    """All others finish at once: the straggler of version 0 may take until version `max_staleness` learns."""
    simulation = Simulation(max_staleness=max_staleness, size=size, random=Random(seed))
    simulation.fill()
    for version in range(max_staleness):
        simulation.ready += simulation.under_way[1:]
        simulation.under_way = simulation.under_way[:1]
        chosen = simulation.choose()
        assert chosen is not None, simulation
        simulation.ready = [started for index, started in enumerate(simulation.ready) if index not in chosen]
        simulation.version = version + 1
        simulation.fill()
