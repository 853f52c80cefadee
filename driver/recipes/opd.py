"""Distil on the policy's own responses (on-policy distillation): a teacher who has seen the solution judges each token.

The teacher is the policy itself, with the weights of the step, behind another prompt: before the question stands the
English question with the pivot's solution, as an earlier turn. Its weights are the policy's and not those of the start,
so no second model is kept, and the teacher gets better as the policy does (COPSD, arXiv 2605.09548; there the whole
distribution is compared, here the drawn token). algorithm.kl = "loss" also holds the policy near its start.

Rewards are measured and recorded as in the other recipes, and nothing is learned from them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from contracts.batches import TokenMeasures
from contracts.config.learning import OpdConfig
from contracts.errors import BadInput
from contracts.rollouts import Candidate, DroppedGroup, Problem, ScoredGroup
from driver.learning.samples import learnable, samples_from_teacher
from driver.recipes.loop import Loop
from driver.rollouts.buffer import RolloutBuffer
from driver.tracking.step_record import step_inputs

TeacherPrompt = Callable[[Problem, str], tuple[int, ...]]
"""Make the teacher's prompt [P] of a problem and the pivot's solution."""


async def train_opd(buffer: RolloutBuffer, *, teacher_prompt: TeacherPrompt, loop: Loop) -> None:
    """Learn as `train_grpo` does, with advantages from the teacher; groups of equal rewards are used too.

    Raises:
        LearnerLost: the learner must be restarted. The buffer goes on, and so does this function when called again.
        RunFailed: another actor failed, or too many optimiser steps in a row were skipped.
    """
    algorithm, reward = loop.settings.algorithm, loop.settings.reward
    assert isinstance(algorithm, OpdConfig)
    for step in loop.steps():
        batch = await loop.take_batch(step, buffer)

        candidates, dropped = learnable(
            batch.groups, policy_version=step.policy_version, step=step.number, algorithm=algorithm, reward=reward
        )
        scored = {group.group.group_id: group for group in batch.groups if isinstance(group, ScoredGroup)}
        candidates, informed, without_teacher = with_teacher(
            candidates, scored, teacher_prompt=teacher_prompt, row_tokens=loop.settings.row_tokens
        )
        measures = await loop.measure(step, candidates)
        taught = await loop.measure(step, informed)  # by the same weights
        samples = samples_from_teacher(candidates, measures, taught, algorithm)

        update = await loop.learn(step, samples)
        push = await loop.push(step, update)
        buffer.finish(push.policy_version if push else step.policy_version)
        inputs = await step_inputs(batch, [*dropped, *without_teacher], buffer.stages)
        inputs = replace(inputs, metrics={**inputs.metrics, **distance(measures, taught)})
        await loop.finish(step, inputs, update, push)


def with_teacher(
    groups: Sequence[Sequence[Candidate]],
    scored: Mapping[str, ScoredGroup],
    *,
    teacher_prompt: TeacherPrompt,
    row_tokens: int,
) -> tuple[list[list[Candidate]], list[list[Candidate]], list[DroppedGroup]]:
    """Return the groups that the teacher can judge, the same behind the teacher's prompts, and the dropped groups.

    A teacher's prompt is longer than the policy's: a group of which a response no longer fits a row is dropped.
    """
    kept: list[list[Candidate]] = []
    informed: list[list[Candidate]] = []
    dropped: list[DroppedGroup] = []
    for group in groups:
        found = scored[group[0].group_id]
        outcome = _prompt_for(group, found, teacher_prompt=teacher_prompt, row_tokens=row_tokens)
        if isinstance(outcome, DroppedGroup):
            dropped.append(outcome)
            continue
        kept.append(list(group))
        informed.append([replace(candidate, prompt_token_ids=outcome) for candidate in group])
    return kept, informed, dropped


def distance(measures: Sequence[TokenMeasures], taught: Sequence[TokenMeasures]) -> dict[str, float]:
    """Return the mean of log p - log q over all drawn tokens, which estimates KL(policy || teacher); {} without any."""
    if not measures:
        return {}
    policy = np.concatenate([measured.logprobs for measured in measures]).astype(np.float64)
    teacher = np.concatenate([measured.logprobs for measured in taught]).astype(np.float64)
    return {"distillation/kl": float((policy - teacher).mean())}


def _prompt_for(
    group: Sequence[Candidate], scored: ScoredGroup, *, teacher_prompt: TeacherPrompt, row_tokens: int
) -> tuple[int, ...] | DroppedGroup:
    problem = scored.group.problem
    try:
        prompt = teacher_prompt(problem, scored.reference.text)
    except BadInput as error:
        return DroppedGroup(group_id=group[0].group_id, problem=problem, reason="bad_prompt", detail=str(error))
    longest = len(prompt) + max(len(candidate.response_token_ids) for candidate in group)
    if longest <= row_tokens:
        return prompt
    return DroppedGroup(
        group_id=group[0].group_id,
        problem=problem,
        reason="too_long",
        detail=f"{longest} tokens with the pivot's solution; learner.row_tokens is {row_tokens}",
    )
