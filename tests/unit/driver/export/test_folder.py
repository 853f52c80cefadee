"""Check that an exported folder is whole whenever it has its name, however often its writing is killed."""

import asyncio
import os
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import pytest

from contracts.errors import CheckpointFailed
from contracts.sealed_folder import DamagedFile, FileSum, SummedFile, damaged_files, unlisted_files
from driver.export.folder import export_to, read_export

if TYPE_CHECKING:
    from _typeshed import TraceFunction

SHARDS = 2
TRACED = ("contracts/files.py", "contracts/sealed_folder.py", "driver/export/folder.py", "shutil.py", __file__)


def export(place: Path, content: str, *, step: int, num_shards: int = SHARDS) -> None:
    """Export a model of some shards, which all hold the same text."""

    async def write(aside: Path) -> dict[str, FileSum]:
        aside.mkdir()
        sums = {}
        for number in range(num_shards):
            path = aside / f"model-{number}.safetensors"
            with SummedFile(path) as file:
                file.write(content.encode())
            sums[str(path)] = file.sum
        return sums

    asyncio.run(export_to(place, write, run="mine", step=step))


def content_of(place: Path) -> tuple[set[str], int, int]:
    """Return what the shards of an export say, how many there are, and its step; it must be as its manifest says."""
    manifest = read_export(place)
    assert list(damaged_files(place, manifest.files, reads=True)) == []
    assert unlisted_files(place, manifest.files) == []
    return {(place / name).read_text() for name in manifest.files}, len(manifest.files), manifest.step


def killed_at(line: int, work: Callable[[], None]) -> bool:
    """Do the work in a process that ends itself at a line of it; return whether the work was shorter than that."""
    child = os.fork()
    if child == 0:
        seen = 0

        def trace(frame: FrameType, event: str, _: object) -> "TraceFunction | None":
            nonlocal seen
            if not frame.f_code.co_filename.endswith(TRACED):
                return None
            seen += event == "line"
            if seen >= line:
                os._exit(1)
            return trace

        threading.settrace(trace)
        sys.settrace(trace)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_export_says_of_which_run_and_step_it_is_and_of_which_files(tmp_path: Path) -> None:
    export(tmp_path / "final", "new", step=7)
    manifest = read_export(tmp_path / "final")
    assert (manifest.run, manifest.step, len(manifest.files)) == ("mine", 7, SHARDS)
    assert os.listdir(tmp_path) == ["final"]


def test_a_second_export_leaves_nothing_of_the_first(tmp_path: Path) -> None:
    export(tmp_path / "final", "old", step=1, num_shards=5)
    export(tmp_path / "final", "new", step=2)
    assert content_of(tmp_path / "final") == ({"new"}, SHARDS, 2)
    assert os.listdir(tmp_path) == ["final"]


@pytest.mark.slow
def test_an_export_that_is_killed_anywhere_and_repeated_is_never_a_mixture(tmp_path: Path) -> None:
    place, line, is_done = tmp_path / "final", 1, False
    export(place, "0", step=0)
    while not is_done:
        is_done = killed_at(line, lambda: export(place, f"{line}", step=line))  # noqa: B023 - called at once
        texts, num, step = content_of(place)
        assert (texts, num) == ({str(step)}, SHARDS)
        line += 23
    assert line > 200  # else next to nothing was traced
    assert os.listdir(tmp_path) == ["final"]


def test_a_disk_that_fills_up_leaves_the_export_of_before(tmp_path: Path) -> None:
    export(tmp_path / "final", "old", step=1)

    async def fail(aside: Path) -> dict[str, FileSum]:
        aside.mkdir()
        (aside / "model-0.safetensors").write_text("ne")
        raise CheckpointFailed(f"{aside}: No space left on device")

    with pytest.raises(CheckpointFailed):
        asyncio.run(export_to(tmp_path / "final", fail, run="mine", step=2))
    assert content_of(tmp_path / "final") == ({"old"}, SHARDS, 1)
    assert os.listdir(tmp_path) == ["final"]


@pytest.mark.parametrize("name", ["notes.txt", "model-0.safetensors", "manifest.json"])
def test_an_export_that_somebody_has_worked_on_is_kept(tmp_path: Path, name: str) -> None:
    place = tmp_path / "final"
    for number in (1, 2):
        export(place, "old", step=number)
        (place / name).write_text(f"precious {number}")
    export(place, "new", step=3)
    assert content_of(place) == ({"new"}, SHARDS, 3)
    kept = {(tmp_path / f"final.kept-{number}" / name).read_text() for number in (1, 2)}
    assert kept == {"precious 1", "precious 2"}


def test_an_export_that_was_moved_behind_a_link_stays_where_it_is(tmp_path: Path) -> None:
    place, elsewhere = tmp_path / "final", tmp_path / "elsewhere"
    export(place, "old", step=1)
    place.rename(elsewhere)
    place.symlink_to(elsewhere)
    for step in (2, 3):
        export(place, f"new {step}", step=step)
        assert content_of(place) == ({f"new {step}"}, SHARDS, step)
    assert content_of(elsewhere) == ({"old"}, SHARDS, 1)


def test_an_export_without_a_manifest_is_none(tmp_path: Path) -> None:
    export(tmp_path / "final", "new", step=7)
    shutil.copytree(tmp_path / "final", tmp_path / "copy")
    (tmp_path / "copy" / "manifest.json").unlink()
    with pytest.raises(DamagedFile):
        read_export(tmp_path / "copy")
