"""Give memory back to the system that a process has freed.

The C library keeps what is freed for the next allocation, wherever something behind it in the heap is still in use. A
process that has loaded a model, or taken new weights, so holds up to the model's size for nothing.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

LARGE_MODEL_BYTES = 512 << 20
"""From this size on the passes of a model on a CPU keep large blocks apart. In the heap they would take more than twice
what they need, gigabytes. To map each block costs processor time in every pass: smaller models stay with the heap."""
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # numbers of glibc's mallopt
_APART_BYTES = 1 << 20
_LARGEST_IN_HEAP = 32 << 20
"""What glibc itself raises the limit to, at most, once a block of that size was freed."""


class _HeapFacts(ctypes.Structure):
    """Hold what glibc's mallinfo2 returns, in bytes, over all heaps."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "top",
        )
    ]
    fordblks: int  # freed, and not given back


@contextmanager
def large_blocks_apart() -> Iterator[None]:
    """Map blocks from 1 MiB on one by one while the body runs, so that each goes back as soon as it is freed.

    For the loading of a model, which frees every weight once: in the heap, the copies of all layers would lie between
    what stays, up to half a GiB more at the peak for a model of 1 GiB. Mapping a block costs time each time, so
    afterwards blocks up to 32 MiB are of the heap again, as with glibc's own adaptive limit, and what is free is given
    back. Another C library than glibc does nothing.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        yield
        return
    library.mallopt(_MMAP_THRESHOLD, _APART_BYTES)
    try:
        yield
    finally:
        library.mallopt(_MMAP_THRESHOLD, _LARGEST_IN_HEAP)
        library.mallopt(_TRIM_THRESHOLD, 2 * _LARGEST_IN_HEAP)
        give_back_freed_memory()


def give_back_freed_memory(*, if_above: int = 0) -> None:
    """Return every free page of the heap to the system (glibc's malloc_trim); another C library does nothing.

    Pages that are needed again have to be asked for again, about half a second for each GiB. Where that happens often,
    `if_above` says how many freed bytes may stay.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "malloc_trim"):
        return
    if not if_above or _freed(library) > if_above:
        library.malloc_trim(0)


def _freed(library: ctypes.CDLL) -> float:
    """Return the bytes that are freed and not given back; glibc before 2.33 does not say: infinite."""
    if not hasattr(library, "mallinfo2"):
        return float("inf")
    library.mallinfo2.restype = _HeapFacts
    return library.mallinfo2().fordblks
