"""Test the stages on fakes: what overlaps, what each gets, what is dropped."""

import asyncio
from dataclasses import replace

from contracts.errors import BadInput, RunFailed
from contracts.rollouts import DroppedGroup, Group, Problem, PromptDraw, ScoredGroup, Unscored
from driver.references.store import PivotSampling, ReferenceCache, ReferenceStore
from driver.rollouts.pipeline import Sampling, Stages, score_draw
from driver.rollouts.stage_clock import StageClock
from tests.builders import a_problem
from tests.fakes.ports import FakeGenerator, FakeScorer, policy_prompt, run, token_ids
from tests.refusals import raised

GROUP_SIZE = 3
A, B = a_problem("a"), a_problem("b")


def stages(
    *, policy: FakeGenerator | None = None, pivot: FakeGenerator | None = None, scorer: FakeScorer | None = None
) -> Stages:
    return Stages(
        policy=policy or FakeGenerator(),
        references=ReferenceStore(
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
    attempt: int = 0,
    first: int = 0,
    on: Stages,
) -> list[ScoredGroup | DroppedGroup]:
    """Return the scored groups of draws numbered from `first`; all run at the same time."""
    draws = [
        PromptDraw(number=number, epoch_index=number, problem=problem) for number, problem in enumerate(problems, first)
    ]
    clock = StageClock()
    return await asyncio.gather(
        *(score_draw(draw, step=step, attempt=attempt, stages=on, clock=clock) for draw in draws)
    )


def group_of(outcome: ScoredGroup | DroppedGroup) -> Group:
    assert isinstance(outcome, ScoredGroup), outcome
    return outcome.group


def test_a_finished_group_is_scored_while_another_is_still_being_written() -> None:
    async def watch() -> None:
        policy, scorer = FakeGenerator(closed={policy_prompt(B)}), FakeScorer()
        step = asyncio.ensure_future(scored([A, B], on=stages(policy=policy, scorer=scorer)))
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
        step = asyncio.ensure_future(scored([A], on=stages(policy=policy, pivot=pivot)))
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
        step = asyncio.ensure_future(scored([A, B], on=stages(pivot=pivot, scorer=scorer)))
        assert await scorer.scored.get() == B.question
        pivot.open(token_ids(A.question_en))
        assert await scorer.scored.get() == A.question
        await step

    run(watch())


def test_a_group_has_the_name_of_its_draw_and_its_own_problem() -> None:
    groups = run(scored([A, B], first=7, on=stages()))
    assert [(group_of(group).group_id, group_of(group).problem) for group in groups] == [("7/a/de", A), ("8/b/de", B)]


def test_a_problem_that_is_drawn_twice_is_two_groups_with_samples_of_their_own() -> None:
    first, second = run(scored([A, A], on=stages()))
    assert group_of(first).group_id != group_of(second).group_id
    drawn_first = {rollout.token_ids for rollout in group_of(first).rollouts}
    assert drawn_first.isdisjoint(rollout.token_ids for rollout in group_of(second).rollouts)


def test_every_sample_has_a_seed_of_its_own_that_only_the_run_and_its_draw_decide() -> None:
    def seeds(*, step: int, first: int, attempt: int = 0) -> list[int]:
        policy = FakeGenerator()
        problems = [A, B, a_problem("a", "fr")]
        run(scored(problems, step=step, first=first, attempt=attempt, on=stages(policy=policy)))
        return [seed for request in policy.requests for seed in request.seeds]

    drawn = seeds(step=1, first=0) + seeds(step=2, first=3)
    assert len(set(drawn)) == 2 * 3 * GROUP_SIZE
    assert seeds(step=9, first=0, attempt=4) == drawn[: 3 * GROUP_SIZE]


def test_a_second_attempt_is_another_request_to_the_engine_under_the_same_group() -> None:
    """An engine may still run the first attempt, and refuses the name of a running request."""
    policy = FakeGenerator()
    names = [
        (group_of(run(scored([A], attempt=attempt, on=stages(policy=policy)))[0]).group_id) for attempt in (0, 1, 2)
    ]
    assert names == ["0/a/de"] * 3
    assert [request.request_id for request in policy.requests] == ["0/a/de", "0/a/de~1", "0/a/de~2"]


def test_the_rewards_schedules_are_told_the_step() -> None:
    scorer = FakeScorer()
    run(scored([A], step=5, on=stages(scorer=scorer)))
    assert [request.step for request in scorer.requests] == [5]


def test_the_scorer_is_told_text_alone_and_never_the_gold_answer() -> None:
    problem = Problem(item_id="a", language="de", question="Wie viele?", question_en="How many?", answer="4711")
    scorer = FakeScorer()
    run(scored([problem], on=stages(scorer=scorer)))
    (request,) = scorer.requests
    assert (request.language, request.question, request.question_en) == ("de", "Wie viele?", "How many?")
    assert len(request.responses) == len(request.truncated) == GROUP_SIZE
    assert "4711" not in repr(request)


def test_a_response_that_was_cut_off_is_reported_to_the_scorer() -> None:
    scorer = FakeScorer()
    cut = FakeGenerator(finish_reasons={policy_prompt(A): "length"})
    run(scored([A, B], on=stages(policy=cut, scorer=scorer)))
    assert {request.question: request.truncated for request in scorer.requests} == {
        A.question: (True,) * GROUP_SIZE,
        B.question: (False,) * GROUP_SIZE,
    }


def test_a_truncated_reference_leaves_the_group_unscored_and_the_scorer_unasked() -> None:
    pivot, scorer = FakeGenerator(finish_reasons={token_ids(A.question_en): "length"}), FakeScorer()
    cut, kept = run(scored([A, B], on=stages(pivot=pivot, scorer=scorer)))
    assert isinstance(cut, ScoredGroup) and isinstance(kept, ScoredGroup)
    assert cut.scores == (Unscored(reason="reference_truncated"),) * GROUP_SIZE
    assert not any(isinstance(score, Unscored) for score in kept.scores)
    assert [request.question for request in scorer.requests] == [B.question]


def test_a_prompt_that_is_too_long_drops_its_group_and_not_the_run() -> None:
    def prompt(problem: Problem) -> tuple[int, ...]:
        if problem == A:
            raise BadInput("item 'a': the prompt has 99 tokens")
        return policy_prompt(problem)

    bad, kept = run(scored([A, B], on=replace(stages(), prompt=prompt)))
    assert isinstance(bad, DroppedGroup)
    assert (bad.group_id, bad.reason, bad.detail) == ("0/a/de", "bad_prompt", "item 'a': the prompt has 99 tokens")
    assert group_of(kept).problem == B


def test_a_question_that_is_too_long_for_the_pivot_drops_its_group_too() -> None:
    def prompt(question: str) -> tuple[int, ...]:
        raise BadInput(f"{question}: the prompt has 99 tokens")

    broken = stages()
    broken.references.prompt = prompt
    (bad,) = run(scored([A], on=broken))
    assert isinstance(bad, DroppedGroup)
    assert (bad.reason, bad.detail) == ("bad_prompt", "Question a?: the prompt has 99 tokens")


def test_a_failure_of_an_engine_reaches_the_caller() -> None:
    broken = stages(policy=FakeGenerator(failure=RunFailed("failed", key="policy-0")))
    with raised(RunFailed, key="policy-0"):
        run(scored([A], on=broken))


def test_the_clock_is_told_of_every_stage_that_a_group_goes_through() -> None:
    clock = StageClock()
    draw = PromptDraw(number=0, epoch_index=0, problem=A)
    run(score_draw(draw, step=1, attempt=0, stages=stages(), clock=clock))
    assert set(clock.take()) == {"generate", "pivot", "score"}
