"""Abort an NCCL communicator that waits for a process that is gone. Must not import vLLM."""

import logging
import threading
from ctypes import c_void_p
from typing import Protocol

import torch

logger = logging.getLogger(__name__)

ABORT_TIMEOUT_S = 5.0
"""Longest wait for NCCL to abort."""

_ABORTING = threading.Lock()


class _Library(Protocol):
    """NCCL, as vLLM wraps it."""

    def ncclCommAbort(self, comm: c_void_p, /) -> None: ...


class Communicator(Protocol):
    """The part of vLLM's PyNcclCommunicator that is used here."""

    available: bool  # False: it has no NCCL communicator
    disabled: bool  # True: every call returns at once and does nothing
    device: torch.device

    @property
    def nccl(self) -> _Library: ...

    @property
    def comm(self) -> c_void_p: ...


def abort(communicator: Communicator) -> None:
    """Abort a communicator, from any thread: what waits in it on a GPU ends, and later calls of it do nothing.

    vLLM's own `destroy` marks it as disabled at the end only: until then another thread might use what NCCL has freed.
    """
    with _ABORTING:
        if not communicator.available or communicator.disabled:
            return
        communicator.disabled = True
    thread = threading.Thread(target=_abort, args=(communicator,), daemon=True, name="nccl-abort")
    thread.start()
    thread.join(timeout=ABORT_TIMEOUT_S)
    if thread.is_alive():
        logger.warning("NCCL has not aborted a transfer group within %g s", ABORT_TIMEOUT_S)


def _abort(communicator: Communicator) -> None:
    try:
        with torch.accelerator.device_index(communicator.device.index):
            communicator.nccl.ncclCommAbort(communicator.comm)
    except RuntimeError as failure:  # NCCL's error: there is nothing left to end
        logger.warning("NCCL could not abort a transfer group: %s", failure)
