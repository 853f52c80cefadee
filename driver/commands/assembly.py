"""Assemble a training run on its team's actors: the scorers' calibration, the loop, its stages and the recipe."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from actors.fleets.worker import RestartBudget
from cluster.team import Team
from contracts.config.learning import SftConfig
from contracts.config.run import Config
from contracts.files import write_whole
from driver.calibration import Similarities, TranslatedSimilarities, calibration_for
from driver.inputs import TrainingInputs
from driver.problems.draws import Draws
from driver.recipes.grpo import train_grpo
from driver.recipes.loop import LearningSettings, Loop
from driver.recipes.opd import train_opd
from driver.recipes.ppo import train_ppo
from driver.recipes.recovery import Recovery
from driver.recipes.sft import SftStages, train_sft
from driver.references.cache import ReferenceCache
from driver.references.store import PivotSampling, ReferenceStore
from driver.rollouts.buffer import RolloutBuffer
from driver.rollouts.engine_features import EngineFeatureSource
from driver.rollouts.pipeline import Sampling, Stages
from driver.rollouts.prompt_buffer import PromptBuffer
from driver.rollouts.selection import BufferRules
from driver.rollouts.stage_clock import StageClock
from driver.run_state.buffered_groups import read_groups
from driver.run_state.checkpointer import RunCheckpointer
from driver.run_state.checkpoints import Checkpoints, FoundCheckpoint, find_checkpoint, set_aside_later
from driver.run_state.lost_checkpoints import SAVED, checkpoints_there, refuse_lost_checkpoints
from driver.run_state.model_fingerprints import run_fingerprints
from driver.run_state.state import RunPosition
from driver.run_state.stopping import StopRequest
from driver.tracking.console import Console
from driver.tracking.recorder import RunRecorder
from driver.tracking.run_folder import RunFolder
from rewards.calibration import from_json

Buffer = RolloutBuffer | PromptBuffer


@dataclass(frozen=True, kw_only=True)
class RunOutputs:
    """Hold where a run writes, and the checkpoint that it continues from."""

    folder: RunFolder
    recorder: RunRecorder
    checkpoint: FoundCheckpoint | None  # None: the run starts at its first step

    def checkpoint_failed(self, reason: str) -> None:
        """Record a checkpoint that could not be written; the run continues without it."""
        self.recorder.event("checkpoint_failed", reason)
        self.recorder.note(f"{reason}; the run continues")


async def calibrate_scorers(
    config: Config, team: Team, engine_features: EngineFeatureSource | None, *, outputs: RunOutputs, console: Console
) -> None:
    """Give the scorers their calibration, and keep it in the run folder. A continued run keeps the one that it had."""
    if not team.scores:
        return
    if outputs.checkpoint is not None and outputs.checkpoint.state.calibration:
        calibration = from_json(outputs.checkpoint.state.calibration)
    else:
        scorers: Similarities = team.scorer
        if engine_features is not None and engine_features.translations is not None:
            scorers = TranslatedSimilarities(scorers=team.scorer, translations=engine_features.translations)
        reasoning, languages = config.reward.reasoning, config.data.languages
        calibration = await calibration_for(reasoning, scorers, languages=languages, console=console)
    if calibration is not None:
        await team.scorer.use_calibration(calibration)
        write_whole(outputs.folder.calibration, calibration.to_json())


@dataclass(frozen=True, kw_only=True)
class RunParts:
    """Hold the assembled parts of a run: the loop, its buffer, its checkpointer, its recovery and its recipe."""

    loop: Loop
    buffer: Buffer
    checkpointer: RunCheckpointer
    recovery: Recovery
    recipe: Callable[[], Awaitable[None]]


def assemble_run(
    config: Config,
    inputs: TrainingInputs,
    team: Team,
    engine_features: EngineFeatureSource | None,
    *,
    outputs: RunOutputs,
    stop: StopRequest,
) -> RunParts:
    """Return the parts of a run at the step that it starts after. The scorers must have their calibration."""
    clock, found = StageClock(on_call=outputs.recorder.trace.called), outputs.checkpoint
    position = found.state.position if found else RunPosition()
    draws = Draws(inputs.stream)
    if found is not None:
        draws.restore(found.state.open)
    store = reference_store(config, inputs, team, outputs=outputs)
    buffer: Buffer
    if isinstance(config.algorithm, SftConfig):
        buffer = PromptBuffer(draws, per_step=config.algorithm.groups_per_step, step=position.step)
    else:
        buffer = RolloutBuffer(
            draws,
            stages=rollout_stages(config, inputs, team, engine_features, store=store),
            rules=BufferRules(algorithm=config.algorithm, reward=config.reward),
            clock=clock,
            step=position.step,
            version=position.policy_version,
        )
        if found is not None:
            buffer.restore(read_groups(found.groups))
    checkpointer = run_checkpointer(config, team, buffer, outputs=outputs)
    loop = Loop(
        learner=team.learner,
        recorder=outputs.recorder,
        settings=LearningSettings.of(config, pad_token_id=inputs.evaluation.pad_token_id),
        checkpointer=checkpointer,
        position=position,
        clock=clock,
        stop=stop,
    )
    return RunParts(
        loop=loop,
        buffer=buffer,
        checkpointer=checkpointer,
        recovery=learner_recovery(config, team, loop, buffer, outputs=outputs),
        recipe=partial(run_recipe, config, inputs, store, buffer=buffer, loop=loop),
    )


def run_checkpointer(config: Config, team: Team, buffer: Buffer, *, outputs: RunOutputs) -> RunCheckpointer:
    """Return what writes the run's checkpoints."""
    calibration = outputs.folder.calibration
    return RunCheckpointer(
        checkpoints=Checkpoints(
            outputs.folder.checkpoints,
            settings=config.checkpoint,
            fingerprints=run_fingerprints(config),
            metrics=outputs.folder.metrics,
            note=outputs.recorder.note,
        ),
        learner=team.learner,
        buffer=buffer,
        last_step=config.algorithm.steps,
        num_ranks=config.learner.num_ranks,
        seed=config.run.seed,
        calibration=calibration.read_text(encoding="utf-8") if calibration.exists() else "",
        on_wait=outputs.recorder.waiting,
        on_failure=outputs.checkpoint_failed,
        on_saved=partial(outputs.recorder.event, SAVED),
    )


