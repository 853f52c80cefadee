"""Extend the processes that vLLM starts for an engine of several GPUs.

vLLM imports this module in each of them, which registers our weight-transfer engines there.
"""

import ctypes
import os
import signal

import actors.weight_sync.vllm_engines  # noqa: F401 - registers the engines with vLLM

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class ChildProcess:
    """Add methods to vLLM's worker, for calls by name (`collective_rpc`)."""

    def end_with_parent(self, parent: int) -> None:
        """Have Linux kill this process when its parent ends, even if it hangs in a call of NCCL.

        vLLM itself only closes the queues of its processes then: one that hangs would keep its GPU's memory. Linux
        watches the thread that started the process, which lives as long as the engine. `parent` is its process id.

        Raises:
            OSError: Linux refused.
        """
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
        if os.getppid() != parent:  # it has ended before this call
            os.kill(os.getpid(), signal.SIGKILL)
