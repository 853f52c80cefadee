"""The stages between a draw and the learner, as short functions over the ports.

    draw -> (group, reference) -> scored group

Owns one group's way, whatever happens to the others: how many are on it, and who is learned from when, is the matter of
driver/rollouts/buffer.py. Knows no Ray and no engine; a unit test runs it on fakes.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from contracts.errors import BadInput
from contracts.ports import Generator, Scorer
from contracts.rollouts import (
    DroppedGroup,
    Group,
    Problem,
    PromptDraw,
    Reference,
    SamplingRequest,
    Score,
    ScoredGroup,
    ScoreRequest,
    Unscored,
)
from contracts.seeds import sampling_seeds
from driver.references.store import ReferenceStore
from driver.rollouts.engine_features import EngineFeatures, EngineFeatureSource
from driver.rollouts.stage_clock import StageClock


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
    references: ReferenceStore
    scorer: Scorer
    prompt: Callable[[Problem], tuple[int, ...]]  # prompt token ids, chat template applied
    sampling: Sampling
    evidence: EngineFeatureSource | None = None  # what the reward wants to know from the engines, where it does


async def score_draw(
    draw: PromptDraw, *, step: int, attempt: int, stages: Stages, clock: StageClock
) -> ScoredGroup | DroppedGroup:
    """One draw's way from prompt to scores. The pivot and the policy answer at the same time.

    `step` is the one that the reward's schedules go by; `attempt` counts how often the draw was asked before.
    """
    group_id, problem = draw.group_id, draw.problem
    try:
        group, reference = await asyncio.gather(
            sample_group(draw, attempt=attempt, stages=stages, clock=clock), get_reference(draw, stages, clock)
        )
    except BadInput as error:
        # A long set's prompts are not all checked before the start: one that is too long must not end the run.
        return DroppedGroup(group_id=group_id, problem=problem, reason="bad_prompt", detail=str(error))
    if reference.verdict != "accepted":
        why = Unscored(reason=f"reference_{reference.verdict}")
        scores: tuple[Score | Unscored, ...] = (why,) * len(group.rollouts)
    else:
        evidence = await gather_evidence(group, reference, stages=stages, clock=clock)
        request = score_request(group, reference, step=step, evidence=evidence)
        scores = await clock.during("score", stages.scorer.score(request))
    return ScoredGroup(group=group, reference=reference, scores=scores)


async def get_reference(draw: PromptDraw, stages: Stages, clock: StageClock) -> Reference:
    with clock.busy("pivot"):
        return await stages.references.get(draw.problem)


async def sample_group(draw: PromptDraw, *, attempt: int, stages: Stages, clock: StageClock) -> Group:
    """The same responses at every attempt, as far as the weights are the same: seeds follow from the draw."""
    sampling = stages.sampling
    prompt_token_ids = stages.prompt(draw.problem)
    request = SamplingRequest(
        # An engine may still be busy with the attempt before, which nobody waits for any more.
        request_id=f"{draw.group_id}~{attempt}" if attempt else draw.group_id,
        prompt_token_ids=prompt_token_ids,
        seeds=sampling_seeds(sampling.run_seed, draw.group_id, num=sampling.group_size),
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
    )
    with clock.busy("generate"):
        rollouts = await stages.policy.sample(request)
    return Group(group_id=draw.group_id, problem=draw.problem, prompt_token_ids=prompt_token_ids, rollouts=rollouts)


async def gather_evidence(group: Group, reference: Reference, *, stages: Stages, clock: StageClock) -> EngineFeatures:
    """Translations or likelihoods from the engines, for the rewards that read them."""
    if stages.evidence is None:
        return EngineFeatures()
    return await clock.during("evidence", stages.evidence.gather(group, reference))


def score_request(group: Group, reference: Reference, *, step: int, evidence: EngineFeatures) -> ScoreRequest:
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
