"""Bring one draw through the stages, from prompt to scores, as short functions over the ports.

    draw -> (group, reference) -> scored group

Each group goes its way independently of the others. The buffer decides how many are on their way, and which step learns
from them. Must not import Ray or an engine: unit tests run the stages on fakes.
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
    """Say how the policy is sampled in training; top_p = 1 and top_k = -1 are fixed in the engine."""

    group_size: int
    max_tokens: int  # of a response
    temperature: float
    run_seed: int


@dataclass(frozen=True, kw_only=True)
class Stages:
    """Hold everything that turns problems into scored groups."""

    policy: Generator
    references: ReferenceStore
    scorer: Scorer
    prompt: Callable[[Problem], tuple[int, ...]]  # prompt token ids, chat template applied
    sampling: Sampling
    engine_features: EngineFeatureSource | None = None  # of the rewards that need values from the engines


async def score_draw(
    draw: PromptDraw, *, step: int, attempt: int, stages: Stages, clock: StageClock
) -> ScoredGroup | DroppedGroup:
    """Return the scored group of a draw, or why it was dropped. Pivot and policy are asked at the same time.

    `step` is the number that the reward's schedules use. `attempt` is how often the draw was started before.

    Raises:
        RunFailed: an engine or the scorers failed.
    """
    group_id, problem = draw.group_id, draw.problem
    try:
        group, reference = await asyncio.gather(
            sample_group(draw, attempt=attempt, stages=stages, clock=clock), get_reference(draw, stages, clock)
        )
    except BadInput as error:
        # Not every prompt of a long data set is checked before the start: one that is too long must not end the run.
        return DroppedGroup(group_id=group_id, problem=problem, reason="bad_prompt", detail=str(error))
    if reference.verdict != "accepted":
        why = Unscored(reason=f"reference_{reference.verdict}")
        scores: tuple[Score | Unscored, ...] = (why,) * len(group.rollouts)
    else:
        features = await get_engine_features(group, reference, stages=stages, clock=clock)
        request = score_request(group, reference, step=step, features=features)
        scores = await clock.during("score", stages.scorer.score(request), of=group_id)
    return ScoredGroup(group=group, reference=reference, scores=scores)


async def get_reference(draw: PromptDraw, stages: Stages, clock: StageClock) -> Reference:
    """Return the reference of a draw's problem.

    Raises:
        BadInput: the question is too long for the pivot.
        RunFailed: the pivot's workers failed.
    """
    with clock.busy("pivot", of=draw.group_id):
        return await stages.references.get(draw.problem)


async def sample_group(draw: PromptDraw, *, attempt: int, stages: Stages, clock: StageClock) -> Group:
    """Return the policy's responses to a draw.

    The seeds follow from the draw, so every attempt gives the same responses as long as the weights are the same.

    Raises:
        BadInput: the prompt is too long.
        RunFailed: the policy's workers failed.
    """
    sampling = stages.sampling
    prompt_token_ids = stages.prompt(draw.problem)
    request = SamplingRequest(
        # An engine may still be busy with the cancelled attempt before, so each attempt has a name of its own.
        request_id=f"{draw.group_id}~{attempt}" if attempt else draw.group_id,
        prompt_token_ids=prompt_token_ids,
        seeds=sampling_seeds(sampling.run_seed, draw.group_id, num=sampling.group_size),
        max_tokens=sampling.max_tokens,
        temperature=sampling.temperature,
    )
    with clock.busy("generate", of=draw.group_id):
        rollouts = await stages.policy.sample(request)
    return Group(group_id=draw.group_id, problem=draw.problem, prompt_token_ids=prompt_token_ids, rollouts=rollouts)


async def get_engine_features(
    group: Group, reference: Reference, *, stages: Stages, clock: StageClock
) -> EngineFeatures:
    """Return translations or likelihoods from the engines, for the rewards that read them.

    Raises:
        RunFailed: an engine failed.
    """
    if stages.engine_features is None:
        return EngineFeatures()
    return await clock.during("evidence", stages.engine_features.of_group(group, reference), of=group.group_id)


def score_request(group: Group, reference: Reference, *, step: int, features: EngineFeatures) -> ScoreRequest:
    """Return what the scorer sees of a group: text only, no gold answer."""
    return ScoreRequest(
        language=group.problem.language,
        question=group.problem.question,
        question_en=group.problem.question_en,
        reference=reference.text,
        responses=tuple(rollout.text for rollout in group.rollouts),
        truncated=tuple(rollout.is_truncated for rollout in group.rollouts),
        step=step,
        translations=features.translations,
        answer_probabilities=features.answer_probabilities,
        thinking=tuple(rollout.thinking for rollout in group.rollouts),
    )
