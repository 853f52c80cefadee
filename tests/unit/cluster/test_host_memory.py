"""Test which of the limits on a machine's memory counts."""

import os
from pathlib import Path

import pytest

from cluster.host_memory import host_memory_gib


@pytest.mark.parametrize(
    ("written", "expected"),
    [("1073741824\n", 1.0), ("max\n", None), ("9223372036854771712\n", None), (None, None)],
)
def test_the_limit_of_a_container_counts_where_it_is_below_the_machines_memory(
    tmp_path: Path, written: str | None, expected: float | None
) -> None:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    file = tmp_path / "memory.max"
    if written is not None:
        file.write_text(written, encoding="ascii")
    assert host_memory_gib((file,)) == pytest.approx(expected or machine)
