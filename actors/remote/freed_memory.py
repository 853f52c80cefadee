"""Give memory back to the system that a process has freed.

The C library keeps what is freed for the next allocation, wherever something behind it in the heap is still in use. A
process that has loaded a model, or taken new weights, so holds up to the model's size for nothing.
"""

import ctypes


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
