"""Test which answers of a policy worker in a push mean that only a new process can take its place."""

import pytest
from ray.exceptions import ActorDiedError, RayError

from actors.generation.step_loop import DeadEngine, StaleEngine
from actors.learner import needs_new_process
from tests.fakes.remote import task_error, unavailable


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (ActorDiedError(), True),
        (unavailable(), False),
        (task_error(DeadEngine("its processes are out of step")), True),
        (task_error(StaleEngine("no weights")), False),
        (task_error(ValueError("no such tensor")), False),
    ],
)
def test_a_dead_process_and_a_dead_engine_are_replaced_at_once(failure: RayError, expected: bool) -> None:
    assert needs_new_process(failure) is expected
