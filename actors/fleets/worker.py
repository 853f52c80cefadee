"""Define a worker, its states, the changes between them, and how often it may be restarted.

starting ──> ready <──> suspect          ready:      takes requests
   │           ^│         │              suspect:    silent for a while; gets no new requests
   └──> stale ─┘│         │              stale:      loaded, but without the learner's current weights; no requests
          │     v         v              dead:       its process has ended or is being ended
          └──> dead <─────┘              restarting: a new process loads in its place, then ready or stale
               │  ^                      retired:    removed for good
               v  │
            restarting    (any) ──> retired
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from actors.remote.process import ProcessInfo, RemoteActor
from actors.remote.progress import Progress
from contracts.config.workers import FleetConfig


class WorkerState(StrEnum):
    STARTING = "starting"
    READY = "ready"
    SUSPECT = "suspect"
    STALE = "stale"
    DEAD = "dead"
    RESTARTING = "restarting"
    RETIRED = "retired"


LOADED = frozenset({WorkerState.READY, WorkerState.SUSPECT, WorkerState.STALE})
"""States of a worker whose process, as far as is known, holds a loaded model."""

NEXT: dict[WorkerState, frozenset[WorkerState]] = {
    WorkerState.STARTING: LOADED - {WorkerState.SUSPECT} | {WorkerState.DEAD, WorkerState.RETIRED},
    WorkerState.READY: frozenset({WorkerState.SUSPECT, WorkerState.STALE, WorkerState.DEAD, WorkerState.RETIRED}),
    WorkerState.SUSPECT: frozenset({WorkerState.READY, WorkerState.STALE, WorkerState.DEAD, WorkerState.RETIRED}),
    # A silent stale worker becomes dead in time, never suspect: it gets no requests anyway, and an answer to a
    # heartbeat must not make it ready.
    WorkerState.STALE: frozenset({WorkerState.READY, WorkerState.DEAD, WorkerState.RETIRED}),
    WorkerState.DEAD: frozenset({WorkerState.RESTARTING, WorkerState.RETIRED}),
    WorkerState.RESTARTING: LOADED - {WorkerState.SUSPECT} | {WorkerState.DEAD, WorkerState.RETIRED},
    WorkerState.RETIRED: frozenset(),
}


class RestartBudget:
    """Count the restarts of one worker: at most `max_restarts` in any `restart_window_s`, each after a longer wait."""

    def __init__(self, rules: FleetConfig) -> None:
        self._rules = rules
        self._restarts: deque[float] = deque()

    def next_wait_s(self, now: float) -> float | None:
        """Count one restart at `now` (seconds of a monotonic clock) and return the wait before it, in seconds.

        The wait is backoff_s, doubled for each earlier restart in the window, at most max_backoff_s. None means that
        the budget is spent.
        """
        rules = self._rules
        while self._restarts and self._restarts[0] <= now - rules.restart_window_s:
            self._restarts.popleft()
        if (earlier := len(self._restarts)) >= rules.max_restarts:
            return None
        self._restarts.append(now)
        return min(rules.backoff_s * 2.0 ** min(earlier, 60), rules.max_backoff_s)

    def num_left(self, now: float) -> int:
        """Return how many restarts are left at `now`."""
        recent = sum(restart > now - self._rules.restart_window_s for restart in self._restarts)
        return self._rules.max_restarts - recent


@dataclass(eq=False)
class Worker:
    """Hold one worker of a role. Its process may be replaced; each process has a `handle` of its own."""

    name: str  # "policy-0"; never used twice
    index: int
    start: Callable[[], RemoteActor]
    budget: RestartBudget
    handle: RemoteActor
    state: WorkerState = WorkerState.STARTING
    why: str = ""  # the reason of the last change of state
    process: ProcessInfo | None = None  # of the newest process that answered
    has_answered: bool = False  # the current process has answered once; it may still be loading
    is_slow: bool = False  # the current process was found to be slow
    is_receiving: bool = False  # weights are being sent to it: an engine that loads them answers nothing
    progress: Progress | None = None  # of the current process, as its last heartbeat said; None: none was answered yet
    version: int | None = None  # of the learner's weights that the current process holds; None: it has none
    num_restarts: int = 0  # processes after the first one

    @property
    def is_starting(self) -> bool:
        """Return whether the worker starts or restarts: its process may not exist yet."""
        return self.state in (WorkerState.STARTING, WorkerState.RESTARTING)

    @property
    def is_loaded(self) -> bool:
        return self.state in LOADED

    @property
    def is_watched(self) -> bool:
        """Return whether silence of the worker counts: it has loaded, or its process has started and loads."""
        return self.is_loaded or (self.has_answered and self.is_starting)
