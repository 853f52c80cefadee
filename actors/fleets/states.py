"""What a worker can be, which changes there are, and how often one may be started again.

Owns the states and the arithmetic of restarts. Pure: knows no Ray, no clock and no worker.

    starting ──> ready <──> suspect          ready:      serves
       │           ^│         │              suspect:    silent for a while; is asked nothing new
       └──> stale ─┘│         │              stale:      loaded, without the learner's weights of now; serves nothing
              │     v         v              dead:       its process is ended, if it is not already
              └──> dead <─────┘              restarting: a new process loads in its place, then ready or stale
                   │  ^                      retired:    given up for good
                   v  │
                restarting    (any) ──> retired
"""

from collections import deque
from enum import StrEnum

from contracts.config.fleet import FleetConfig


class WorkerState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    SUSPECT = "suspect"
    STALE = "stale"
    DEAD = "dead"
    RESTARTING = "restarting"
    RETIRED = "retired"


LOADED = frozenset({WorkerState.READY, WorkerState.SUSPECT, WorkerState.STALE})
"""A process with a model in it, as far as is known."""

NEXT: dict[WorkerState, frozenset[WorkerState]] = {
    WorkerState.STARTING: LOADED - {WorkerState.SUSPECT} | {WorkerState.DEAD, WorkerState.RETIRED},
    WorkerState.READY: frozenset({WorkerState.SUSPECT, WorkerState.STALE, WorkerState.DEAD, WorkerState.RETIRED}),
    WorkerState.SUSPECT: frozenset({WorkerState.READY, WorkerState.STALE, WorkerState.DEAD, WorkerState.RETIRED}),
    # Its silence makes it dead in time, never suspect: it is asked nothing anyway, and must not come back as ready.
    WorkerState.STALE: frozenset({WorkerState.READY, WorkerState.DEAD, WorkerState.RETIRED}),
    WorkerState.DEAD: frozenset({WorkerState.RESTARTING, WorkerState.RETIRED}),
    WorkerState.RESTARTING: LOADED - {WorkerState.SUSPECT} | {WorkerState.DEAD, WorkerState.RETIRED},
    WorkerState.RETIRED: frozenset(),
}


class RestartBudget:
    """The restarts of one worker: at most `max_restarts` in any `restart_window_s`, each after a longer wait."""

    def __init__(self, rules: FleetConfig) -> None:
        self._rules = rules
        self._restarts: deque[float] = deque()

    def next_wait_s(self, now: float) -> float | None:
        """Spend one restart at `now` (seconds of a clock that never jumps); the wait before it, in seconds.

        backoff_s doubled for each earlier restart in the window, at most max_backoff_s. None: the budget is spent.
        """
        rules = self._rules
        while self._restarts and self._restarts[0] <= now - rules.restart_window_s:
            self._restarts.popleft()
        if (earlier := len(self._restarts)) >= rules.max_restarts:
            return None
        self._restarts.append(now)
        return min(rules.backoff_s * 2.0 ** min(earlier, 60), rules.max_backoff_s)
