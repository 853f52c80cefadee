"""Fine-tune on references (SFT): the baseline without sampling and without a reward.

The text to imitate is the pivot's English response to a problem, or the solution in the problem's own language that the
data has. No policy worker and no scorer is used.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contracts.batches import TrainSample
from contracts.config.learning import SftConfig
from contracts.errors import BadInput
from contracts.rollouts import DroppedGroup, Problem, PromptDraw
from driver.recipes.loop import Loop
from driver.references.store import ReferenceStore
from driver.rollouts.prompt_buffer import PromptBuffer
from driver.rollouts.stage_clock import StageClock
from driver.tracking.step_record import StepInputs


@dataclass(frozen=True, kw_only=True)
class SftStages:
    """Hold everything that turns problems into texts to imitate."""

    references: ReferenceStore
    prompt: Callable[[Problem], tuple[int, ...]]  # [P] token ids, in the problem's language, with the chat template
    answer: Callable[[Problem, str], tuple[int, ...]]  # [T] token ids of an answer, with the end of the turn


async def train_sft(buffer: PromptBuffer, *, stages: SftStages, loop: Loop) -> None:
    """Learn from each problem once per pass through the data. No weights are pushed here; an evaluation pushes them.

    Raises:
        Stopped: the run is asked to stop while it waits for references.
        LearnerLost: the learner must be restarted; this function goes on when it is called again.
        RunFailed: another actor failed, or too many optimiser steps in a row were skipped.
    """
    algorithm = loop.settings.algorithm
    assert isinstance(algorithm, SftConfig)
    is_translated = algorithm.sft_target == "translation"
    for step in loop.steps():
        draws = buffer.take_batch(step.number)
        found = find_texts(
            [draw.problem for draw in draws], stages.references, is_translated=is_translated, clock=step.clock
        )
        texts = await loop.wait(loop.stop.before(found), f"the {len(draws)} references", step)

        samples, dropped = samples_to_imitate(draws, texts, stages=stages, row_tokens=loop.settings.row_tokens)
        update = await loop.learn(step, [[sample] for sample in samples])
        buffer.finish()

        step_inputs = StepInputs(
            dropped=dropped,
            problems={draw.group_id: draw.problem for draw in draws},
            references=stages.references.take_counts(),
        )
        await loop.finish(step, step_inputs, update, push=None)


@dataclass(frozen=True, kw_only=True)
class NoText:
    """Say why a problem has no text to imitate."""

    reason: str  # short and countable
    detail: str = ""


async def find_texts(
    problems: Sequence[Problem], references: ReferenceStore, *, is_translated: bool, clock: StageClock
) -> list[str | NoText]:
    """Return the text of each problem [N], in order. The pivot is asked only if its own text is to be imitated.

    Raises:
        RunFailed: the pivot's workers failed.
    """
    if is_translated:
        return [problem.translation or NoText(reason="no_translation") for problem in problems]
    tasks = [asyncio.ensure_future(clock.during("pivot", _pivot_text(problem, references))) for problem in problems]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        references.cache.save()


async def _pivot_text(problem: Problem, references: ReferenceStore) -> str | NoText:
    try:
        reference = await references.get(problem)
    except BadInput as error:
        return NoText(reason="bad_prompt", detail=str(error))
    if reference.verdict != "accepted":
        return NoText(reason=f"reference_{reference.verdict}")
    return reference.text if reference.text.strip() else NoText(reason="reference_empty")


def samples_to_imitate(
    draws: Sequence[PromptDraw], texts: Sequence[str | NoText], *, stages: SftStages, row_tokens: int
) -> tuple[list[TrainSample], list[DroppedGroup]]:
    """Return the samples and the dropped draws. Every draw is in exactly one of the two."""
    samples: list[TrainSample] = []
    dropped: list[DroppedGroup] = []
    for draw, text in zip(draws, texts, strict=True):
        group_id, problem = draw.group_id, draw.problem
        outcome = text if isinstance(text, NoText) else _sample(group_id, problem, text, stages=stages)
        if isinstance(outcome, TrainSample) and outcome.num_tokens > row_tokens:
            outcome = NoText(
                reason="too_long", detail=f"{outcome.num_tokens} tokens; learner.row_tokens is {row_tokens}"
            )
        if isinstance(outcome, NoText):
            dropped.append(
                DroppedGroup(group_id=group_id, problem=problem, reason=outcome.reason, detail=outcome.detail)
            )
        else:
            samples.append(outcome)
    return samples, dropped


def _sample(group_id: str, problem: Problem, text: str, *, stages: SftStages) -> TrainSample | NoText:
    """Return the sample of one problem. No engine drew its tokens; the advantage is 1, and the loss is -log p."""
    try:
        prompt, answer = stages.prompt(problem), stages.answer(problem, text)
    except BadInput as error:
        return NoText(reason="bad_prompt", detail=str(error))
    return TrainSample(
        group_id=group_id,
        prompt_token_ids=prompt,
        response_token_ids=answer,
        sampling_logprobs=(0.0,) * len(answer),
        advantages=(1.0,) * len(answer),
        policy_version=0,
    )
