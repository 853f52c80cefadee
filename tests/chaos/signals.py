"""Find the processes of a run by their role, and send signals to one. Processes without the run's mark are ignored."""

import os
import signal
import time
from pathlib import Path

from cluster.environment import ROLE_VARIABLE
from tests.chaos.plan import Actor
from tests.commands import marked

_RUNNING_S = 0.01


def workers(mark: str, actor: Actor) -> list[int]:
    """Return the process ids of a role's workers that are not stopped. Their own child processes are left out."""
    found = [pid for pid, title in marked(mark).items() if title.startswith("ray::") and _role(pid) == actor]
    return sorted(pid for pid in found if _state(pid) not in ("T", "Z", ""))


def send(pid: int, number: signal.Signals) -> bool:
    """Send a signal; return False where the process is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def pause(pid: int, lasts_s: float) -> None:
    """Stop a process for some seconds."""
    if send(pid, signal.SIGSTOP):
        time.sleep(lasts_s)
        send(pid, signal.SIGCONT)


def starve(pid: int, lasts_s: float, *, share: float) -> None:
    """Stop and continue a process in turn for some seconds, so that it runs this share of the time."""
    end = time.monotonic() + lasts_s
    while time.monotonic() < end:
        if not send(pid, signal.SIGSTOP):
            return
        time.sleep(_RUNNING_S * (1 / share - 1))
        send(pid, signal.SIGCONT)
        time.sleep(_RUNNING_S)


def _role(pid: int) -> str:
    """Return the role that a process was started for; empty if it has none or is gone."""
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    prefix = f"{ROLE_VARIABLE}="
    return next((variable.removeprefix(prefix) for variable in variables if variable.startswith(prefix)), "")


def _state(pid: int) -> str:
    """Return a process' state: R, S, D, T (stopped) or Z; empty where it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""
