"""Ask the policy for every item of a plan: responses, or the log-likelihood of each option.

Items that a journal has are not asked again. What is drawn does not depend on the order in which engines finish, nor on
where an earlier start was killed.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from contracts.ports import AnswerLikelihood, Generator
from contracts.rollouts import AnswerProbabilityRequest, Rollout, SamplingRequest
from contracts.seeds import sampling_seeds
from driver.evaluation.answered import Answered, ChoiceScore, Journal, Response
from driver.evaluation.asking.prompts import ChoicePrompts, Tokens
from driver.evaluation.plan import EvaluationPlan, PlannedTask
from driver.evaluation.sets.item import Item

MIN_IN_FLIGHT = 64
"""Least number of items that are asked at once."""


class Policy(Generator, AnswerLikelihood, Protocol):
    """What is evaluated: engines that sample and that score given texts."""


@dataclass(frozen=True, kw_only=True)
class ThinkingBudget:
    """Limit the thinking of a model: where it is not over after `max_tokens`, it is closed by `closing`."""

    max_tokens: int
    closing: Callable[[Tokens], Tokens]  # tokens of what opens thinking and all behind it -> those that close it


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Say how responses are drawn."""

    max_tokens: int  # of a response; of the answer alone where there is a budget for thinking
    samples: int = 1
    temperature: float = 0.0
    seed: int = 1  # of the run
    budget: ThinkingBudget | None = None
    max_in_flight: int = MIN_IN_FLIGHT  # items


async def draw(
    policy: Policy,
    plan: EvaluationPlan,
    journal: Journal,
    sampling: Sampling,
    *,
    on_progress: Callable[[int], None] = lambda num_done: None,
) -> None:
    """Ask for every item that the journal lacks, `max_in_flight` at once, and keep the answers in it.

    Raises:
        RunFailed: the policy's workers failed.
    """
    missing = _missing(plan, journal)
    on_progress(len(journal.answered))

    async def ask_until_none_is_left() -> None:
        for task, item in missing:
            journal.add(await _ask(policy, task, item, sampling))
            on_progress(len(journal.answered))

    workers = [asyncio.create_task(ask_until_none_is_left()) for _ in range(sampling.max_in_flight)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()


def _missing(plan: EvaluationPlan, journal: Journal) -> Iterator[tuple[PlannedTask, Item]]:
    for task in plan.tasks:
        for item in task.items:
            if item.key not in journal.answered:
                yield task, item


async def _ask(policy: Policy, task: PlannedTask, item: Item, sampling: Sampling) -> Answered:
    if isinstance(task.prompts, ChoicePrompts):
        return Answered(key=item.key, choices=await _score_choices(policy, task.prompts, item))
    prompt = task.prompts.prompt(item)
    if sampling.budget is None:
        rollouts = await policy.sample(_request(item, prompt, sampling, max_tokens=sampling.max_tokens))
        return Answered(key=item.key, responses=tuple(map(Response.of, rollouts)))
    return Answered(key=item.key, responses=await _sample_in_budget(policy, item, prompt, sampling, sampling.budget))


def _request(item: Item, prompt: Tokens, sampling: Sampling, *, max_tokens: int) -> SamplingRequest:
    return SamplingRequest(
        request_id=f"evaluation/{item.key}",
        prompt_token_ids=prompt,
        seeds=sampling_seeds(sampling.seed, "evaluation", item.key, num=sampling.samples),
        max_tokens=max_tokens,
        temperature=sampling.temperature,
    )


async def _score_choices(policy: Policy, prompts: ChoicePrompts, item: Item) -> tuple[ChoiceScore, ...]:
    """Return the log-likelihood of every option; options that continue the same context are asked for together."""
    pairs = [prompts.pair(item, choice) for choice in item.choices]
    values = await asyncio.gather(
        *(
            policy.answer_probabilities(
                AnswerProbabilityRequest(
                    request_id=f"evaluation/{item.key}/{number}",
                    prompts=(context,),
                    answer_token_ids=continuation,
                    measure="log_likelihood",
                )
            )
            for number, (context, continuation) in enumerate(pairs)
        )
    )
    return tuple(
        ChoiceScore(logprob=value, num_tokens=len(continuation))
        for (value,), (_, continuation) in zip(values, pairs, strict=True)
    )


async def _sample_in_budget(
    policy: Policy, item: Item, prompt: Tokens, sampling: Sampling, budget: ThinkingBudget
) -> tuple[Response, ...]:
    """Return responses whose thinking is closed where it has used up its budget."""
    request = _request(item, prompt, sampling, max_tokens=budget.max_tokens)
    rollouts = await policy.sample(request)
    finished = await asyncio.gather(
        *(
            _finish(policy, request, rollout, index, sampling=sampling, budget=budget)
            for index, rollout in enumerate(rollouts)
        )
    )
    return tuple(finished)


async def _finish(
    policy: Policy,
    request: SamplingRequest,
    rollout: Rollout,
    index: int,
    *,
    sampling: Sampling,
    budget: ThinkingBudget,
) -> Response:
    """Return the whole response of one sample: after thinking that is over or closed, the answer."""
    first = Response.of(rollout)
    if not rollout.is_truncated:
        return first
    is_thinking = rollout.num_thinking_tokens == len(rollout.token_ids)
    drawn = request.prompt_token_ids + rollout.token_ids
    closing = budget.closing(drawn) if is_thinking else ()
    (answer,) = await policy.sample(
        replace(
            request,
            request_id=f"{request.request_id}/{index}",
            prompt_token_ids=drawn + closing,
            seeds=(request.seeds[index],),
            max_tokens=sampling.max_tokens,
        )
    )
    return Response(
        text=first.text + answer.text,
        thinking=first.thinking,
        num_tokens=first.num_tokens + len(closing) + len(answer.token_ids),
        num_thinking_tokens=first.num_thinking_tokens + len(closing),
        is_truncated=answer.is_truncated,
    )
