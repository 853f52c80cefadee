"""A config's parts put together on a team's actors: the scorers' scale, the loop, the stages and the recipe.

Owns which of them goes with which config. What they do is their own matter.
"""

from pathlib import Path

from cluster.team import Team
from driver.calibration import Similarities, calibration_for
from driver.checkpoint_files import RunState
from driver.checkpoints import Checkpoints, FoundCheckpoint
from driver.config import Config
from driver.errors import CheckpointFailed
from driver.evidence import EvidenceSource, TranslatedSimilarities
from driver.inputs import TrainingInputs
from driver.origins import run_origins
from driver.pipeline import Sampling, Stages
from driver.ports import Learner
from driver.progress import Progress, patiently
from driver.recipes.grpo import train_grpo
from driver.recipes.learning import LearningSettings, Loop
from driver.recipes.learning import Progress as RunProgress
from driver.recipes.ppo import train_ppo
from driver.recipes.sft import SftStages, train_sft
from driver.record import RunRecorder
from driver.references import PivotSampling, ReferenceBook, ReferenceCache, model_fingerprint
from driver.resume import OpenedRun
from driver.run_folder import RunFolder
from rewards.calibration import from_json

POLICY = "policy"
"""Folder of a checkpoint with the policy as transformers and vLLM load it."""


class Kept:
    """What a run writes down and goes on from: its folder, its recorder, its checkpoints."""

    def __init__(
        self, config: Config, *, folder: RunFolder, opened: OpenedRun, recorder: RunRecorder, progress: Progress
    ) -> None:
        self.folder = folder
        self.recorder = recorder
        self.checkpoint: FoundCheckpoint | None = opened.checkpoint
        self._config = config
        self._progress = progress

    def resumed(self) -> RunProgress:
        """Where the recipe starts."""
        if self.checkpoint is None:
            return RunProgress()
        state = self.checkpoint.state
        return RunProgress(
            step=state.step,
            policy_version=state.policy_version,
            optimizer_steps=state.optimizer_steps,
            skipped_in_a_row=state.skipped_in_a_row,
        )

    def checkpointer(self, inputs: TrainingInputs, learner: Learner) -> "StepCheckpoints":
        checkpoints = Checkpoints(
            self.folder.checkpoints,
            settings=self._config.checkpoint,
            origins=run_origins(self._config),
            metrics=self.folder.metrics,
            note=self._progress.note,
        )
        return StepCheckpoints(self._config, checkpoints, kept=self, inputs=inputs, learner=learner)

    def checkpoint_failed(self, failure: CheckpointFailed) -> None:
        """The run goes on without it, and says so."""
        self.recorder.event("checkpoint_failed", str(failure))
        self._progress.note(f"{failure}; the run goes on")


class StepCheckpoints:
    """The recipes' `Checkpointer`: a finished step, where one is due, with all that going on from it needs."""

    def __init__(
        self, config: Config, checkpoints: Checkpoints, *, kept: Kept, inputs: TrainingInputs, learner: Learner
    ) -> None:
        self._config = config
        self._checkpoints = checkpoints
        self._kept = kept
        self._inputs = inputs
        self._learner = learner

    async def after_step(self, progress: RunProgress) -> None:
        if not self._checkpoints.is_due(progress.step, last_step=self._config.algorithm.steps):
            return
        calibration = self._kept.folder.calibration
        state = RunState(
            step=progress.step,
            policy_version=progress.policy_version,
            optimizer_steps=progress.optimizer_steps,
            skipped_in_a_row=progress.skipped_in_a_row,
            stream=self._inputs.stream.state(),
            num_ranks=self._config.learner.num_ranks,
            seed=self._config.run.seed,
            calibration=calibration.read_text(encoding="utf-8") if calibration.exists() else "",
        )
        saving = self._checkpoints.save(state, self._write)
        try:
            await patiently(saving, f"the checkpoint of step {progress.step}", report=self._kept.recorder.waiting)
        except CheckpointFailed as failure:
            self._kept.checkpoint_failed(failure)

    async def _write(self, folder: Path) -> None:
        """The learner's own files, and beside them the policy for everybody else."""
        await self._learner.save(str(folder))
        await self._learner.export(str(folder.parent / POLICY))


async def calibrate_scorers(
    config: Config, team: Team, evidence: EvidenceSource | None, *, kept: Kept, progress: Progress
) -> None:
    """Give the scorers their scale, and keep it with the run. One that is continued goes on with the scale it had."""
    if not team.scores:
        return
    if kept.checkpoint is not None and kept.checkpoint.state.calibration:
        calibration = from_json(kept.checkpoint.state.calibration)
    else:
        asked: Similarities = team.scorer
        if evidence is not None and evidence.translations is not None:
            asked = TranslatedSimilarities(scorers=team.scorer, translations=evidence.translations)
        reasoning, languages = config.reward.reasoning, config.data.languages
        calibration = await calibration_for(reasoning, asked, languages=languages, progress=progress)
    if calibration is not None:
        await team.scorer.use_calibration(calibration)
        kept.folder.calibration.write_text(calibration.to_json(), encoding="utf-8")


def start_loop(config: Config, inputs: TrainingInputs, team: Team, *, kept: Kept) -> Loop:
    """The recipes' loop, at the step that the run starts after."""
    return Loop(
        learner=team.learner,
        recorder=kept.recorder,
        settings=LearningSettings.of(config, pad_token_id=inputs.evaluation.pad_token_id),
        checkpointer=kept.checkpointer(inputs, team.learner),
        progress=kept.resumed(),
    )


async def train(
    config: Config, inputs: TrainingInputs, team: Team, evidence: EvidenceSource | None, *, loop: Loop
) -> None:
    """The config's recipe, on its stages."""
    prompter = inputs.evaluation.prompter
    match config.algorithm.name:
        case "sft":
            sft = SftStages(
                references=references(config, inputs, team),
                prompt=prompter.prompt_token_ids,
                answer=prompter.answer_token_ids,
            )
            await train_sft(inputs.stream, stages=sft, loop=loop)
        case "ppo":
            await train_ppo(inputs.stream, stages=stages(config, inputs, team, evidence), loop=loop)
        case "grpo":
            await train_grpo(inputs.stream, stages=stages(config, inputs, team, evidence), loop=loop)


def stages(config: Config, inputs: TrainingInputs, team: Team, evidence: EvidenceSource | None) -> Stages:
    """The config's stages on the team's actors."""
    return Stages(
        policy=team.policy,
        references=references(config, inputs, team),
        scorer=team.scorer,
        prompt=inputs.evaluation.prompter.prompt_token_ids,
        sampling=Sampling(
            group_size=config.algorithm.group_size,
            max_tokens=config.policy.max_response_tokens,
            temperature=config.policy.temperature,
            run_seed=config.run.seed,
        ),
        evidence=evidence,
    )


def references(config: Config, inputs: TrainingInputs, team: Team) -> ReferenceBook:
    """The pivot's answers, with their cache."""
    return ReferenceBook(
        pivot=team.pivot,
        prompt=inputs.pivot_prompter.reference_prompt,
        sampling=PivotSampling(
            fingerprint=model_fingerprint(config.pivot.model),
            max_tokens=config.pivot.max_response_tokens,
            temperature=config.pivot.temperature,
            seed=config.run.seed,
        ),
        cache=ReferenceCache(Path(config.pivot.cache) if config.pivot.cache else None),
    )
