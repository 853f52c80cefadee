"""Train by GRPO on semantic rewards. This is the algorithm, readable from top to bottom.

REINFORCE++ and leave-one-out are the same recipe with another baseline. The recipe uses ports and stages only, so a
unit test runs it on fakes.
"""

from contracts.config.learning import GrpoConfig
from driver.learning.samples import learnable, samples_from_rewards
from driver.recipes.loop import Loop
from driver.rollouts.buffer import RolloutBuffer
from driver.tracking.step_record import step_inputs


async def train_grpo(buffer: RolloutBuffer, *, loop: Loop) -> None:
    """Learn in every step from finished groups. Above algorithm.max_staleness 0 the buffer prepares more meanwhile.

    The first weight push must be done before: a policy worker without the learner's weights refuses to sample.

    Raises:
        LearnerLost: the learner must be restarted. The buffer goes on, and so does this function when called again.
        RunFailed: another actor failed, or too many optimiser steps in a row were skipped.
    """
    algorithm, reward = loop.settings.algorithm, loop.settings.reward
    assert isinstance(algorithm, GrpoConfig)
    for step in loop.steps():
        batch = await loop.take_batch(step, buffer)

        candidates, dropped = learnable(
            batch.groups, policy_version=step.policy_version, step=step.number, algorithm=algorithm, reward=reward
        )
        measures = await loop.measure(step, candidates)  # if needed: reference and old log-probabilities
        samples = samples_from_rewards(candidates, measures, algorithm)

        update = await loop.learn(step, samples)
        push = await loop.push(step, update)
        buffer.finish(push.policy_version if push else step.policy_version)  # frees the slots for new groups
        await loop.finish(step, await step_inputs(batch, dropped, buffer.stages), update, push)
