"""Say which part of a parameter a ZeRO-3 rank owns, and what of another number of ranks' parts it is made of. Pure.

ZeRO-3 flattens each parameter and pads it until its elements divide by the number of ranks. Rank r owns the r-th part
(Rajbhandari et al. 2020, arXiv 1910.02054, section 5.3).
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Say where a rank keeps its part of one parameter."""

    name: str
    flat: int  # index of the flat tensor
    start: int  # of the part in it
    length: int  # elements of the part, with padding
    whole: int  # elements of the whole parameter
    shape: tuple[int, ...]  # of the whole parameter


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Say which elements of a saved rank's part belong to a rank's own part."""

    saved: int  # the saved rank
    source: int  # first element in its part
    target: int  # first element in the own part
    length: int


def pieces(part: Part, *, rank: int, world_size: int, num_saved: int) -> Iterator[Piece]:
    """Yield the pieces of `num_saved` saved parts that make up the part of `rank`, in order.

    With as many ranks as before it is the rank's own part, with its padding; else padding is in no piece.
    """
    if num_saved == world_size:
        yield Piece(saved=rank, source=0, target=0, length=part.length)
        return
    theirs = -(-part.whole // num_saved)
    first, end = rank * part.length, min((rank + 1) * part.length, part.whole)
    for saved in range(first // theirs, num_saved):
        low, high = max(first, saved * theirs), min(end, (saved + 1) * theirs)
        if low >= high:
            return
        yield Piece(saved=saved, source=low - saved * theirs, target=low - first, length=high - low)
