"""Test how an engine decides what it keeps of its weights while the learner uses its GPU."""

from pathlib import Path

import pytest

from actors.generation.sleep import SleepLevel, free_host_bytes, sleep_level

GIB = 1 << 30


@pytest.mark.parametrize(
    ("num_copies", "free_gib", "level"),
    [(1, 64, 1), (1, 63, 2), (8, 512, 1), (8, 511, 2), (1, 0, 2)],
)
def test_weights_are_kept_where_a_quarter_of_the_free_memory_holds_all_copies(
    num_copies: int, free_gib: int, level: SleepLevel
) -> None:
    assert sleep_level(weight_bytes=16 * GIB, num_copies=num_copies, free_bytes=free_gib * GIB) == level


def test_free_memory_is_what_linux_says(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    600 kB\n", encoding="ascii")
    assert free_host_bytes(meminfo) == 600 * 1024
    meminfo.write_text("MemTotal: 1 kB\n", encoding="ascii")
    with pytest.raises(RuntimeError):
        free_host_bytes(meminfo)
    assert free_host_bytes() > 0
