"""`references` as a person runs it, on a real engine; and several processes at one cache folder."""

import hashlib
import json
import multiprocessing
from pathlib import Path

import pytest

from contracts.rollouts import Reference
from driver.references.cache import ReferenceCache
from tests.commands import Finished, run_project
from tests.integration.conftest import TinyModels

pytestmark = pytest.mark.integration

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


def references(models: TinyModels, folder: Path, environment: dict[str, str], *words: str) -> Finished:
    config = folder / "references.toml"
    config.write_text(CONFIG.format(folder=folder, model=models.policy, num_items=NUM_ITEMS), encoding="utf-8")
    return run_project("references", str(config), *words, "--json", cwd=folder, environment=environment)


def summary(done: Finished) -> dict:
    assert done.code == 0, done.stderr
    assert done.left_behind == ()
    return json.loads(done.stdout.splitlines()[-1])


def test_the_cache_is_filled_once_and_what_was_damaged_is_asked_for_again(
    tiny_models: TinyModels, environment: dict[str, str], tmp_path: Path
) -> None:
    done = references(tiny_models, tmp_path, environment, "run.name=first")
    first = summary(done)
    assert (first["items"], first["found"], first["asked"]) == (NUM_ITEMS, 0, NUM_ITEMS)  # two languages, one item
    assert first["tokens"] > NUM_ITEMS and first["tokens_per_s"] > 0
    assert 0 <= first["truncated"] + first["undecided"] <= NUM_ITEMS
    assert "asking for references: done" in done.stderr
    assert json.loads((tmp_path / "runs" / "first" / "summary.json").read_text(encoding="utf-8")) == first
    cache = ReferenceCache(tmp_path / "references")
    assert len(cache) == NUM_ITEMS

    done = references(tiny_models, tmp_path, environment, "run.name=second")
    second = summary(done)
    assert (second["found"], second["asked"], second["tokens_per_s"]) == (NUM_ITEMS, 0, None)
    assert (second["truncated"], second["undecided"]) == (first["truncated"], first["undecided"])
    assert "loading pivot" not in done.stderr  # nothing is missing: nobody is started

    (file,) = (tmp_path / "references").glob("*.parquet")
    file.write_bytes(file.read_bytes()[:100])
    done = references(tiny_models, tmp_path, environment, "run.name=third")
    third = summary(done)
    assert (third["found"], third["asked"]) == (0, NUM_ITEMS)
    assert f"{file} is damaged" in done.stderr and f"set aside as {file.name}.damaged" in done.stderr
    assert (third["truncated"], third["undecided"]) == (first["truncated"], first["undecided"])  # the same draws


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["pivot.cache=off"], 'pivot.cache = "off" keeps references for one run only'),
        (["pivot.cache=references.toml"], "is no folder that may be read and written to"),
    ],
)
def test_without_a_folder_to_fill_nothing_starts(
    words: list[str], told: str, tiny_models: TinyModels, environment: dict[str, str], tmp_path: Path
) -> None:
    words = [word.replace("references.toml", str(tmp_path / "references.toml")) for word in words]
    done = references(tiny_models, tmp_path, environment, *words)
    assert done.code == 2
    assert told in done.errors[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def reference(name: str) -> Reference:
    return Reference(
        item_id=name,
        key=key(name),
        text=f"The answer is {name}.",
        num_tokens=6,
        verdict="accepted",
        num_votes=1,
        num_drawn=1,
    )


def key(name: str) -> str:
    return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()


def add_many(folder: Path, name: str) -> None:
    """What each of several processes does at once: many small files, so that they merge each other's."""
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
    said: list[str] = []
    cache = ReferenceCache(tmp_path, note=said.append)
    names = [f"{name} {number}" for name in "abc" for number in range(40)]
    assert [cache.get(key(name)) for name in names] == [reference(name) for name in names]
    assert said == []
    assert len(list(tmp_path.glob("*.parquet"))) < 40  # of 120
