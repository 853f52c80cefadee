"""Test filling the cache ahead: every missing item once, bounded, and little lost when it is stopped."""

import asyncio
from pathlib import Path

import pytest

from contracts.config.workers import PivotConfig
from contracts.errors import BadInput, RunFailed
from driver.problems.sources import ListSource
from driver.references.cache import ReferenceCache
from driver.references.fill import SAVE_EVERY_S, Items, ask_for, distinct_items, look_up, num_in_flight
from driver.references.store import PivotSampling, ReferenceStore
from tests.builders import a_problem
from tests.fakes.ports import FakeGenerator, run, token_ids

SAMPLING = PivotSampling(fingerprint="pivot", max_tokens=8, temperature=0.0, seed=1)


def items(names: str, *languages: str) -> Items:
    problems = [a_problem(name, language) for language in languages for name in names]
    return distinct_items(ListSource(problems, name="some"), languages)


def a_store(pivot: FakeGenerator, folder: Path) -> ReferenceStore:
    return ReferenceStore(pivot=pivot, prompt=token_ids, sampling=SAMPLING, cache=ReferenceCache(folder))


def ignore(number: int) -> None:
    """Do nothing with the progress."""


def test_languages_share_an_item_and_each_is_there_once() -> None:
    problems = [a_problem("a", "de"), a_problem("b", "de"), a_problem("b", "th"), a_problem("c", "th")]
    found = distinct_items(ListSource(problems, name="some"), ("de", "th"))
    assert [(problem.item_id, problem.language) for problem in found] == [("a", "de"), ("b", "de"), ("c", "th")]
    assert len(found) == 3


def test_only_what_is_missing_is_asked_for_and_found_again(tmp_path: Path) -> None:
    wanted = items("abcd", "de", "th")
    first = FakeGenerator()
    run(ask_for(items("bd", "th"), a_store(first, tmp_path), num_in_flight=1, on_progress=ignore))
    assert len(first.requests) == 2

    pivot, shown = FakeGenerator(), list[int]()
    references = a_store(pivot, tmp_path)
    outcome = look_up(wanted, references, on_progress=shown.append)
    assert (outcome.num_found, [problem.item_id for problem in outcome.missing]) == (2, ["a", "c"])
    assert shown == [1, 2, 3, 4]
    shown.clear()
    run(ask_for(outcome.missing, references, num_in_flight=8, on_progress=shown.append))
    assert shown == [1, 2]
    assert [request.prompt_token_ids for request in pivot.requests] == [token_ids(f"Question {x}?") for x in "ac"]
    assert (references.counts.asked, references.counts.cached, references.counts.requests) == (4, 2, 2)
    assert look_up(wanted, a_store(pivot, tmp_path), on_progress=ignore).num_found == 4


def test_a_question_that_the_pivot_can_not_read_is_left_out_and_told(tmp_path: Path) -> None:
    def prompt(question: str) -> tuple[int, ...]:
        if question == "Question b?":
            raise BadInput("Question b? is too long")
        return token_ids(question)

    references = a_store(FakeGenerator(), tmp_path)
    references.prompt = prompt
    outcome = look_up(items("abc", "de"), references, on_progress=ignore)
    assert [problem.item_id for problem in outcome.missing] == ["a", "c"]
    assert outcome.refused == ["Question b? is too long"]


def test_no_more_are_in_flight_than_allowed(tmp_path: Path) -> None:
    async def ask() -> None:
        pivot = FakeGenerator(closed={token_ids(f"Question {name}?") for name in "abcde"})
        filling = asyncio.ensure_future(
            ask_for(items("abcde", "de"), a_store(pivot, tmp_path), num_in_flight=2, on_progress=ignore)
        )
        for name in "ab":
            assert (await pivot.asked.get()).prompt_token_ids == token_ids(f"Question {name}?")
        for _ in range(20):
            await asyncio.sleep(0)
        assert pivot.asked.empty()
        pivot.open(token_ids("Question b?"))
        assert (await pivot.asked.get()).prompt_token_ids == token_ids("Question c?")
        for name in "acde":
            pivot.open(token_ids(f"Question {name}?"))
        await filling

    run(ask())


def test_what_is_there_is_saved_now_and_then_while_the_rest_is_under_way(tmp_path: Path) -> None:
    async def ask() -> None:
        last = token_ids("Question d?")
        pivot = FakeGenerator(closed={last})
        ticks = iter(range(1000))
        filling = asyncio.ensure_future(
            ask_for(
                items("abcd", "de"),
                a_store(pivot, tmp_path),
                num_in_flight=1,
                on_progress=ignore,
                clock=lambda: next(ticks) * SAVE_EVERY_S / 2,
            )
        )
        while (await pivot.asked.get()).prompt_token_ids != last:
            pass
        assert len(ReferenceCache(tmp_path)) >= 2
        filling.cancel()  # as a keyboard does it
        with pytest.raises(asyncio.CancelledError):
            await filling
        assert len(ReferenceCache(tmp_path)) == 3

    run(ask())


def test_a_pivot_that_gives_up_ends_it_and_what_came_before_is_kept(tmp_path: Path) -> None:
    async def ask() -> None:
        blocked = token_ids("Question c?")
        pivot = FakeGenerator(closed={blocked})
        filling = asyncio.ensure_future(
            ask_for(items("abcde", "de"), a_store(pivot, tmp_path), num_in_flight=2, on_progress=ignore)
        )
        while (await pivot.asked.get()).prompt_token_ids != token_ids("Question e?"):
            pivot.failure = RunFailed("pivot-0 failed") if len(pivot.requests) >= 4 else None
        with pytest.raises(RunFailed):
            await filling
        assert len(ReferenceCache(tmp_path)) >= 2

    run(ask())


@pytest.mark.parametrize(
    ("num_workers", "max_num_seqs", "num_references", "expected"), [(1, 64, 1, 128), (4, 256, 1, 512), (1, 8, 64, 1)]
)
def test_as_many_are_asked_for_at_once_as_keep_the_workers_full(
    num_workers: int, max_num_seqs: int, num_references: int, expected: int
) -> None:
    pivot = PivotConfig(
        model="m",
        num_workers=num_workers,
        max_num_seqs=max_num_seqs,
        num_references=num_references,
        temperature=0.7,
    )
    assert num_in_flight(pivot) == expected
