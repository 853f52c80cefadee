"""PPO on the same rewards, the baseline with a critic: each token is compared with what the critic expected.

Owns the order of the stages in a step (Ouyang et al. 2022, arXiv 2203.02155). Knows the ports and the stages only.
"""

from driver.learning.samples import against_critic, learnable
from driver.recipes.loop import Loop
from driver.rollouts.buffer import RolloutBuffer
from driver.tracking.step_record import step_inputs


async def train_ppo(feed: RolloutBuffer, *, loop: Loop) -> None:
    """As `train_grpo`; but a response needs no sibling, and equal rewards teach too.

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
        measures = await loop.measure(step, candidates)  # the critic's values, before it sees the rewards
        samples = against_critic(candidates, measures, algorithm)

        learned = await loop.learn(step, samples)  # policy and critic
        push = await loop.push(step, learned)
        feed.release(push.policy_version if push else step.policy_version)
        await loop.finish(step, await step_inputs(batch, dropped, feed.stages), learned, push)
