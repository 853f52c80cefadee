"""Finding the processes of a run by what they are, and hitting one.

Owns signals and the process table; only processes that carry the run's mark are ever looked at (tests/commands.py).
"""

import os
import signal
import time
from pathlib import Path

from tests.chaos.plan import Actor
from tests.commands import marked

_TITLES: dict[Actor, str] = {
    "policy": "ray::PolicyWorker",
    "pivot": "ray::PivotWorker",
    "scorer": "ray::ScorerWorker",
    "learner": "ray::LearnerWorker",
}
_STARVED_TURN_S = (0.09, 0.01)
"""Stopped, and let run: a tenth of the time."""


def workers(mark: str, actor: Actor) -> list[int]:
    """Process ids of the workers of a kind that are not stopped."""
    found = [pid for pid, title in marked(mark).items() if title.startswith(_TITLES[actor])]
    return sorted(pid for pid in found if _state(pid) not in ("T", "Z", ""))


def send(pid: int, number: signal.Signals) -> bool:
    """False: the process is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def pause(pid: int, lasts_s: float) -> None:
    if send(pid, signal.SIGSTOP):
        time.sleep(lasts_s)
        send(pid, signal.SIGCONT)


def starve(pid: int, lasts_s: float) -> None:
    """A tenth of the processor's time."""
    stopped_s, running_s = _STARVED_TURN_S
    end = time.monotonic() + lasts_s
    while time.monotonic() < end:
        if not send(pid, signal.SIGSTOP):
            return
        time.sleep(stopped_s)
        send(pid, signal.SIGCONT)
        time.sleep(running_s)


def _state(pid: int) -> str:
    """R, S, D, T (stopped), Z; empty: it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
