"""The cache's files: shared, merged, seen while a run goes on, and whatever is wrong with one is said and survived."""

import hashlib
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from driver.errors import BadInput
from driver.reference_cache import LOOK_EVERY_S, ReferenceCache, check_folder
from driver.reference_files import SCHEMA, read_index
from driver.reference_merge import FILES_TO_MERGE, MAX_SOURCE_ROWS, due_for_merging, sole_merger
from driver.schema import Reference


def key(name: object) -> str:
    return hashlib.blake2b(str(name).encode(), digest_size=16).hexdigest()


def reference(name: object = "k") -> Reference:
    return Reference(
        item_id=f"item {name}",
        key=key(name),
        text=f"The answer is {name}. ไทย",
        num_tokens=6,
        verdict="accepted",
        num_votes=2,
        num_drawn=3,
    )


def filled(folder: Path, *names: object) -> ReferenceCache:
    """A cache that saved these as one file of its own."""
    cache = ReferenceCache(folder)
    for name in names:
        cache.add(reference(name))
    cache.save()
    return cache


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


class Clock:
    """Stands still until the test moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


# --- what is saved is found again -------------------------------------------------------------------------------------


def test_what_was_not_saved_is_not_there_after_a_reload(tmp_path: Path) -> None:
    cache = ReferenceCache(tmp_path)
    cache.add(reference())
    assert cache.get(key("k")) == reference()
    assert (cache.num_unsaved, len(cache)) == (1, 1)
    assert ReferenceCache(tmp_path).get(key("k")) is None
    cache.save()
    assert (cache.num_unsaved, len(cache)) == (0, 1)
    assert ReferenceCache(tmp_path).get(key("k")) == reference()


def test_a_file_of_several_row_groups_finds_every_row(tmp_path: Path) -> None:
    cache = filled(tmp_path, *range(1300))  # groups of 512, 512 and 276 rows
    assert len(read_index(files(tmp_path)[0]).group_starts) == 4
    for name in (0, 511, 512, 1023, 1024, 1299):
        assert cache.get(key(name)) == reference(name)
    assert cache.get(key(1300)) is None


def test_keys_that_share_their_first_half_are_told_apart(tmp_path: Path) -> None:
    first, second, third = (f"{'ab' * 8}{half * 8}" for half in ("01", "02", "03"))
    cache = ReferenceCache(tmp_path)
    for one in (first, second):
        cache.add(Reference(**{**asdict_of(reference(one)), "key": one}))
    cache.save()
    found = [cache.get(one) for one in (first, second, third)]
    assert [one.item_id if one else None for one in found] == [f"item {first}", f"item {second}", None]


def asdict_of(one: Reference) -> dict:
    return {name: getattr(one, name) for name in Reference.__slots__}


def test_a_file_appears_under_its_name_only_when_it_is_whole_and_is_never_changed(tmp_path: Path) -> None:
    cache = filled(tmp_path, 1)
    (first,) = tmp_path.iterdir()
    content = first.read_bytes()
    cache.add(reference(2))
    cache.save()
    assert first.read_bytes() == content
    assert [path.suffix for path in tmp_path.iterdir()] == [".parquet", ".parquet"]  # nothing half-done beside them


def test_what_a_kill_left_half_written_is_not_read(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    (tmp_path / ".0123.tmp").write_bytes(b"PAR1 and then nothing")
    said: list[str] = []
    assert len(ReferenceCache(tmp_path, note=said.append)) == 1
    assert said == []


def test_saving_nothing_writes_nothing(tmp_path: Path) -> None:
    cache = ReferenceCache(tmp_path)
    cache.save()
    assert files(tmp_path) == []
    cache.add(reference())
    cache.save()
    cache.save()
    assert len(files(tmp_path)) == 1


def test_without_a_folder_references_are_kept_for_the_run_alone() -> None:
    cache = ReferenceCache(None)
    cache.add(reference())
    cache.save()
    assert cache.get(key("k")) == reference()
    assert cache.get(key("another")) is None


# --- several processes ------------------------------------------------------------------------------------------------


def test_runs_share_a_folder_and_a_key_that_two_asked_for_counts_once(tmp_path: Path) -> None:
    one, other = ReferenceCache(tmp_path), ReferenceCache(tmp_path)
    one.add(reference(1))
    one.add(reference(2))
    other.add(reference(2))
    other.add(reference(3))
    other.save()
    one.save()
    later = ReferenceCache(tmp_path)
    assert len(later) == 3
    assert [later.get(key(name)) for name in (1, 2, 3)] == [reference(name) for name in (1, 2, 3)]


def test_files_of_others_are_seen_while_the_run_goes_on_but_not_looked_for_at_every_miss(tmp_path: Path) -> None:
    clock = Clock()
    mine = ReferenceCache(tmp_path, clock=clock)
    filled(tmp_path, "theirs")
    assert mine.get(key("theirs")) is None
    clock.now += LOOK_EVERY_S
    assert mine.get(key("theirs")) == reference("theirs")


def test_small_files_are_merged_and_nothing_is_lost(tmp_path: Path) -> None:
    for name in range(FILES_TO_MERGE - 1):
        filled(tmp_path, name, "the same in all")
    assert len(files(tmp_path)) == FILES_TO_MERGE - 1
    cache = filled(tmp_path, "last")
    assert len(files(tmp_path)) == 1
    for one in (cache, ReferenceCache(tmp_path)):
        assert len(one) == FILES_TO_MERGE + 1
        for name in (*range(FILES_TO_MERGE - 1), "the same in all", "last"):
            assert one.get(key(name)) == reference(name)
    assert len(read_index(files(tmp_path)[0])) == FILES_TO_MERGE + 1  # each key once


def test_merged_rows_fill_their_row_groups(tmp_path: Path) -> None:
    for start in range(0, 100 * FILES_TO_MERGE, 100):
        filled(tmp_path, *range(start, start + 100))
    (merged,) = files(tmp_path)
    assert read_index(merged).group_starts.tolist() == [0, 512, 800]
    assert ReferenceCache(tmp_path).get(key(799)) == reference(799)


def test_a_reader_copes_with_files_that_were_merged_away_under_it(tmp_path: Path) -> None:
    for name in range(FILES_TO_MERGE - 1):
        filled(tmp_path, name)
    said: list[str] = []
    reader = ReferenceCache(tmp_path, note=said.append, clock=Clock())
    filled(tmp_path, "last")
    assert len(files(tmp_path)) == 1
    assert [reader.get(key(name)) for name in (3, "last")] == [reference(3), reference("last")]
    assert said == []


def test_who_can_not_have_the_lock_leaves_merging_to_the_one_that_has_it(tmp_path: Path) -> None:
    with sole_merger(tmp_path) as is_held:
        assert is_held
        for name in range(FILES_TO_MERGE + 1):
            filled(tmp_path, name)
        assert len(files(tmp_path)) == FILES_TO_MERGE + 1
    assert len(ReferenceCache(tmp_path)) == FILES_TO_MERGE + 1
    assert len(files(tmp_path)) == 1


def test_files_of_one_size_are_merged_the_small_ones_first_and_large_ones_never(tmp_path: Path) -> None:
    filled(tmp_path, *range(9))  # of 8 to 63 rows
    filled(tmp_path, 9)  # of 1 to 7
    sizes = {len(index): index for index in map(read_index, files(tmp_path))}
    small, medium = sizes[1], sizes[9]
    assert due_for_merging([small] * 7 + [medium] * 7) == []
    assert due_for_merging([medium] * 8 + [small] * 9) == [small] * 9
    assert due_for_merging([medium] * 8 + [small] * 7) == [medium] * 8
    large = filled(tmp_path / "large", *range(MAX_SOURCE_ROWS))
    assert len(large) == MAX_SOURCE_ROWS
    (index,) = map(read_index, files(tmp_path / "large"))
    assert due_for_merging([index] * 20) == []


# --- what can be wrong with a file ------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"not Parquet at all", b"PAR1 neither is this PAR1"])
def test_a_file_that_is_no_parquet_is_set_aside_and_said(tmp_path: Path, content: bytes) -> None:
    filled(tmp_path, 1)
    (tmp_path / "other.parquet").write_bytes(content)
    said: list[str] = []
    cache = ReferenceCache(tmp_path, note=said.append)
    assert cache.get(key(1)) == reference(1)
    (line,) = said
    assert "other.parquet is damaged (" in line
    assert "set aside as other.parquet.damaged; its references are asked for again" in line
    assert (tmp_path / "other.parquet.damaged").read_bytes() == content
    assert len(files(tmp_path)) == 1


def test_a_file_cut_short_loses_its_own_references_only(tmp_path: Path) -> None:
    filled(tmp_path, *range(600))
    (cut,) = files(tmp_path)
    cut.write_bytes(cut.read_bytes()[:-200])
    filled(tmp_path, "whole")
    said: list[str] = []
    cache = ReferenceCache(tmp_path, note=said.append)
    assert (cache.get(key("whole")), cache.get(key(1))) == (reference("whole"), None)
    assert len(said) <= 1 and list(tmp_path.glob("*.damaged")) != []


def test_damage_among_the_texts_is_found_when_they_are_read_and_they_are_written_anew(tmp_path: Path) -> None:
    filled(tmp_path, *range(600))
    (damaged,) = files(tmp_path)
    start, end = text_bytes(damaged)
    content = bytearray(damaged.read_bytes())
    content[(start + end) // 2] ^= 1
    damaged.write_bytes(content)
    said: list[str] = []
    cache = ReferenceCache(tmp_path, note=said.append)
    assert said == []  # the keys are whole
    assert cache.get(key(3)) is None
    (line,) = said
    assert f"{damaged} is damaged" in line and f"{damaged.name}.damaged" in line
    cache.add(reference(3))
    cache.save()
    assert ReferenceCache(tmp_path).get(key(3)) == reference(3)


def text_bytes(path: Path) -> tuple[int, int]:
    """Where the first row group's texts are in a file."""
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
def test_a_file_of_another_version_is_set_aside_and_kept(tmp_path: Path, metadata: dict[bytes, bytes] | None) -> None:
    table = pa.table({"key": ["k"], "finish_reason": ["stop"]}).replace_schema_metadata(metadata)
    pq.write_table(table, tmp_path / "old.parquet")
    said: list[str] = []
    cache = ReferenceCache(tmp_path, note=said.append)
    assert len(cache) == 0
    (line,) = said
    named = metadata[b"reference_cache_format"].decode() if metadata else "an earlier one"
    assert f"old.parquet was written by another version (format {named}, this one reads 2)" in line
    assert "set aside as old.parquet.other-version" in line
    assert pq.read_table(tmp_path / "old.parquet.other-version").num_rows == 1


