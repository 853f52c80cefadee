"""Check that freed memory goes back to the system, in a process of its own: this one's heap is in use."""

import subprocess
import sys

import pytest

MIB = 1 << 20
HELD = """
import sys
from contextlib import nullcontext
from pathlib import Path
from actors.remote.freed_memory import give_back_freed_memory, large_blocks_apart

def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) << 10
"""
SMALL_BLOCKS = """
blocks = [bytearray(b"x") * 50_000 for _ in range(4_000)]
del blocks[:-1]  # the last one is at the end of the heap, so the heap can't shrink
before = held()
give_back_freed_memory(if_above=int(sys.argv[1]))
print(before, held())
"""
LARGE_BLOCKS = """
block = bytearray(b"x") * (31 << 20)
del block  # from now on glibc takes blocks up to this size from the heap
with large_blocks_apart() if sys.argv[1] == "apart" else nullcontext():
    blocks, small = [], []
    for _ in range(50):
        blocks.append(bytearray(b"x") * (4 << 20))
        small.append(bytearray(b"x") * 100_000)  # keeps the heap from shrinking
    before = held()
    blocks.clear()
    print(before, held())
block = bytearray(b"x") * (4 << 20)
more = bytearray(b"x") * 100_000
before = held()
del block
print(before, held())
"""


@pytest.mark.parametrize(("if_above", "goes_back"), [(0, True), (100 * MIB, True), (300 * MIB, False)])
def test_what_is_freed_in_the_middle_of_the_heap_goes_back_if_it_is_enough(if_above: int, goes_back: bool) -> None:
    """200 million bytes are freed."""
    ((before, after),) = printed_by(SMALL_BLOCKS, str(if_above))
    assert before > 190 * MIB
    assert (after < 50 * MIB) is goes_back


@pytest.mark.parametrize(("where", "goes_back"), [("apart", True), ("in the heap", False)])
def test_a_large_block_goes_back_when_it_is_freed_while_blocks_are_apart(where: str, goes_back: bool) -> None:
    """Fifty blocks of 4 MiB are freed, and later one more."""
    (before, after), (before_later, after_later) = printed_by(LARGE_BLOCKS, where)
    assert before > 200 * MIB
    assert (after < 50 * MIB) is goes_back
    assert before_later - after_later < MIB  # it is of the heap again, and stays


def printed_by(script: str, *words: str) -> list[tuple[int, int]]:
    """Return the pairs of numbers that a process prints."""
    command = [sys.executable, "-c", HELD + script, *words]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [(int(before), int(after)) for before, after in map(str.split, lines)]
