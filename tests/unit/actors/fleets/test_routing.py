"""Test which worker gets the next request."""

from hypothesis import given
from hypothesis import strategies as st

from actors.fleets.routing import Routing


def open_for(num_workers: int) -> Routing[str]:
    routing: Routing[str] = Routing()
    for worker in range(num_workers):
        routing.open(worker)
    return routing


def assign_all(routing: Routing[str], names: str, *, size: int = 1) -> list[int | None]:
    chosen = []
    for name in names:
        worker = routing.least_loaded()
        chosen.append(worker)
        if worker is not None:
            routing.assign(worker, name, name, size=size)
    return chosen


def test_equally_loaded_workers_take_turns_from_the_first() -> None:
    assert assign_all(open_for(3), "abcdefg", size=4) == [0, 1, 2, 0, 1, 2, 0]


def test_a_worker_that_finishes_sooner_gets_more() -> None:
    routing = open_for(2)
    assign_all(routing, "abcd")
    assert routing.release(1, "b")
    assert routing.release(1, "d")
    assert assign_all(routing, "ef") == [1, 1]


def test_load_is_counted_in_samples() -> None:
    routing = open_for(2)
    routing.assign(0, "many", "many", size=3)
    assert assign_all(routing, "abcd") == [1, 1, 1, 0]


def test_a_shut_worker_gets_nothing_and_its_load_counts_when_it_is_open_again() -> None:
    routing = open_for(2)
    assign_all(routing, "ab")
    routing.shut(0)
    assert assign_all(routing, "cd") == [1, 1]
    routing.open(0)
    assert assign_all(routing, "ef") == [0, 0]
    routing.shut(0)
    routing.shut(1)
    assert routing.least_loaded() is None


def test_requests_are_taken_away_in_their_order_and_can_not_be_released_afterwards() -> None:
    routing = open_for(1)
    assign_all(routing, "abc")
    routing.release(0, "b")
    assert routing.take_away(0) == ["a", "c"]
    assert not routing.release(0, "a")
    assert routing.take_away(0) == []


def test_with_turns_equally_loaded_workers_are_chosen_one_after_the_other() -> None:
    routing: Routing[str] = Routing(takes_turns=True)
    for worker in range(3):
        routing.open(worker)
    chosen = []
    for name in "abcdef":
        chosen += assign_all(routing, name)
        routing.release(chosen[-1] or 0, name)
    assert chosen == [0, 1, 2, 0, 1, 2]


def test_an_avoided_worker_is_chosen_only_if_no_other_is_open() -> None:
    routing = open_for(2)
    routing.assign(1, "a", "a", size=5)
    assert routing.least_loaded(avoided=0) == 1
    routing.shut(1)
    assert routing.least_loaded(avoided=0) == 0


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3)), max_size=300))
def test_the_choice_is_always_the_first_of_the_least_loaded(moves: list[tuple[int, int]]) -> None:
    routing = open_for(5)
    loads = dict.fromkeys(range(5), 0)
    is_open = set(range(5))
    held: dict[int, list[str]] = {worker: [] for worker in range(5)}
    for number, (worker, move) in enumerate(moves):
        if move == 0:
            (routing.shut if worker in is_open else routing.open)(worker)
            is_open ^= {worker}
        elif move == 1 and held[worker]:
            name = held[worker].pop()
            routing.release(worker, name)
            loads[worker] -= int(name.split("-")[1])
        elif move == 2:
            routing.take_away(worker)
            held[worker], loads[worker] = [], 0
        elif (chosen := routing.least_loaded()) is not None:
            name = f"{number}-{worker + 1}"
            routing.assign(chosen, name, name, size=worker + 1)
            held[chosen].append(name)
            loads[chosen] += worker + 1
        expected = min(is_open, key=lambda one: (loads[one], one)) if is_open else None
        assert routing.least_loaded() == expected


def test_memory_does_not_grow_with_the_number_of_requests() -> None:
    routing = open_for(3)
    for number in range(20_000):
        worker = routing.least_loaded()
        assert worker is not None
        routing.assign(worker, str(number), "x", size=1 + number % 7)
        if number >= 50:
            for one in range(3):
                routing.release(one, str(number - 50))
    assert len(routing._heap) <= 8 * 3 + 64
    assert sum(len(routing.take_away(worker)) for worker in range(3)) == 50
