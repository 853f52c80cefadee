"""Test the order of draws over the run's real stream: every number once, and repeated draws first."""

import json

from driver.problems.draws import Draws
from driver.problems.sources import ListSource
from driver.problems.stream import ProblemStream
from tests.builders import a_problem
from tests.refusals import refused

PROBLEMS = [a_problem(name, language) for name in "abcdefgh" for language in ("de", "sw")]


def a_stream(*, seed: int = 3) -> ProblemStream:
    return ProblemStream(ListSource(PROBLEMS, name="problems"), languages=("de", "sw"), seed=seed)


def test_without_anything_to_ask_again_it_is_the_streams_order() -> None:
    stream, draws = a_stream(), Draws(a_stream())
    assert [draws.next() for _ in range(20)] == [stream.draw() for _ in range(20)]


def test_a_draw_of_a_language_is_of_that_language() -> None:
    draws = Draws(a_stream())
    assert [draws.next(language="sw").problem.language for _ in range(3)] == ["sw"] * 3


def test_what_must_be_asked_again_comes_first_oldest_first_and_under_its_own_number() -> None:
    draws = Draws(a_stream())
    drawn = [draws.next() for _ in range(5)]
    for draw in (drawn[3], drawn[0], drawn[4]):
        draws.again(draw)
    assert draws.waiting() == [drawn[0], drawn[3], drawn[4]]
    assert [draws.next() for _ in range(3)] == [drawn[0], drawn[3], drawn[4]]
    assert draws.waiting() == []
    assert draws.next().number == 5


def test_a_replacement_asks_again_what_is_open_before_anything_new() -> None:
    """Whatever its language: it has its turn already, and would be lost behind an endless stream."""
    draws = Draws(a_stream())
    first = draws.next()
    draws.again(first)
    other = "sw" if first.problem.language == "de" else "de"
    assert draws.next(language=other) == first
    assert draws.next(language=other).problem.language == other


def test_draws_that_go_on_elsewhere_are_those_that_were_open_and_then_the_streams() -> None:
    draws = Draws(a_stream())
    drawn = [draws.next() for _ in range(6)]
    drawn.append(draws.next(language="de"))
    draws.again(drawn[1])
    state = json.loads(json.dumps(draws.open([drawn[6], drawn[4]])))  # as a checkpoint keeps it
    assert [draw["number"] for draw in state["again"]] == [1, 4, 6]

    again = Draws(a_stream())
    again.restore(state)
    assert again.waiting() == [drawn[1], drawn[4], drawn[6]]
    assert [again.next() for _ in range(3)] == [drawn[1], drawn[4], drawn[6]]
    draws.next()  # number 1, which `again` has given already
    assert [again.next() for _ in range(9)] == [draws.next() for _ in range(9)]


def test_going_back_forgets_what_was_waiting_here() -> None:
    draws = Draws(a_stream())
    state = draws.open([])
    draws.again(draws.next())
    draws.restore(state)
    assert draws.waiting() == []
    assert draws.next().number == 0


def test_another_order_is_refused() -> None:
    with refused("run.seed"):
        Draws(a_stream(seed=4)).restore(Draws(a_stream()).open([]))
