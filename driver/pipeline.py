"""The stages between a problem and the learner, as short functions over the ports.

    problem -> (group, reference) -> scored group

Owns what overlaps inside a step: every group is generated, referenced and scored on its own, so a finished group is
scored while others are still being written. Knows no Ray and no engine; a unit test runs it on fakes.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from driver.errors import BadInput
from driver.evidence import Evidence, EvidenceSource
from driver.ports import Generator, Scorer
from driver.references import ReferenceBook
from driver.schema import (
    DroppedGroup,
    Group,
    Problem,
    Reference,
    SamplingRequest,
    Score,
    ScoredGroup,
    ScoreRequest,
    Unscored,
)
from driver.seeds import sampling_seeds

T = TypeVar("T")


@dataclass
class StageClock:
    """Wall-clock window of each stage in one step: from its first start to its last end, in seconds."""

    started: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)

    async def during(self, stage: str, work: Awaitable[T]) -> T:
        self.started.setdefault(stage, time.monotonic())
        try:
            return await work
        finally:
            self.ended[stage] = time.monotonic()

    def seconds(self) -> dict[str, float]:
        return {stage: end - self.started[stage] for stage, end in self.ended.items()}


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the policy is sampled while training; top_p = 1 and top_k = -1 are fixed in the engine."""

    group_size: int
    max_tokens: int
    temperature: float
    run_seed: int


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Everything that turns problems into scored groups."""

    policy: Generator
    references: ReferenceBook
    scorer: Scorer
    prompt: Callable[[Problem], tuple[int, ...]]  # prompt token ids, chat template applied
    sampling: Sampling
    evidence: EvidenceSource | None = None  # what the reward wants to know from the engines, where it does


async def score_problems(
    problems: Sequence[Problem], *, step: int, stages: Stages, clock: StageClock
) -> list[ScoredGroup | DroppedGroup]:
    """One step's groups, generated, referenced and scored as they finish; returned in the order of the problems.

    The order matters: what the learner sees must not depend on which group happened to finish first.
    """
    tasks = [
        asyncio.ensure_future(score_problem(problem, step=step, place=index, stages=stages, clock=clock))
        for index, problem in enumerate(problems)
    ]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        stages.references.cache.save()


async def score_problem(
    problem: Problem, *, step: int, place: int, stages: Stages, clock: StageClock
) -> ScoredGroup | DroppedGroup:
    """One problem's way from prompt to scores. The pivot and the policy answer at the same time."""
    group_id = name_group(problem, step=step, place=place)
    try:
        group, reference = await asyncio.gather(
            clock.during("generate", sample_group(group_id, problem, stages)),
            clock.during("pivot", stages.references.get(problem)),
        )
    except BadInput as error:
        # A long set's prompts are not all checked before the start: one that is too long must not end the run.
        return DroppedGroup(group_id=group_id, problem=problem, reason="bad_prompt", detail=str(error))
    if reference.finish_reason == "length":
        scores: tuple[Score | Unscored, ...] = (Unscored(reason="reference_truncated"),) * len(group.rollouts)
    else:
        evidence = await gather_evidence(group, reference, stages=stages, clock=clock)
        request = score_request(group, reference, step=step, evidence=evidence)
        scores = await clock.during("score", stages.scorer.score(request))
    return ScoredGroup(group=group, reference=reference, scores=scores)


def name_group(problem: Problem, *, step: int, place: int) -> str:
    """A group's id. Its place is part of it: where the set is smaller than a step, one step draws a problem twice."""
    return f"{step}/{place}/{problem.group_key}"


async def sample_group(group_id: str, problem: Problem, stages: Stages) -> Group:
    sampling = stages.sampling
    prompt_token_ids = stages.prompt(problem)
    rollouts = await stages.policy.sample(
        SamplingRequest(
            request_id=group_id,
            prompt_token_ids=prompt_token_ids,
            seeds=sampling_seeds(sampling.run_seed, group_id, num=sampling.group_size),
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
        )
    )
    return Group(group_id=group_id, problem=problem, prompt_token_ids=prompt_token_ids, rollouts=rollouts)


async def gather_evidence(group: Group, reference: Reference, *, stages: Stages, clock: StageClock) -> Evidence:
    """Translations or likelihoods from the engines, for the rewards that read them."""
    if stages.evidence is None:
        return Evidence()
    return await clock.during("evidence", stages.evidence.gather(group, reference))


def score_request(group: Group, reference: Reference, *, step: int, evidence: Evidence) -> ScoreRequest:
    """What the scorer may see of a group: text only, no gold answer."""
    return ScoreRequest(
        language=group.problem.language,
        question=group.problem.question,
        question_en=group.problem.question_en,
        reference=reference.text,
        responses=tuple(rollout.text for rollout in group.rollouts),
        truncated=tuple(rollout.is_truncated for rollout in group.rollouts),
        step=step,
        translations=evidence.translations,
        answer_probabilities=evidence.answer_probabilities,
    )
