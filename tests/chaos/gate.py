"""Hold a process at the moment when it opens a file or folder, with Linux's fanotify; it needs root.

The stages of a checkpoint last microseconds on a quick disk. Between any two of them a folder is opened, to be synced.
"""

import ctypes
import os
import queue
import select
import struct
import threading
from collections.abc import Sequence
from pathlib import Path

_CLASS_CONTENT, _CLOEXEC, _MARK_ADD = 0x04, 0x01, 0x01
_OPEN_PERM, _ON_DIR, _ON_CHILD = 0x0001_0000, 0x4000_0000, 0x0800_0000
_ALLOW = 1
_AT_FDCWD = -100
_EVENT = struct.Struct("IBBHQii")  # length, version, reserved, length of this part, mask, descriptor, process
_ANSWER = struct.Struct("iI")
_READ_BYTES = 4096
_POLL_S = 0.2


class OpenGate:
    """Hold whoever opens one of some folders, or a file in one of them, until it is let through. A context manager.

    What this process opens itself is never held.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        """Watch the folders.

        Raises:
            OSError: the system does not allow it, or a folder is missing.
        """
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.fanotify_mark.argtypes = [
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint64,
            ctypes.c_int,
            ctypes.c_char_p,
        ]
        self._descriptor = self._libc.fanotify_init(_CLASS_CONTENT | _CLOEXEC, os.O_RDONLY)
        if self._descriptor < 0:
            raise _last_error("fanotify_init")
        for folder in folders:
            events = _OPEN_PERM | _ON_DIR | _ON_CHILD
            if self._libc.fanotify_mark(self._descriptor, _MARK_ADD, events, _AT_FDCWD, os.fsencode(folder)):
                error = _last_error(str(folder))
                os.close(self._descriptor)
                raise error
        self._held: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._is_open = True
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> "OpenGate":
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_open = False
        self._reader.join()
        while not self._held.empty():
            self.let_through(self._held.get())
        os.close(self._descriptor)  # lets everybody through

    def next(self, timeout_s: float) -> int | None:
        """Return the next process' request to open something, to be let through; None where there is none in time."""
        try:
            return self._held.get(timeout=timeout_s)
        except queue.Empty:
            return None

    def let_through(self, request: int) -> None:
        """Let a held process go on."""
        os.write(self._descriptor, _ANSWER.pack(request, _ALLOW))
        os.close(request)

    def _read(self) -> None:
        """Collect the requests; let those of this process through at once, or it would wait for itself."""
        while self._is_open:
            if not select.select([self._descriptor], [], [], _POLL_S)[0]:
                continue
            events = os.read(self._descriptor, _READ_BYTES)
            while events:
                length, _, _, _, _, request, process = _EVENT.unpack_from(events)
                if process == os.getpid():
                    self.let_through(request)
                else:
                    self._held.put(request)
                events = events[length:]


def _last_error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), what)
