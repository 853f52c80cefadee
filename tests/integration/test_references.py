"""Run `references` as a person does, on a real engine, and several processes that use one cache folder."""

import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest

from driver.references.cache import ReferenceCache
from tests.commands import Finished, run_with_config
from tests.integration.conftest import TinyModels
from tests.runs.cached_references import key, reference

NUM_ITEMS = 6
CONFIG = """
[run]
folder = "{folder}/runs"
[data]
num_items = {num_items}
languages = ["de", "th"]
[policy]
model = "{model}"
[pivot]
model = "{model}"
cache = "{folder}/references"
max_model_len = 512
max_response_tokens = 8
temperature = 1.0
num_references = 3
max_num_seqs = 8
kv_cache_gib = 0.1
dtype = "float32"
[scorer]
model = "owner/never-loaded"
[algorithm]
steps = 1
"""


References = Callable[..., Finished]


@pytest.fixture
def references(tiny_models: TinyModels, environment: dict[str, str], tmp_path: Path) -> References:
    """Run the command with these overrides."""

    def run(*words: str) -> Finished:
        config = CONFIG.format(folder=tmp_path, model=tiny_models.policy, num_items=NUM_ITEMS)
        return run_with_config("references", config, *words, "--json", folder=tmp_path, environment=environment)

    return run


def test_the_cache_is_filled_once_and_what_was_damaged_is_asked_for_again(
    references: References, tmp_path: Path
) -> None:
    first = references("run.name=first").summary
    assert (first["items"], first["found"], first["asked"]) == (NUM_ITEMS, 0, NUM_ITEMS)  # two languages, one item
    assert first["tokens"] > NUM_ITEMS and first["tokens_per_s"] > 0
    assert 0 <= first["truncated"] + first["undecided"] <= NUM_ITEMS
    assert json.loads((tmp_path / "runs" / "first" / "summary.json").read_text(encoding="utf-8")) == first
    assert len(ReferenceCache(tmp_path / "references")) == NUM_ITEMS

    done = references("run.name=second")
    second = done.summary
    assert (second["found"], second["asked"], second["tokens_per_s"]) == (NUM_ITEMS, 0, None)
    assert (second["truncated"], second["undecided"]) == (first["truncated"], first["undecided"])
    assert not list((tmp_path / "runs" / "second" / "logs").glob("pivot*"))  # nothing is missing: no pivot starts

    (file,) = (tmp_path / "references").glob("*.parquet")
    file.write_bytes(file.read_bytes()[:100])
    done = references("run.name=third")
    third = done.summary
    assert (third["found"], third["asked"]) == (0, NUM_ITEMS)
    assert str(file) in done.stderr and file.with_name(f"{file.name}.damaged").exists()
    assert (third["truncated"], third["undecided"]) == (first["truncated"], first["undecided"])  # the same draws


@pytest.mark.parametrize("cache", ["off", "references.toml"])  # no folder, and a file
def test_without_a_folder_to_fill_nothing_starts(references: References, tmp_path: Path, cache: str) -> None:
    done = references(f"pivot.cache={cache if cache == 'off' else tmp_path / cache}")
    assert done.code == 2
    assert "pivot.cache" in done.errors[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def add_many(folder: Path, name: str) -> None:
    """Write many small files, so that processes that do so at once merge each other's files."""
    cache = ReferenceCache(folder)
    for number in range(40):
        cache.add(reference(f"{name} {number}"))
        cache.save()
        earlier = f"{name} {number // 2}"
        assert cache.get(key(earlier)) == reference(earlier)


def test_processes_that_add_and_merge_at_once_lose_nothing(tmp_path: Path) -> None:
    fresh = multiprocessing.get_context("spawn")
    processes = [fresh.Process(target=add_many, args=(tmp_path, name)) for name in "abc"]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    notes: list[str] = []
    cache = ReferenceCache(tmp_path, note=notes.append)
    names = [f"{name} {number}" for name in "abc" for number in range(40)]
    assert [cache.get(key(name)) for name in names] == [reference(name) for name in names]
    assert notes == []
    assert len(list(tmp_path.glob("*.parquet"))) < 40  # of 120
