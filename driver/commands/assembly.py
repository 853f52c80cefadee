"""A config's parts put together on a team's actors: the scorers' scale, the loop, the stages and the recipe.

Owns which of them goes with which config. What they do is their own matter.
"""

from dataclasses import dataclass
from pathlib import Path

from cluster.team import Team
from driver.calibration import Similarities, calibration_for
from driver.checkpointer import RunCheckpointer, progress_of
from driver.checkpoints import Checkpoints, FoundCheckpoint
from driver.config import Config
from driver.evidence import EvidenceSource, TranslatedSimilarities
from driver.inputs import TrainingInputs
from driver.origins import run_origins
from driver.pipeline import Sampling, Stages
from driver.progress import Progress
from driver.recipes.grpo import train_grpo
from driver.recipes.learning import LearningSettings, Loop
from driver.recipes.learning import Progress as RunProgress
from driver.recipes.ppo import train_ppo
from driver.recipes.sft import SftStages, train_sft
from driver.record import RunRecorder
from driver.references import PivotSampling, ReferenceBook, ReferenceCache, model_fingerprint
from driver.run_folder import RunFolder
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


def start_loop(config: Config, inputs: TrainingInputs, team: Team, *, kept: Kept, progress: Progress) -> Loop:
    """The recipes' loop, at the step that the run starts after. The scorers have their scale by now."""
    calibration = kept.folder.calibration
    checkpoints = Checkpoints(
        kept.folder.checkpoints,
        settings=config.checkpoint,
        origins=run_origins(config),
        metrics=kept.folder.metrics,
        note=progress.note,
    )
    return Loop(
        learner=team.learner,
        recorder=kept.recorder,
        settings=LearningSettings.of(config, pad_token_id=inputs.evaluation.pad_token_id),
        checkpointer=RunCheckpointer(
            checkpoints=checkpoints,
            learner=team.learner,
            stream=inputs.stream,
            last_step=config.algorithm.steps,
            num_ranks=config.learner.num_ranks,
            seed=config.run.seed,
            calibration=calibration.read_text(encoding="utf-8") if calibration.exists() else "",
            waiting=progress.waiting,
            failed=kept.checkpoint_failed,
        ),
        progress=progress_of(kept.checkpoint.state) if kept.checkpoint else RunProgress(),
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
