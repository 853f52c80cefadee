"""Give memory back to the system that a process has freed.

The C library keeps what is freed for the next allocation, wherever something behind it in the heap is still in use. A
process that has loaded a model, or taken new weights, so holds up to the model's size for nothing.
"""

import ctypes


def give_back_freed_memory() -> None:
    """Return every free page of the heap to the system (glibc's malloc_trim); another C library does nothing.

    It takes some milliseconds, and pages that are needed again have to be asked for again. So it belongs behind what is
    done rarely and frees much, not into every step.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
