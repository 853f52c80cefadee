"""Test the memory of a process against what the kernel and this test know of it."""

import subprocess
import sys

from actors.remote.memory import this_process_memory

MIB = 2**20


def test_what_a_process_allocates_is_its_own_and_stays_in_the_peak() -> None:
    before = this_process_memory(with_children=False)
    held = bytearray(b"\1" * (200 * MIB))
    during = this_process_memory(with_children=False)
    assert len(held) == 200 * MIB
    del held
    after = this_process_memory(with_children=False)
    assert 190 * MIB < during.own - before.own < 260 * MIB
    assert after.own < during.own - 150 * MIB
    assert after.peak >= during.own
    assert during.gpu == 0


def test_children_count_where_they_are_asked_for() -> None:
    before = this_process_memory(with_children=False).own
    program = "held = bytearray(b'\\1' * 2**27); print(len(held), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert int(child.stdout.readline()) == 128 * MIB
        assert this_process_memory(with_children=True).own - before > 120 * MIB
        assert this_process_memory(with_children=False).own - before < 60 * MIB
        child.stdin.write(b"\n")
