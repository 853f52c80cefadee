"""PPO on the same rewards, the baseline with a critic: each token is compared with what the critic expected.

Owns the order of the stages in a step (Ouyang et al. 2022, arXiv 2203.02155). Knows the ports and the stages only.
"""

from collections.abc import Iterator

from driver.experience import against_critic, learnable
from driver.pipeline import Stages, score_problems
from driver.recipes.learning import Loop
from driver.recipes.step import Gathered
from driver.schema import Problem


async def train_ppo(problems: Iterator[Problem], *, stages: Stages, loop: Loop) -> None:
    """On-policy, as `train_grpo`; but a response needs no sibling, and equal rewards teach too.

    Raises:
        RunFailed: an actor failed, or too many optimiser steps in a row were skipped.
    """
    algorithm, reward = loop.settings.algorithm, loop.settings.reward
    for step in loop.steps(problems):
        drawn = score_problems(step.problems, step=step.number, stages=stages, clock=step.clock)
        groups = await loop.wait(drawn, f"the {len(step.problems)} groups", step)

        candidates, dropped = learnable(
            groups, policy_version=step.policy_version, step=step.number, algorithm=algorithm, reward=reward
        )
        measures = await loop.measure(step, candidates)  # the critic's values, before it sees the rewards
        samples = against_critic(candidates, measures, algorithm)

        learned = await loop.learn(step, samples)  # policy and critic
        push = await loop.push(step, learned)
        gathered = Gathered(
            groups=groups,
            dropped=dropped,
            references=stages.references.take_counts(),
            scorer=await stages.scorer.take_stats(),
        )
        await loop.finish(step, gathered, learned, push)
