"""Train by PPO on the same rewards: the baseline with a critic, which compares each token with the critic's value.

The order of the stages is that of Ouyang et al. 2022, arXiv 2203.02155. The recipe uses ports and stages only.
"""

from contracts.config.learning import PpoConfig
from driver.learning.samples import learnable, samples_from_critic
from driver.recipes.loop import Loop
from driver.rollouts.buffer import RolloutBuffer
from driver.tracking.step_record import step_inputs


async def train_ppo(buffer: RolloutBuffer, *, loop: Loop) -> None:
    """Learn as `train_grpo` does, but also from groups of one response and from groups of equal rewards.

    Raises:
        LearnerLost: the learner must be restarted. The buffer goes on, and so does this function when called again.
        RunFailed: another actor failed, or too many optimiser steps in a row were skipped.
    """
    algorithm, reward = loop.settings.algorithm, loop.settings.reward
    assert isinstance(algorithm, PpoConfig)
    for step in loop.steps():
        batch = await loop.take_batch(step, buffer)

        candidates, dropped = learnable(
            batch.groups, policy_version=step.policy_version, step=step.number, algorithm=algorithm, reward=reward
        )
        measures = await loop.measure(step, candidates)  # the critic's values, before it learns from the rewards
        samples = samples_from_critic(candidates, measures, algorithm)

        update = await loop.learn(step, samples)  # of policy and critic
        push = await loop.push(step, update)
        buffer.finish(push.policy_version if push else step.policy_version)
        await loop.finish(step, await step_inputs(batch, dropped, buffer.stages), update, push)
