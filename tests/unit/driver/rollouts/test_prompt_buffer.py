"""Test the draws of a recipe without groups: each belongs to one step, also when the learner fails."""

import pytest

from contracts.errors import RunFailed
from driver.problems.draws import Draws
from driver.rollouts.prompt_buffer import PromptBuffer
from tests.builders import a_problem
from tests.fakes.ports import GivenStream, run

PROBLEMS = [a_problem(name) for name in "abcdefghij"]


def a_buffer() -> PromptBuffer:
    return PromptBuffer(Draws(GivenStream(PROBLEMS)), per_step=2)


def numbers(buffer: PromptBuffer, step: int) -> list[int]:
    return [draw.number for draw in buffer.take_batch(step)]


def test_each_step_has_the_next_draws() -> None:
    buffer = a_buffer()
    for step in (1, 2, 3):
        assert numbers(buffer, step) == [2 * step - 2, 2 * step - 1]
        buffer.finish()
    assert run(buffer.close()) == ()


def test_what_is_in_a_steps_hands_is_open_in_a_checkpoint_and_what_was_released_is_not() -> None:
    buffer = a_buffer()
    numbers(buffer, 1)
    buffer.finish()
    state, kept = buffer.state()
    assert ([draw["number"] for draw in state["again"]], state["stream"]["number"], kept) == ([], 2, [])
    numbers(buffer, 2)
    state, _ = buffer.state()
    assert [draw["number"] for draw in state["again"]] == [2, 3]
    again = Draws(GivenStream(PROBLEMS))
    again.restore(state)
    assert numbers(PromptBuffer(again, per_step=3), 2) == [2, 3, 4]


def test_after_a_step_back_the_draws_since_the_checkpoint_come_again_in_order() -> None:
    buffer = a_buffer()
    for step in (1, 2, 3):
        numbers(buffer, step)
        buffer.finish()
        if step == 1:
            buffer.checkpointed(step)
    numbers(buffer, 4)  # in whose hands they are when the learner is lost
    buffer.step_back(step=1, version=0)
    assert [numbers(buffer, step) for step in (2, 3)] == [[2, 3], [4, 5]]
    buffer.step_back(step=1, version=0)  # lost again: 4 and 5 were in hand, 2 and 3 not released
    assert sorted(draw["number"] for draw in buffer.state()[0]["again"]) == [4, 5, 6, 7]


def test_released_draws_come_again_after_each_step_back() -> None:
    buffer = a_buffer()
    for _ in range(2):
        assert [numbers(buffer, 1), buffer.finish(), numbers(buffer, 2)] == [[0, 1], None, [2, 3]]
        buffer.step_back(step=0, version=0)


def test_a_step_back_behind_the_last_checkpoint_is_refused() -> None:
    buffer = a_buffer()
    for step in (1, 2):
        numbers(buffer, step)
        buffer.finish()
    buffer.checkpointed(2)
    with pytest.raises(RunFailed) as error:
        buffer.step_back(step=1, version=0)
    assert error.value.key == "checkpoint"
    buffer.step_back(step=2, version=0)
    assert numbers(buffer, 3) == [4, 5]


def test_steps_in_a_complete_checkpoint_are_not_given_out_again() -> None:
    buffer = a_buffer()
    for step in (1, 2, 3):
        numbers(buffer, step)
        buffer.finish()
    buffer.step_back(step=2, version=0)  # the checkpoint was written, but saving it failed afterwards
    assert numbers(buffer, 3) == [4, 5]
