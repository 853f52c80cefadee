"""Test the cache's files: saved references are found again, shared, merged, and seen during a run."""

from pathlib import Path

from contracts.rollouts import Reference
from driver.references.cache import LOOK_EVERY_S, ReferenceCache
from driver.references.files import read_index
from driver.references.merge import FILES_TO_MERGE, MAX_SOURCE_ROWS, due_for_merging, sole_merger
from tests.fakes.clock import Clock
from tests.runs.cached_references import files, filled, key, reference

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
    assert len(read_index(files(tmp_path)[0]).row_group_starts) == 4
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
    (tmp_path / "0123.parquet.writing").write_bytes(b"PAR1 and then nothing")
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
    clock = Clock(100.0)
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
    assert read_index(merged).row_group_starts.tolist() == [0, 512, 800]
    assert ReferenceCache(tmp_path).get(key(799)) == reference(799)


def test_a_reader_copes_with_files_that_were_merged_away_under_it(tmp_path: Path) -> None:
    for name in range(FILES_TO_MERGE - 1):
        filled(tmp_path, name)
    said: list[str] = []
    reader = ReferenceCache(tmp_path, note=said.append, clock=Clock(100.0))
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
