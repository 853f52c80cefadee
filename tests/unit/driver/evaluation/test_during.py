"""Test evaluations beside training: when they are due, and that weights wait for them."""

import asyncio

import pytest

from contracts.config.data import BuiltinEvaluation
from contracts.errors import RunFailed
from driver.evaluation.during import StepEvaluations
from tests.fakes.ports import run


class Measuring:
    """Measure until the test lets it end, and record which moments were measured."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.gate = asyncio.Event()
        self.failure: Exception | None = None

    async def __call__(self, moment: str) -> None:
        self.begun.append(moment)
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        self.ended.append(moment)


def evaluations(measure: Measuring, *, every: object = 2, after: bool = True, last: int = 6) -> StepEvaluations:
    settings = BuiltinEvaluation.model_validate({"every_steps": every, "after": after})
    return StepEvaluations(settings=settings, last_step=last, measure=measure)


@pytest.mark.parametrize(
    ("every", "after", "due"),
    [(2, True, [2, 4]), (2, False, [2, 4, 6]), (4, True, [4]), ("off", True, []), (1, True, [1, 2, 3, 4, 5])],
)
def test_an_evaluation_is_due_every_so_many_steps_but_the_last_is_measured_afterwards(
    every: object, after: bool, due: list[int]
) -> None:
    measured = evaluations(Measuring(), every=every, after=after)
    assert [step for step in range(7) if measured.is_due(step)] == due


def test_training_goes_on_meanwhile_and_a_push_waits() -> None:
    async def train() -> None:
        measure = Measuring()
        measured = evaluations(measure)
        await measured.after_step(2)  # returns at once
        pushing = asyncio.ensure_future(measured.finished())
        await asyncio.sleep(0)
        assert (measure.begun, pushing.done()) == (["step-2"], False)
        measure.gate.set()
        await pushing
        assert measure.ended == ["step-2"]

    run(train())


def test_the_next_evaluation_waits_for_the_one_before() -> None:
    async def train() -> None:
        measure = Measuring()
        measured = evaluations(measure)
        measure.gate.set()
        await measured.after_step(2)
        await measured.after_step(4)
        await measured.finished()
        assert measure.ended == ["step-2", "step-4"]

    run(train())


def test_a_failure_is_raised_where_the_evaluation_is_awaited() -> None:
    async def train() -> None:
        measure = Measuring()
        measured = evaluations(measure)
        measure.failure = RunFailed("no worker is left", key="policy")
        measure.gate.set()
        await measured.after_step(2)
        with pytest.raises(RunFailed):
            await measured.finished()

    run(train())


def test_weights_are_pushed_before_an_evaluation_where_training_pushes_none() -> None:
    async def train() -> None:
        measure, order = Measuring(), []

        async def push() -> None:
            order.append(list(measure.begun))

        measure.gate.set()
        measured = evaluations(measure)
        measured.push = push
        await measured.after_step(2)
        assert (order, measure.ended) == ([[]], ["step-2"])

    run(train())


def test_a_run_that_ends_leaves_no_evaluation_behind() -> None:
    async def train() -> None:
        measure = Measuring()
        measured = evaluations(measure)
        await measured.after_step(2)
        await asyncio.sleep(0)
        await measured.cancel()
        await measured.finished()
        assert (measure.begun, measure.ended) == (["step-2"], [])

    run(train())
