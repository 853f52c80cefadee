"""A config's parts put together on a team's actors: the scorers' scale, the loop, the stages and the recipe.

Owns which of them goes with which config. What they do is their own matter.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from actors.fleets.states import RestartBudget
from cluster.team import Team
from contracts.config.run import Config
from contracts.files import write_whole
from driver.calibration import Similarities, TranslatedSimilarities, calibration_for
from driver.inputs import TrainingInputs
from driver.problems.draws import Draws
from driver.recipes.grpo import train_grpo
from driver.recipes.loop import LearningSettings, Loop
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
from driver.run_state.checkpointer import RunCheckpointer, position_of
from driver.run_state.checkpoints import Checkpoints, FoundCheckpoint, find_checkpoint
from driver.run_state.model_fingerprints import run_origins
from driver.run_state.position import RunPosition
from driver.run_state.stopping import StopRequest
from driver.tracking.console import Console
from driver.tracking.recorder import RunRecorder
from driver.tracking.run_folder import RunFolder
from rewards.calibration import from_json


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What a run writes down, and what it goes on from."""

    folder: RunFolder
    recorder: RunRecorder
    checkpoint: FoundCheckpoint | None  # None: the run starts at its first step

    def checkpoint_failed(self, what: str) -> None:
        """The run goes on without it, and says so."""
        self.recorder.event("checkpoint_failed", what)
        self.recorder.note(f"{what}; the run goes on")


async def calibrate_scorers(
    config: Config, team: Team, engine_features: EngineFeatureSource | None, *, kept: Kept, console: Console
) -> None:
    """Give the scorers their scale, and keep it with the run. One that is continued goes on with the scale it had."""
    if not team.scores:
        return
    if kept.checkpoint is not None and kept.checkpoint.state.calibration:
        calibration = from_json(kept.checkpoint.state.calibration)
    else:
        asked: Similarities = team.scorer
        if engine_features is not None and engine_features.translations is not None:
            asked = TranslatedSimilarities(scorers=team.scorer, translations=engine_features.translations)
        reasoning, languages = config.reward.reasoning, config.data.languages
        calibration = await calibration_for(reasoning, asked, languages=languages, console=console)
    if calibration is not None:
        await team.scorer.use_calibration(calibration)
        write_whole(kept.folder.calibration, calibration.to_json())


@dataclass(frozen=True, kw_only=True)
class RunParts:
    """A run between its first push and its last step: the loop, what feeds it, and what keeps and saves both."""

    loop: Loop
    buffer: RolloutBuffer | PromptBuffer
    checkpointer: RunCheckpointer
    recovery: Recovery
    recipe: Callable[[], Awaitable[None]]


def prepare_course(
    config: Config,
    inputs: TrainingInputs,
    team: Team,
    engine_features: EngineFeatureSource | None,
    *,
    kept: Kept,
    stop: StopRequest,
) -> RunParts:
    """Everything at the step that the run starts after. The scorers have their scale by now."""
    clock, found = StageClock(), kept.checkpoint
    position = position_of(found.state) if found else RunPosition()
    draws = Draws(inputs.stream)
    if found is not None:
        draws.restore(found.state.open)
    store = references(config, inputs, team, kept=kept)
    buffer: RolloutBuffer | PromptBuffer
    if config.algorithm.name == "sft":
        buffer = PromptBuffer(draws, per_step=config.algorithm.groups_per_step, step=position.step)
    else:
        buffer = RolloutBuffer(
            draws,
            stages=stages(config, inputs, team, engine_features, store=store),
            rules=BufferRules(algorithm=config.algorithm, reward=config.reward),
            clock=clock,
            step=position.step,
            version=position.policy_version,
        )
        if found is not None:
            buffer.restore(read_groups(found.groups))
    checkpointer = start_checkpointer(config, team, buffer, kept=kept)
    loop = Loop(
        learner=team.learner,
        recorder=kept.recorder,
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
        recovery=prepare_recovery(config, team, loop, buffer, kept=kept),
        recipe=partial(train, config, inputs, store, buffer=buffer, loop=loop),
    )


def start_checkpointer(
    config: Config, team: Team, buffer: RolloutBuffer | PromptBuffer, *, kept: Kept
) -> RunCheckpointer:
    calibration = kept.folder.calibration
    return RunCheckpointer(
        checkpoints=Checkpoints(
            kept.folder.checkpoints,
            settings=config.checkpoint,
            origins=run_origins(config),
            metrics=kept.folder.metrics,
            note=kept.recorder.note,
        ),
        learner=team.learner,
        buffer=buffer,
        last_step=config.algorithm.steps,
        num_ranks=config.learner.num_ranks,
        seed=config.run.seed,
        calibration=calibration.read_text(encoding="utf-8") if calibration.exists() else "",
        waiting=kept.recorder.waiting,
        failed=kept.checkpoint_failed,
    )


def prepare_recovery(
    config: Config, team: Team, loop: Loop, buffer: RolloutBuffer | PromptBuffer, *, kept: Kept
) -> Recovery:
    """What is done when the learner is lost."""
    budget = RestartBudget(config.fleet)
    find = partial(
        find_checkpoint, kept.folder.checkpoints, origins=run_origins(config), on_damage=config.checkpoint.on_damage
    )
    return Recovery(
        loop=loop,
        buffer=buffer,
        record=kept.recorder,
        next_wait_s=lambda: budget.next_wait_s(time.monotonic()),
        restart=team.restart_learner,
        last_checkpoint=find if config.checkpoint.every_steps else None,
    )


async def train(
    config: Config, inputs: TrainingInputs, store: ReferenceStore, *, buffer: RolloutBuffer | PromptBuffer, loop: Loop
) -> None:
    """The config's recipe, on its buffer."""
    if isinstance(buffer, PromptBuffer):
        prompter = inputs.evaluation.prompter
        sft = SftStages(references=store, prompt=prompter.prompt_token_ids, answer=prompter.answer_token_ids)
        await train_sft(buffer, stages=sft, loop=loop)
    elif config.algorithm.name == "ppo":
        await train_ppo(buffer, loop=loop)
    else:
        await train_grpo(buffer, loop=loop)


def stages(
    config: Config,
    inputs: TrainingInputs,
    team: Team,
    engine_features: EngineFeatureSource | None,
    *,
    store: ReferenceStore,
) -> Stages:
    """The config's stages on the team's actors."""
    return Stages(
        policy=team.policy,
        references=store,
        scorer=team.scorer,
        prompt=inputs.evaluation.prompter.prompt_token_ids,
        sampling=Sampling(
            group_size=config.algorithm.group_size,
            max_tokens=config.policy.max_response_tokens,
            temperature=config.policy.temperature,
            run_seed=config.run.seed,
        ),
        engine_features=engine_features,
    )


def references(config: Config, inputs: TrainingInputs, team: Team, *, kept: Kept) -> ReferenceStore:
    """The pivot's answers, with their cache."""
    return ReferenceStore(
        pivot=team.pivot,
        prompt=inputs.pivot_prompter.reference_prompt,
        sampling=PivotSampling.of(config),
        cache=ReferenceCache(Path(config.pivot.cache) if config.pivot.cache else None, note=kept.recorder.note),
    )
