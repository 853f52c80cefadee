"""GRPO on semantic rewards, readable from top to bottom: the picture of docs/architecture.md as code.

Owns the order of the stages in a step. REINFORCE++ and leave-one-out are the same recipe with another baseline. Knows
the ports and the stages only, so a unit test runs it on fakes.
"""

from driver.learning.samples import against_rewards, learnable
from driver.recipes.loop import Loop
from driver.rollouts.buffer import RolloutBuffer
from driver.tracking.step_record import step_inputs


async def train_grpo(feed: RolloutBuffer, *, loop: Loop) -> None:
    """Every step learns from groups that the feed has ready; above algorithm.max_staleness 0 it goes on meanwhile.

    The first push must have happened: a policy worker without the learner's weights refuses to sample.

    Raises:
        LearnerLost: the learner must be started again; the feed goes on, and so does this function when called again.
        RunFailed: another actor failed, or too many optimiser steps in a row were skipped.
    """
    algorithm, reward = loop.settings.algorithm, loop.settings.reward
    for step in loop.steps():
        batch = await loop.groups(step, feed)

        candidates, dropped = learnable(
            batch.groups, policy_version=step.policy_version, step=step.number, algorithm=algorithm, reward=reward
        )
        measures = await loop.measure(step, candidates)  # the reference's distance, the ratios' start: where needed
        samples = against_rewards(candidates, measures, algorithm)

        learned = await loop.learn(step, samples)
        push = await loop.push(step, learned)
        feed.release(push.policy_version if push else step.policy_version)  # their slots are free for new groups
        await loop.finish(step, await step_inputs(batch, dropped, feed.stages), learned, push)
