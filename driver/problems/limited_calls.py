"""Call a function in a process of its own, within limits of time and memory.

A chat template is a program that comes with a model. It may loop for ever, or ask for all memory in one operation that
no check inside of Python sees. The process is forked once, at the first call, and answers call after call: about 0.1 ms
each.
"""

import gc
import math
import os
import pickle
import resource
import signal
import sys
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

CPU_SECONDS = 5
"""Computing time of one call. Time that the process waits for a busy machine does not count."""
MEMORY_BYTES = 1 << 30
"""What all calls together may need beyond what the process has when it is forked."""
MAX_CHARACTERS = 1 << 24
"""Longest text that a call may return."""
_WAIT_SECONDS = 300  # for the answer: far more than the computing time, on a busy machine


class CallFailed(Exception):
    """Report in one line why a call gave no text, with the names of the error's classes; none for a limit."""

    def __init__(self, message: str, *, classes: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.classes = classes


class LimitedCalls:
    """Call one function, which returns a text. Arguments must be ones that can be pickled."""

    def __init__(
        self, function: Callable[..., str], *, cpu_seconds: int = CPU_SECONDS, memory_bytes: int = MEMORY_BYTES
    ) -> None:
        self._function = function
        self._cpu_seconds = cpu_seconds
        self._memory_bytes = memory_bytes
        self._process: _Process | None = None

    def __call__(self, *arguments: object, **named: object) -> str:
        """Return what the function returns.

        Raises:
            CallFailed: the function raised, or a limit was exceeded. The next call starts another process.
        """
        if self._process is None:
            self._process = _Process(self._function, self._cpu_seconds, self._memory_bytes)
        try:
            self._process.connection.send_bytes(pickle.dumps((arguments, named)))
            if not self._process.connection.poll(_WAIT_SECONDS):
                raise EOFError
            text, classes, message = pickle.loads(self._process.connection.recv_bytes())
        except (EOFError, OSError):
            ended_by = self._process.end()
            self._process = None
            if ended_by == signal.SIGXCPU:
                raise CallFailed(f"it takes more than {self._cpu_seconds} s") from None
            raise CallFailed("its process died or gave no answer, as when a loop takes all memory") from None
        if text is None:
            raise CallFailed(message, classes=classes)
        return text


class _Process:
    """Own the forked process; it ends when this object is gone, and when this process ends in any way."""

    def __init__(self, function: Callable[..., str], cpu_seconds: int, memory_bytes: int) -> None:
        self.connection, inner = Pipe()
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            _serve(inner, function, cpu_seconds, memory_bytes)
        inner.close()
        self.end = weakref.finalize(self, _end, pid, self.connection)


def _end(pid: int, connection: Connection) -> int:
    """End the process and return the number of the signal that ended it."""
    connection.close()
    with suppress(ProcessLookupError, ChildProcessError):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if not ended:
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        return os.WTERMSIG(status)
    return 0


def _serve(connection: Connection, function: Callable[..., str], cpu_seconds: int, memory_bytes: int) -> NoReturn:
    """Answer calls until the other end is closed. Runs in the forked process, which must touch nothing else."""
    try:
        _leave_parent(connection)
        _limit_memory(memory_bytes)
        while True:
            arguments, named = pickle.loads(connection.recv_bytes())
            most = math.ceil(time.process_time()) + cpu_seconds
            resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))
            connection.send_bytes(pickle.dumps(_answer(function, arguments, named)))
    finally:
        os._exit(0)


def _answer(
    function: Callable[..., str], arguments: tuple[object, ...], named: dict[str, object]
) -> tuple[str | None, tuple[str, ...], str]:
    """Return the text, or None with the error's classes and message."""
    try:
        text = function(*arguments, **named)
    except MemoryError:
        return None, (), "it needs too much memory"
    except Exception as error:  # noqa: BLE001 - whatever a user's program raises is reported to the other end
        classes = tuple(known.__name__ for known in type(error).__mro__)
        return None, classes, f"{classes[0]}: {' '.join(str(error).split())[:300]}"
    if not isinstance(text, str):
        return None, (), f"it gives a {type(text).__name__}, not a text"
    if len(text) > MAX_CHARACTERS:
        return None, (), f"it gives {len(text):,} characters; {MAX_CHARACTERS:,} are the most"
    return text, (), ""


def _leave_parent(connection: Connection) -> None:
    """Give up what a fork shares: locks of folders, ends of pipes, handlers of signals, objects that clean up."""
    gc.freeze()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the keyboard: the other end closes then
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != connection.fileno():
            with suppress(OSError):  # the folder that is being listed
                os.close(int(name))


def _limit_memory(more_bytes: int) -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + more_bytes
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
