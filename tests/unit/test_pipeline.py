"""The stages of a step on fakes: what overlaps, what order comes out, what is dropped and what is learned from."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from driver.errors import BadInput, RunFailed
from driver.pipeline import Sampling, StageClock, Stages, score_problems
from driver.references import PivotSampling, ReferenceBook, ReferenceCache
from driver.schema import DroppedGroup, Group, Problem, ScoredGroup, Unscored
from tests.fakes import FakeGenerator, FakeScorer, a_problem, policy_prompt, run, token_ids

GROUP_SIZE = 3
A, B = a_problem("a"), a_problem("b")


def stages(
    *, policy: FakeGenerator | None = None, pivot: FakeGenerator | None = None, scorer: FakeScorer | None = None
) -> Stages:
    return Stages(
        policy=policy or FakeGenerator(),
        references=ReferenceBook(
            pivot=pivot or FakeGenerator(),
            prompt=token_ids,
            sampling=PivotSampling(fingerprint="pivot", max_tokens=8, temperature=0.0, seed=1),
            cache=ReferenceCache(None),
        ),
        scorer=scorer or FakeScorer(),
        prompt=policy_prompt,
        sampling=Sampling(group_size=GROUP_SIZE, max_tokens=8, temperature=1.0, run_seed=1),
    )


async def scored(
    problems: list[Problem],
    *,
    step: int = 1,
    policy: FakeGenerator | None = None,
    pivot: FakeGenerator | None = None,
    scorer: FakeScorer | None = None,
) -> list[ScoredGroup | DroppedGroup]:
    return await score_problems(
        problems, step=step, stages=stages(policy=policy, pivot=pivot, scorer=scorer), clock=StageClock()
    )


def group_of(outcome: ScoredGroup | DroppedGroup) -> Group:
    assert isinstance(outcome, ScoredGroup), outcome
    return outcome.group


def test_a_finished_group_is_scored_while_another_is_still_being_written() -> None:
    async def watch() -> None:
        policy, scorer = FakeGenerator(closed={policy_prompt(B)}), FakeScorer()
        step = asyncio.ensure_future(scored([A, B], policy=policy, scorer=scorer))
        assert await scorer.scored.get() == A.question
        assert [request.prompt_token_ids for request in policy.requests] == [policy_prompt(A), policy_prompt(B)]
        assert not step.done()
        policy.open(policy_prompt(B))
        assert await scorer.scored.get() == B.question
        assert len(await step) == 2

    run(watch())


def test_pivot_and_policy_write_at_the_same_time() -> None:
    async def watch() -> None:
        policy = FakeGenerator(closed={policy_prompt(A)})
        pivot = FakeGenerator(closed={token_ids(A.question_en)})
        step = asyncio.ensure_future(scored([A], policy=policy, pivot=pivot))
        await policy.asked.get()  # each was asked while the other had not answered: neither waits for the other
        await pivot.asked.get()
        assert not step.done()
        policy.open(policy_prompt(A))
        pivot.open(token_ids(A.question_en))
        await step

    run(watch())


def test_a_group_waits_for_its_own_reference_only() -> None:
    async def watch() -> None:
        pivot, scorer = FakeGenerator(closed={token_ids(A.question_en)}), FakeScorer()
        step = asyncio.ensure_future(scored([A, B], pivot=pivot, scorer=scorer))
        assert await scorer.scored.get() == B.question
        pivot.open(token_ids(A.question_en))
        assert await scorer.scored.get() == A.question
        await step

    run(watch())


@pytest.mark.parametrize("last", [A, B])
def test_the_order_of_samples_is_that_of_the_problems_whichever_finishes_first(last: Problem) -> None:
    async def finish_last() -> list[ScoredGroup | DroppedGroup]:
        policy, scorer = FakeGenerator(closed={policy_prompt(last)}), FakeScorer()
        step = asyncio.ensure_future(scored([A, B], policy=policy, scorer=scorer))
        assert await scorer.scored.get() == (A if last is B else B).question
        policy.open(policy_prompt(last))
        return await step

    groups = run(finish_last())
    assert [group_of(group).group_id for group in groups] == ["1/0/a/de", "1/1/b/de"]
    assert groups == run(scored([A, B]))


def test_a_problem_that_is_drawn_twice_in_a_step_is_two_groups_with_draws_of_their_own() -> None:
    first, second = run(scored([A, A]))
    assert group_of(first).group_id != group_of(second).group_id
    drawn_first = {rollout.token_ids for rollout in group_of(first).rollouts}
    assert drawn_first.isdisjoint(rollout.token_ids for rollout in group_of(second).rollouts)


def test_every_sample_has_a_seed_of_its_own_that_only_the_run_and_its_place_decide() -> None:
    def seeds(step: int) -> list[int]:
        policy = FakeGenerator()
        run(scored([A, B, a_problem("a", "fr")], step=step, policy=policy))
        return [seed for request in policy.requests for seed in request.seeds]

    drawn = seeds(1) + seeds(2)
    assert len(set(drawn)) == 2 * 3 * GROUP_SIZE
    assert seeds(1) + seeds(2) == drawn


def test_the_scorer_is_told_text_alone_and_never_the_gold_answer() -> None:
    problem = Problem(item_id="a", language="de", question="Wie viele?", question_en="How many?", answer="4711")
    scorer = FakeScorer()
    run(scored([problem], scorer=scorer))
    (request,) = scorer.requests
    assert (request.language, request.question, request.question_en) == ("de", "Wie viele?", "How many?")
    assert len(request.responses) == len(request.truncated) == GROUP_SIZE
    assert "4711" not in repr(request)


def test_a_response_that_was_cut_off_is_reported_to_the_scorer() -> None:
    scorer = FakeScorer()
    run(scored([A, B], policy=FakeGenerator(finish_reasons={policy_prompt(A): "length"}), scorer=scorer))
    assert {request.question: request.truncated for request in scorer.requests} == {
        A.question: (True,) * GROUP_SIZE,
        B.question: (False,) * GROUP_SIZE,
    }


def test_a_truncated_reference_leaves_the_group_unscored_and_the_scorer_unasked() -> None:
    pivot, scorer = FakeGenerator(finish_reasons={token_ids(A.question_en): "length"}), FakeScorer()
    cut, kept = run(scored([A, B], pivot=pivot, scorer=scorer))
    assert isinstance(cut, ScoredGroup) and isinstance(kept, ScoredGroup)
    assert cut.scores == (Unscored(reason="reference_truncated"),) * GROUP_SIZE
    assert not any(isinstance(score, Unscored) for score in kept.scores)
    assert [request.question for request in scorer.requests] == [B.question]


def test_a_prompt_that_is_too_long_drops_its_group_and_not_the_run() -> None:
    def prompt(problem: Problem) -> tuple[int, ...]:
        if problem == A:
            raise BadInput("item 'a': the prompt has 99 tokens")
        return policy_prompt(problem)

    bad, kept = run(score_problems([A, B], step=1, stages=replace(stages(), prompt=prompt), clock=StageClock()))
    assert isinstance(bad, DroppedGroup)
    assert (bad.group_id, bad.reason, bad.detail) == ("1/0/a/de", "bad_prompt", "item 'a': the prompt has 99 tokens")
    assert group_of(kept).problem == B


def test_a_failure_ends_the_step_and_keeps_the_references_that_were_paid_for(tmp_path: Path) -> None:
    pivot = FakeGenerator()
    broken = stages(policy=FakeGenerator(failure=RunFailed("policy-0 failed")), pivot=pivot)
    broken.references.cache = ReferenceCache(tmp_path)
    with pytest.raises(RunFailed, match="policy-0 failed"):
        run(score_problems([A, B], step=1, stages=broken, clock=StageClock()))
    assert len(pivot.requests) == 2
    assert len(ReferenceCache(tmp_path)) == 2


def test_the_clock_spans_a_stage_from_its_first_start_to_its_last_end() -> None:
    clock = StageClock(started={"generate": 10.0, "score": 12.0}, ended={"generate": 15.0, "score": 12.5})
    assert clock.seconds() == {"generate": 5.0, "score": 0.5}