def test_columns_that_are_not_the_formats_are_another_version_whatever_the_file_says(tmp_path: Path) -> None:
    pq.write_table(pa.table({"key": ["k"]}).replace_schema_metadata(SCHEMA.metadata), tmp_path / "odd.parquet")
    said: list[str] = []
    ReferenceCache(tmp_path, note=said.append)
    assert "odd.parquet.other-version" in said[0]


def test_nothing_that_was_set_aside_is_written_over(tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        (tmp_path / "a.parquet").write_bytes(content)
        ReferenceCache(tmp_path, note=print)
    assert (tmp_path / "a.parquet.damaged").read_bytes() == b"first"
    assert (tmp_path / "a.parquet.damaged-2").read_bytes() == b"second"


# --- what can be wrong with the folder --------------------------------------------------------------------------------


def test_a_folder_that_can_not_be_one_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(BadInput, match=r"pivot\.cache .*file is no folder that may be read and written to"):
            check_folder(folder)
        with pytest.raises(BadInput, match="is no folder"):
            ReferenceCache(folder)
    check_folder(tmp_path / "not" / "there" / "yet")
    assert not (tmp_path / "not").exists()


def test_a_folder_that_nothing_can_be_written_to_is_refused_at_the_start(tmp_path: Path) -> None:
    with full_disk(), pytest.raises(BadInput, match=r"can't be written to .*make room, or choose another"):
        ReferenceCache(tmp_path)
    assert list(tmp_path.iterdir()) == []


@contextmanager
def full_disk() -> Iterator[None]:
    """No file can get any bytes: the system refuses the write as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_on_a_full_disk_references_stay_in_memory_and_are_written_once_there_is_room(tmp_path: Path) -> None:
    said: list[str] = []
    cache = ReferenceCache(tmp_path, note=said.append)
    with full_disk():
        for name in (1, 2):
            cache.add(reference(name))
            cache.save()
        assert [cache.get(key(name)) for name in (1, 2)] == [reference(1), reference(2)]
        assert list(tmp_path.iterdir()) == []  # nothing half-written
    assert cache.num_unsaved == 2
    (line,) = said  # once
    assert "references can't be written" in line and "kept in memory" in line
    cache.save()
    assert cache.num_unsaved == 0
    assert len(ReferenceCache(tmp_path)) == 2
    with full_disk():
        cache.add(reference(3))
        cache.save()
    assert len(said) == 2  # it is full again: another trouble


def test_a_folder_that_goes_while_the_run_goes_on_is_survived_and_said(tmp_path: Path) -> None:
    folder, clock, said = tmp_path / "cache", Clock(), list[str]()
    filled(folder, 1)
    cache = ReferenceCache(folder, note=said.append, clock=clock)
    shutil.rmtree(folder)
    assert cache.get(key(1)) is None
    assert len(said) == 1 and "references can't be read" in said[0]
    cache.add(reference(1))
    cache.save()
    assert len(said) == 2 and "references can't be written" in said[1]
    folder.mkdir()
    cache.save()
    clock.now += LOOK_EVERY_S
    assert (cache.get(key(1)), cache.get(key(2))) == (reference(1), None)
