"""Test references: one request an item, a vote over several responses, and a complete cache key."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from contracts.errors import RunFailed
from contracts.rollouts import Problem, Reference, Rollout, SamplingRequest
from driver.references.cache import ReferenceCache
from driver.references.store import KnownReferences, PivotSampling, ReferenceCounts, ReferenceStore
from driver.tracking.step_metrics import StepOutcome, step_metrics
from tests.builders import a_problem
from tests.fakes.ports import FakeGenerator, run, token_ids

SAMPLING = PivotSampling(fingerprint="pivot", max_tokens=8, temperature=0.0, seed=1)
SEVERAL = replace(SAMPLING, temperature=0.7, num_references=5, min_agreement=0.6)
PROMPT = token_ids("Question a?")


@dataclass
class TextPivot:
    """Give every prompt the same texts, one for each seed, of two tokens each; None is a text that was cut off."""

    texts: Sequence[str | None]
    requests: list[SamplingRequest] = field(default_factory=list)

    async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
        self.requests.append(request)
        assert len(request.seeds) == len(self.texts)
        return tuple(
            Rollout(
                token_ids=(1, 2),
                logprobs=(-1.0, -1.0),
                text=text or "cut",
                finish_reason="stop" if text else "length",
                token_versions=(0, 0),
            )
            for text in self.texts
        )


def says(*answers: int | None) -> TextPivot:
    texts = [f"Reasoning {place}. The answer is {answer}." for place, answer in enumerate(answers)]
    return TextPivot([None if answer is None else text for answer, text in zip(answers, texts, strict=True)])


def a_store(
    pivot: FakeGenerator | TextPivot, folder: Path | None = None, *, sampling: PivotSampling = SAMPLING
) -> ReferenceStore:
    return ReferenceStore(pivot=pivot, prompt=token_ids, sampling=sampling, cache=ReferenceCache(folder))


def test_the_languages_of_an_item_share_one_request_also_while_it_is_under_way() -> None:
    async def ask() -> None:
        pivot = FakeGenerator(closed={PROMPT})
        references = a_store(pivot)
        waiting = [asyncio.ensure_future(references.get(a_problem("a", language))) for language in ("de", "th", "sw")]
        await pivot.asked.get()
        pivot.open(PROMPT)
        first, *others = [await one for one in waiting]
        assert all(other is first for other in others)
        assert len(pivot.requests) == 1
        assert pivot.requests[0].prompt_token_ids == PROMPT
        counts = references.take_counts()
        assert (counts.asked, counts.requests, counts.shared, counts.cached) == (3, 1, 2, 0)
        assert (counts.answered, counts.tokens) == (1, 1)  # the fake's response is one token long

    run(ask())


def test_counts_start_again_once_they_were_taken() -> None:
    async def ask() -> None:
        references = a_store(FakeGenerator())
        await references.get(a_problem("a"))
        references.take_counts()
        await references.get(a_problem("a"))
        counts = references.take_counts()
        assert (counts.asked, counts.requests, counts.cached, counts.tokens) == (1, 0, 1, 0)

    run(ask())


def test_two_items_are_asked_for_side_by_side() -> None:
    async def ask() -> None:
        other = token_ids("Question b?")
        pivot = FakeGenerator(closed={PROMPT, other})
        references = a_store(pivot)
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
        references = a_store(pivot)
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
        references = a_store(pivot)
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
        references = a_store(pivot, tmp_path)
        found = await references.get(a_problem("a"))
        references.cache.save()
        return found

    made = run(ask(FakeGenerator()))
    unused = FakeGenerator()
    assert run(ask(unused)) == made
    assert unused.requests == []


def test_what_is_known_can_be_looked_for_without_a_pivot(tmp_path: Path) -> None:
    async def ask() -> Reference:
        references = a_store(FakeGenerator(), tmp_path)
        found = await references.get(a_problem("a"))
        references.cache.save()
        return found

    made = run(ask())
    known = KnownReferences(prompt=token_ids, sampling=SAMPLING, cache=ReferenceCache(tmp_path))
    assert (known.find(a_problem("a", "th")), known.find(a_problem("b"))) == (made, None)
    assert (known.counts.asked, known.counts.cached) == (1, 1)


# --- several responses, and a vote ------------------------------------------------------------------------------------


def asked(
    pivot: TextPivot, *, sampling: PivotSampling, problem: Problem | None = None
) -> tuple[Reference, ReferenceStore]:
    references = a_store(pivot, sampling=sampling)
    return run(references.get(problem or a_problem("a"))), references


def test_several_responses_are_one_request_and_the_majority_decides() -> None:
    pivot = says(12, 17, 17, 9, 17)
    reference, references = asked(pivot, sampling=SEVERAL)
    (request,) = pivot.requests
    assert len(set(request.seeds)) == 5
    assert reference.text == "Reasoning 1. The answer is 17."
    assert (reference.verdict, reference.num_votes, reference.num_drawn) == ("accepted", 3, 5)  # 3 of 5 is 0.6
    counts = references.take_counts()
    assert (counts.requests, counts.tokens, counts.undecided) == (1, 10, 0)
    assert (counts.num_voted, counts.agreement) == (1, 0.6)


def test_a_majority_below_the_share_is_undecided_and_another_share_needs_no_new_request(tmp_path: Path) -> None:
    async def ask(pivot: TextPivot, min_agreement: float) -> tuple[Reference, int]:
        references = a_store(pivot, tmp_path, sampling=replace(SEVERAL, min_agreement=min_agreement))
        reference = await references.get(a_problem("a"))
        references.cache.save()
        return reference, references.take_counts().undecided

    first, undecided = run(ask(says(12, 17, 17, 9, 5), 0.6))
    assert (first.verdict, first.num_votes, undecided) == ("undecided", 2, 1)
    unused = says()
    second, undecided = run(ask(unused, 0.4))
    assert (second.verdict, second.text, undecided) == ("accepted", "Reasoning 1. The answer is 17.", 0)
    assert run(ask(unused, 0.6)) == (first, 1)
    assert unused.requests == []


def test_responses_that_were_cut_off_count_in_the_share_without_a_vote() -> None:
    reference, _ = asked(says(17, 17, None, None, None), sampling=SEVERAL)
    assert (reference.verdict, reference.num_votes, reference.num_drawn) == ("undecided", 2, 5)


@pytest.mark.parametrize("sampling", [SAMPLING, SEVERAL])
def test_a_reference_that_was_cut_off_is_rejected_counted_and_not_asked_for_again(sampling: PivotSampling) -> None:
    async def ask() -> None:
        pivot = says(*(None,) * sampling.num_references)
        references = a_store(pivot, sampling=sampling)
        found = [await references.get(a_problem("a", language)) for language in ("de", "th")]
        assert [reference.verdict for reference in found] == ["truncated"] * 2
        assert len(pivot.requests) == 1
        counts = references.take_counts()
        assert (counts.truncated, counts.undecided) == (2, 0)  # of two problems

    run(ask())


def test_accuracy_counts_accepted_references_of_problems_with_a_known_answer() -> None:
    def counted(pivot: TextPivot, gold: str | None) -> tuple[int, int]:
        problem = replace(a_problem("a"), answer=gold)
        counts = asked(pivot, sampling=replace(SEVERAL, num_references=3), problem=problem)[1].take_counts()
        return counts.correct, counts.with_gold

    assert counted(says(17, 17, 2), "17") == (1, 1)
    assert counted(says(17, 17, 2), "2") == (0, 1)
    assert counted(says(17, 17, 2), None) == (0, 0)
    assert counted(says(17, 3, 2), "17") == (0, 0)  # undecided


def test_the_time_of_a_request_is_from_asking_to_its_answer() -> None:
    times = iter([10.0, 12.5, 20.0, 21.0])
    references = a_store(says(17))
    references.clock = lambda: next(times)

    async def ask() -> None:
        for item in "aab":
            await references.get(a_problem(item))

    run(ask())
    counts = references.take_counts()
    assert (counts.seconds, counts.answered) == (3.5, 2)


def test_a_steps_metrics_say_how_its_references_were_come_by() -> None:
    counts = ReferenceCounts(asked=8, cached=4, shared=2, requests=2, answered=2, seconds=3.0, tokens=90)
    counts = replace(counts, truncated=1, undecided=2, num_voted=4, agreement=2.5, with_gold=5, correct=4)

    def pivot_metrics(pivot: ReferenceCounts) -> dict[str, float]:
        outcome = StepOutcome(groups=(), dropped=(), stage_seconds={}, pivot=pivot, learning=None, push=None)
        return {name: value for name, value in step_metrics(outcome).items() if name.startswith("pivot/")}

    assert pivot_metrics(counts) == {
        "pivot/requests": 2,
        "pivot/truncated": 1,
        "pivot/undecided": 2,
        "pivot/cache_hit_rate": 0.5,
        "pivot/latency_s": 1.5,
        "pivot/accuracy": 0.8,
        "pivot/agreement": 0.625,
    }
    nothing = {"pivot/requests": 0, "pivot/truncated": 0, "pivot/undecided": 0}
    assert pivot_metrics(ReferenceCounts()) == nothing  # what has nothing to measure is left out


# --- the key ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [
        replace(SAMPLING, fingerprint="another pivot"),
        replace(SAMPLING, max_tokens=9),
        replace(SAMPLING, temperature=0.5),
        replace(SAMPLING, num_references=3),
        replace(SAMPLING, stop_tokens=("<end>",)),
        replace(SAMPLING, thinking_markers=(("<think>", "</think>"),)),
    ],
)
def test_the_key_changes_with_whatever_decides_the_response(changed: PivotSampling) -> None:
    assert changed.key(PROMPT) != SAMPLING.key(PROMPT)
    assert SAMPLING.key(token_ids("Question b?")) != SAMPLING.key(PROMPT)
    assert SAMPLING.key(PROMPT) == replace(SAMPLING).key(PROMPT)
    assert SAMPLING.key(PROMPT) == replace(SAMPLING, min_agreement=0.9).key(PROMPT)  # judged when it is read


def test_the_seed_is_part_of_the_key_only_where_something_is_drawn() -> None:
    assert replace(SAMPLING, seed=2).key(PROMPT) == SAMPLING.key(PROMPT)
    warm = replace(SAMPLING, temperature=0.7)
    assert replace(warm, seed=2).key(PROMPT) != warm.key(PROMPT)
