"""Check that freed memory goes back to the system, in a process of its own: this one's heap is in use."""

import subprocess
import sys

import pytest

MIB = 1 << 20
SCRIPT = """
import sys
from pathlib import Path
from actors.remote.freed_memory import give_back_freed_memory

def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) << 10

blocks = [bytearray(b"x") * 50_000 for _ in range(4_000)]
del blocks[:-1]  # the last one is at the end of the heap, so the heap can't shrink
before = held()
give_back_freed_memory(if_above=int(sys.argv[1]))
print(before, held())
"""


@pytest.mark.parametrize(("if_above", "goes_back"), [(0, True), (100 * MIB, True), (300 * MIB, False)])
def test_what_is_freed_in_the_middle_of_the_heap_goes_back_if_it_is_enough(if_above: int, goes_back: bool) -> None:
    """200 million bytes are freed."""
    command = [sys.executable, "-c", SCRIPT, str(if_above)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    before, after = (int(number) for number in printed.split())
    assert before > 190 * MIB
    assert (after < 50 * MIB) is goes_back
