"""Test that a run survives every damage of the reference cache's files and folder, and notes it."""

import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from contracts.errors import BadInput
from driver.references.cache import LOOK_EVERY_S, ReferenceCache, check_folder
from driver.references.files import SCHEMA
from driver.references.merge import FILES_TO_MERGE
from tests.fakes.clock import Clock
from tests.runs.cached_references import files, filled, key, reference

# --- what can be wrong with a file ------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"not Parquet at all", b"PAR1 neither is this PAR1"])
def test_a_file_that_is_no_parquet_is_renamed_and_noted(tmp_path: Path, content: bytes) -> None:
    filled(tmp_path, 1)
    (tmp_path / "other.parquet").write_bytes(content)
    notes: list[str] = []
    cache = ReferenceCache(tmp_path, note=notes.append)
    assert cache.get(key(1)) == reference(1)
    (line,) = notes
    assert "other.parquet.damaged" in line
    assert (tmp_path / "other.parquet.damaged").read_bytes() == content
    assert len(files(tmp_path)) == 1


def test_a_file_cut_short_loses_its_own_references_only(tmp_path: Path) -> None:
    filled(tmp_path, *range(600))
    (cut,) = files(tmp_path)
    cut.write_bytes(cut.read_bytes()[:-200])
    filled(tmp_path, "whole")
    notes: list[str] = []
    cache = ReferenceCache(tmp_path, note=notes.append)
    assert (cache.get(key("whole")), cache.get(key(1))) == (reference("whole"), None)
    assert len(notes) <= 1 and list(tmp_path.glob("*.damaged")) != []


def test_damage_among_the_texts_is_found_when_they_are_read_and_they_are_written_anew(tmp_path: Path) -> None:
    filled(tmp_path, *range(600))
    (damaged,) = files(tmp_path)
    start, end = text_bytes(damaged)
    content = bytearray(damaged.read_bytes())
    content[(start + end) // 2] ^= 1
    damaged.write_bytes(content)
    notes: list[str] = []
    cache = ReferenceCache(tmp_path, note=notes.append)
    assert notes == []  # the keys are whole
    assert cache.get(key(3)) is None
    (line,) = notes
    assert f"{damaged.name}.damaged" in line
    cache.add(reference(3))
    cache.save()
    assert ReferenceCache(tmp_path).get(key(3)) == reference(3)


def text_bytes(path: Path) -> tuple[int, int]:
    """Return where the first row group's texts are in a file."""
    column = pq.ParquetFile(path).metadata.row_group(0).column(SCHEMA.get_field_index("text"))
    return column.data_page_offset, column.data_page_offset + column.total_compressed_size


def test_damage_that_a_merge_comes_upon_costs_that_file_alone(tmp_path: Path) -> None:
    filled(tmp_path, "lost")
    (damaged,) = files(tmp_path)
    start, end = text_bytes(damaged)
    content = bytearray(damaged.read_bytes())
    content[(start + end) // 2] ^= 1
    damaged.write_bytes(content)
    for name in range(FILES_TO_MERGE):
        filled(tmp_path, name)
    assert [path.name for path in tmp_path.glob("*.damaged")] == [f"{damaged.name}.damaged"]
    assert len(files(tmp_path)) == 1
    cache = ReferenceCache(tmp_path)
    assert [cache.get(key(name)) for name in range(FILES_TO_MERGE)] == [reference(n) for n in range(FILES_TO_MERGE)]
    assert cache.get(key("lost")) is None


@pytest.mark.parametrize("metadata", [None, {b"reference_cache_format": b"1"}, {b"reference_cache_format": b"3"}])
def test_a_file_of_another_version_is_renamed_and_kept(tmp_path: Path, metadata: dict[bytes, bytes] | None) -> None:
    table = pa.table({"key": ["k"], "finish_reason": ["stop"]}).replace_schema_metadata(metadata)
    pq.write_table(table, tmp_path / "old.parquet")
    notes: list[str] = []
    cache = ReferenceCache(tmp_path, note=notes.append)
    assert len(cache) == 0
    (line,) = notes
    assert "old.parquet.other-version" in line
    assert pq.read_table(tmp_path / "old.parquet.other-version").num_rows == 1


def test_columns_that_are_not_the_formats_are_another_version_whatever_the_file_says(tmp_path: Path) -> None:
    pq.write_table(pa.table({"key": ["k"]}).replace_schema_metadata(SCHEMA.metadata), tmp_path / "odd.parquet")
    notes: list[str] = []
    ReferenceCache(tmp_path, note=notes.append)
    assert "odd.parquet.other-version" in notes[0]


def test_no_renamed_file_is_overwritten(tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        (tmp_path / "a.parquet").write_bytes(content)
        ReferenceCache(tmp_path, note=print)
    assert (tmp_path / "a.parquet.damaged").read_bytes() == b"first"
    assert (tmp_path / "a.parquet.damaged-2").read_bytes() == b"second"


# --- what can be wrong with the folder --------------------------------------------------------------------------------


def test_a_folder_that_can_not_be_one_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        for use in (check_folder, ReferenceCache):
            with pytest.raises(BadInput) as error:
                use(folder)
            assert error.value.key == "pivot.cache"
    check_folder(tmp_path / "not" / "there" / "yet")
    assert not (tmp_path / "not").exists()


def test_a_folder_that_nothing_can_be_written_to_is_refused_at_the_start(tmp_path: Path) -> None:
    with full_disk(), pytest.raises(BadInput) as error:
        ReferenceCache(tmp_path)
    assert error.value.key == "pivot.cache"
    assert list(tmp_path.iterdir()) == []


@contextmanager
def full_disk() -> Iterator[None]:
    """Let no file be written: the system refuses each write as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_on_a_full_disk_references_stay_in_memory_and_are_written_once_there_is_room(tmp_path: Path) -> None:
    notes: list[str] = []
    cache = ReferenceCache(tmp_path, note=notes.append)
    with full_disk():
        for name in (1, 2):
            cache.add(reference(name))
            cache.save()
        assert [cache.get(key(name)) for name in (1, 2)] == [reference(1), reference(2)]
        assert list(tmp_path.iterdir()) == []  # nothing half-written
    assert cache.num_unsaved == 2
    (line,) = notes  # once
    assert "references can't be written" in line and "kept in memory" in line
    cache.save()
    assert cache.num_unsaved == 0
    assert len(ReferenceCache(tmp_path)) == 2
    with full_disk():
        cache.add(reference(3))
        cache.save()
    assert len(notes) == 2  # it is full again: another trouble


def test_a_folder_that_goes_while_the_run_goes_on_is_survived_and_noted(tmp_path: Path) -> None:
    folder, clock, notes = tmp_path / "cache", Clock(100.0), list[str]()
    filled(folder, 1)
    cache = ReferenceCache(folder, note=notes.append, clock=clock)
    shutil.rmtree(folder)
    assert cache.get(key(1)) is None
    assert len(notes) == 1 and "references can't be read" in notes[0]
    cache.add(reference(1))
    cache.save()
    assert len(notes) == 2 and "references can't be written" in notes[1]
    folder.mkdir()
    cache.save()
    clock.now += LOOK_EVERY_S
    assert (cache.get(key(1)), cache.get(key(2))) == (reference(1), None)
