"""References: one request an item however many ask, a cache that survives, and a key that knows what decides."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from driver.errors import BadInput, RunFailed
from driver.references import PivotSampling, ReferenceBook, ReferenceCache, model_fingerprint
from driver.schema import Reference
from tests.fakes import FakeGenerator, a_problem, run, token_ids

SAMPLING = PivotSampling(fingerprint="pivot", max_tokens=8, temperature=0.0, seed=1)
PROMPT = token_ids("Question a?")


def book(pivot: FakeGenerator, folder: Path | None = None) -> ReferenceBook:
    return ReferenceBook(pivot=pivot, prompt=token_ids, sampling=SAMPLING, cache=ReferenceCache(folder))


def reference(key: str = "k") -> Reference:
    return Reference(item_id="a", key=key, text="The answer is 17.", num_tokens=6, finish_reason="stop")


def test_the_languages_of_an_item_share_one_request_also_while_it_is_under_way() -> None:
    async def ask() -> None:
        pivot = FakeGenerator(closed={PROMPT})
        references = book(pivot)
        waiting = [asyncio.ensure_future(references.get(a_problem("a", language))) for language in ("de", "th", "sw")]
        await pivot.asked.get()
        pivot.open(PROMPT)
        first, *others = [await one for one in waiting]
        assert all(other is first for other in others)
        assert len(pivot.requests) == 1
        assert pivot.requests[0].prompt_token_ids == PROMPT
        counts = references.take_counts()
        assert (counts.asked, counts.requests, counts.tokens) == (3, 1, 1)  # the fake's response is one token long

    run(ask())


def test_counts_start_again_once_they_were_taken() -> None:
    async def ask() -> None:
        references = book(FakeGenerator())
        await references.get(a_problem("a"))
        references.take_counts()
        await references.get(a_problem("a"))
        counts = references.take_counts()
        assert (counts.asked, counts.requests, counts.tokens) == (1, 0, 0)

    run(ask())


def test_two_items_are_asked_for_side_by_side() -> None:
    async def ask() -> None:
        other = token_ids("Question b?")
        pivot = FakeGenerator(closed={PROMPT, other})
        references = book(pivot)
        waiting = [asyncio.ensure_future(references.get(a_problem(item))) for item in "ab"]
        await pivot.asked.get()
        await pivot.asked.get()
        pivot.open(other)
        assert (await waiting[1]).item_id == "b"
        assert not waiting[0].done()
        pivot.open(PROMPT)
        await waiting[0]

    run(ask())


def test_a_failed_request_reaches_all_who_wait_and_is_made_again_by_the_next() -> None:
    async def ask() -> None:
        pivot = FakeGenerator(failure=RunFailed("pivot-0 failed"))
        references = book(pivot)
        asking = [references.get(a_problem("a", language)) for language in ("de", "th")]
        both = await asyncio.gather(*asking, return_exceptions=True)
        assert [str(one) for one in both] == ["pivot-0 failed"] * 2
        assert len(pivot.requests) == 1
        pivot.failure = None
        assert (await references.get(a_problem("a"))).item_id == "a"

    run(ask())


def test_who_stops_waiting_does_not_take_the_reference_from_the_others() -> None:
    async def ask() -> None:
        pivot = FakeGenerator(closed={PROMPT})
        references = book(pivot)
        impatient, patient = (asyncio.ensure_future(references.get(a_problem("a", code))) for code in ("de", "th"))
        await pivot.asked.get()
        impatient.cancel()
        pivot.open(PROMPT)
        assert (await patient).item_id == "a"
        with pytest.raises(asyncio.CancelledError):
            await impatient

    run(ask())


def test_a_reference_is_found_again_after_a_reload_and_the_pivot_is_left_alone(tmp_path: Path) -> None:
    async def ask(pivot: FakeGenerator) -> Reference:
        references = book(pivot, tmp_path)
        found = await references.get(a_problem("a"))
        references.cache.save()
        return found

    made = run(ask(FakeGenerator()))
    unused = FakeGenerator()
    assert run(ask(unused)) == made
    assert unused.requests == []


def test_what_was_not_saved_is_not_there_after_a_reload(tmp_path: Path) -> None:
    cache = ReferenceCache(tmp_path)
    cache.add(reference())
    assert cache.get("k") == reference()
    assert ReferenceCache(tmp_path).get("k") is None


def test_two_runs_may_share_a_folder(tmp_path: Path) -> None:
    one, other = ReferenceCache(tmp_path), ReferenceCache(tmp_path)
    one.add(reference("1"))
    other.add(reference("2"))
    other.save()
    one.save()
    one.add(reference("3"))
    one.save()
    later = ReferenceCache(tmp_path)
    assert len(later) == 3
    assert all(later.get(key) == reference(key) for key in "123")


def test_a_file_appears_under_its_name_only_when_it_is_whole_and_is_never_changed(tmp_path: Path) -> None:
    cache = ReferenceCache(tmp_path)
    cache.add(reference("1"))
    cache.save()
    (first,) = tmp_path.iterdir()
    content = first.read_bytes()
    cache.add(reference("2"))
    cache.save()
    assert first.read_bytes() == content
    assert [path.suffix for path in tmp_path.iterdir()] == [".parquet", ".parquet"]  # nothing half-done beside them


def test_a_file_that_a_kill_left_half_written_is_not_read(tmp_path: Path) -> None:
    cache = ReferenceCache(tmp_path)
    cache.add(reference())
    cache.save()
    (tmp_path / ".0123.tmp").write_bytes(b"PAR1 and then nothing")
    assert len(ReferenceCache(tmp_path)) == 1


def test_a_file_that_is_no_reference_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / "other.parquet").write_bytes(b"not Parquet at all")
    with pytest.raises(BadInput, match=r"other\.parquet is no reference cache file .*; remove it"):
        ReferenceCache(tmp_path)


def test_saving_nothing_writes_nothing(tmp_path: Path) -> None:
    cache = ReferenceCache(tmp_path)
    cache.save()
    cache.add(reference())
    cache.save()
    cache.save()
    assert len(list(tmp_path.iterdir())) == 1


def test_without_a_folder_references_are_kept_for_the_run_alone() -> None:
    cache = ReferenceCache(None)
    cache.add(reference())
    cache.save()
    assert cache.get("k") == reference()


@pytest.mark.parametrize(
    "changed",
    [
        replace(SAMPLING, fingerprint="another pivot"),
        replace(SAMPLING, max_tokens=9),
        replace(SAMPLING, temperature=0.5),
    ],
)
def test_the_key_changes_with_whatever_decides_the_response(changed: PivotSampling) -> None:
    assert changed.key(PROMPT) != SAMPLING.key(PROMPT)
    assert SAMPLING.key(token_ids("Question b?")) != SAMPLING.key(PROMPT)
    assert SAMPLING.key(PROMPT) == replace(SAMPLING).key(PROMPT)


def test_the_seed_is_part_of_the_key_only_where_something_is_drawn() -> None:
    assert replace(SAMPLING, seed=2).key(PROMPT) == SAMPLING.key(PROMPT)
    warm = replace(SAMPLING, temperature=0.7)
    assert replace(warm, seed=2).key(PROMPT) != warm.key(PROMPT)


def test_a_models_fingerprint_follows_its_weights_and_not_its_place(tmp_path: Path) -> None:
    def model(name: str, weights: bytes) -> str:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text("{}", encoding="utf-8")
        (folder / "model.safetensors").write_bytes(weights)
        return model_fingerprint(str(folder))

    assert model("a", b"weights 1") == model("b", b"weights 1")
    assert model("c", b"weights 2") != model("d", b"weights 1")
    assert model_fingerprint("some/name") != model_fingerprint("some/other-name")
