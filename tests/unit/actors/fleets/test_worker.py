"""Test workers' states, and how often a worker may be restarted."""

import pytest

from actors.fleets.worker import LOADED, NEXT, RestartBudget, WorkerState
from contracts.config.workers import FleetConfig


def waits(num: int, *, every_s: float = 0.0, **rules: float) -> list[float | None]:
    budget = RestartBudget(FleetConfig.model_validate(rules))
    return [budget.next_wait_s(every_s * index) for index in range(num)]


def test_every_wait_is_twice_the_one_before_up_to_the_longest() -> None:
    assert waits(5, max_restarts=9, backoff_s=1.5, max_backoff_s=10) == [1.5, 3.0, 6.0, 10.0, 10.0]


def test_a_spent_budget_gives_no_wait() -> None:
    assert waits(3, max_restarts=2, backoff_s=0) == [0.0, 0.0, None]
    assert waits(1, max_restarts=0) == [None]


def test_restarts_older_than_the_window_are_forgotten() -> None:
    # Restarts at 0, 60 and 120 s; at 120 s the first is out of the window of 100 s, at 180 s the second.
    assert waits(4, every_s=60, max_restarts=2, restart_window_s=100, backoff_s=1) == [1.0, 2.0, 2.0, 2.0]


def test_a_refused_restart_does_not_keep_the_budget_spent() -> None:
    budget = RestartBudget(FleetConfig(max_restarts=1, restart_window_s=100, backoff_s=1))
    assert [budget.next_wait_s(now) for now in (0, 50, 99, 100)] == [1.0, None, None, 1.0]


def test_the_restarts_that_are_left_are_those_of_the_window() -> None:
    budget = RestartBudget(FleetConfig(max_restarts=2, restart_window_s=100, backoff_s=1))
    left = [budget.num_left(0)]
    for now in (0, 60):
        budget.next_wait_s(now)
        left.append(budget.num_left(now))
    assert [*left, budget.num_left(99), budget.num_left(100), budget.num_left(160)] == [2, 1, 0, 0, 1, 2]


def test_thousands_of_restarts_are_no_overflow() -> None:
    assert waits(2000, max_restarts=3000, max_backoff_s=60)[-1] == 60.0


def test_every_state_leads_somewhere_but_the_last() -> None:
    assert set(NEXT) == set(WorkerState)
    assert [state for state in WorkerState if not NEXT[state]] == [WorkerState.RETIRED]
    assert all(WorkerState.RETIRED in NEXT[state] for state in WorkerState if state is not WorkerState.RETIRED)


@pytest.mark.parametrize("state", [WorkerState.STALE, WorkerState.DEAD, WorkerState.RESTARTING])
def test_silence_makes_no_worker_suspect_that_must_not_become_ready_by_answering(state: WorkerState) -> None:
    assert WorkerState.SUSPECT not in NEXT[state]


def test_a_dead_worker_serves_only_after_a_restart() -> None:
    assert NEXT[WorkerState.DEAD] == {WorkerState.RESTARTING, WorkerState.RETIRED}
    assert not LOADED & {WorkerState.DEAD, WorkerState.RESTARTING, WorkerState.STARTING, WorkerState.RETIRED}