def learner_recovery(config: Config, team: Team, loop: Loop, buffer: Buffer, *, outputs: RunOutputs) -> Recovery:
    """Return what restores the run when the learner is lost."""
    budget, folder = RestartBudget(config.fleet), outputs.folder

    def find() -> FoundCheckpoint | None:
        if not checkpoints_there(folder):
            refuse_lost_checkpoints(folder)
        found = find_checkpoint(
            folder.checkpoints, fingerprints=run_fingerprints(config), on_damage=config.checkpoint.on_damage
        )
        set_aside_later(folder.checkpoints, found.state.step if found else 0)
        return found

    return Recovery(
        loop=loop,
        buffer=buffer,
        record=outputs.recorder,
        next_wait_s=lambda: budget.next_wait_s(time.monotonic()),
        restart=team.restart_learner,
        last_checkpoint=find if config.checkpoint.every_steps != "off" else None,
    )


async def run_recipe(
    config: Config, inputs: TrainingInputs, store: ReferenceStore, *, buffer: Buffer, loop: Loop
) -> None:
    """Train by the config's recipe on what its buffer gives."""
    if isinstance(buffer, PromptBuffer):
        prompter = inputs.evaluation.prompter
        sft = SftStages(references=store, prompt=prompter.prompt_token_ids, answer=prompter.answer_token_ids)
        await train_sft(buffer, stages=sft, loop=loop)
    elif config.algorithm.name == "ppo":
        await train_ppo(buffer, loop=loop)
    elif config.algorithm.name == "opd":
        await train_opd(buffer, teacher_prompt=inputs.evaluation.prompter.teacher_prompt, loop=loop)
    else:
        await train_grpo(buffer, loop=loop)


def rollout_stages(
    config: Config,
    inputs: TrainingInputs,
    team: Team,
    engine_features: EngineFeatureSource | None,
    *,
    store: ReferenceStore,
) -> Stages:
    """Return the stages that a group goes through, on the team's actors."""
    return Stages(
        policy=team.policy,
        references=store,
        scorer=team.scorer,
        prompt=inputs.evaluation.prompter.prompt_token_ids,
        sampling=Sampling(
            group_size=config.algorithm.samples_per_problem,
            max_tokens=config.policy.max_response_tokens,
            temperature=config.policy.temperature,
            run_seed=config.run.seed,
        ),
        engine_features=engine_features,
    )


def reference_store(config: Config, inputs: TrainingInputs, team: Team, *, outputs: RunOutputs) -> ReferenceStore:
    """Return the pivot's references, with their cache."""
    sampling, asks_pivot = PivotSampling.of(config), inputs.pivot_prompter is not inputs.evaluation.prompter
    origin = sampling.origin(config.pivot.model, inputs.pivot_prompter) if asks_pivot else None
    return ReferenceStore(
        pivot=team.pivot,
        prompt=inputs.pivot_prompter.reference_prompt,
        sampling=sampling,
        cache=ReferenceCache(config.pivot.cache_folder, note=outputs.recorder.note, origin=origin),
    )
