"""GRPO on semantic rewards, readable from top to bottom: the picture of docs/architecture.md as code.

Owns the order of the stages in a step. REINFORCE++ and leave-one-out are the same recipe with another baseline. Knows
the ports and the stages only, so a unit test runs it on fakes.
"""

from collections.abc import Iterator

from driver.experience import against_rewards, learnable
from driver.pipeline import Stages, score_problems
from driver.recipes.learning import Loop
from driver.recipes.step import Gathered
from driver.schema import Problem


async def train_grpo(problems: Iterator[Problem], *, stages: Stages, loop: Loop) -> None:
    """On-policy: every group is sampled from the weights that the last step left.

    The first push must have happened: a policy worker without the learner's weights refuses to sample.

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
        measures = await loop.measure(step, candidates)  # the reference's distance, the ratios' start: where needed
        samples = against_rewards(candidates, measures, algorithm)

        learned = await loop.learn(step, samples)
        push = await loop.push(step, learned)
        gathered = Gathered(
            groups=groups,
            dropped=dropped,
            references=stages.references.take_counts(),
            scorer=await stages.scorer.take_stats(),
        )
        await loop.finish(step, gathered, learned, push)
