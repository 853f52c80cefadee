"""`train`: a whole run, from a config to a report.

Owns the order of a run's life: check, place, load, push, evaluate, train, evaluate, export, report. What a step is, is
the recipe's matter; who the actors are, the team's.
"""

import argparse
import asyncio
import time
from pathlib import Path

from rich.console import Console

from cluster.launch import collect_logs, connected, placed
from cluster.layout import choose_device, layout
from cluster.team import Team
from driver.calibration import Similarities, calibration_for
from driver.config import Config
from driver.config_load import load_config
from driver.consistency import ConsistencyWatch
from driver.errors import RunFailed
from driver.evaluation import record_evaluation
from driver.evaluator import evaluate_policy
from driver.evidence import EvidenceSource, TranslatedSimilarities, evidence_source
from driver.inputs import TrainingInputs, licence_notes, prepare_training
from driver.logs import quiet_logs
from driver.paths import with_absolute_paths
from driver.pipeline import Sampling, Stages
from driver.problems.stream import ProblemStream
from driver.progress import Progress
from driver.recipes.grpo import GrpoSettings, train_grpo
from driver.record import RunRecorder
from driver.references import PivotSampling, ReferenceBook, ReferenceCache, model_fingerprint
from driver.report.write import write_report
from driver.run_folder import RunFolder, check_new, create, run_name
from driver.summary import summarise

EXPORT = "final"
"""Folder under checkpoints/ with the trained policy, as transformers and vLLM load it."""


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Train; the run's summary.

    Raises:
        BadInput: before anything was started or written.
        RunFailed: on the way; what was finished is in the run folder, with a report of it.
    """
    started = time.monotonic()
    config = with_absolute_paths(load_config(arguments.config, arguments.overrides))
    path = check_new(config, run_name(config, arguments.config))
    with Progress(Console(stderr=arguments.json)) as progress:
        with progress.phase("checking data, models and prompts"):
            inputs = prepare_training(config)
        for note in licence_notes(config):
            progress.note(note)
        with connected(config.cluster, progress) as cluster:
            wanted = layout(config, choose_device(config, cluster))
            with placed(wanted, config.cluster, progress.waiting) as bundles:
                folder = create(path, config)
                quiet_logs(folder.logs / "driver.log")
                progress.note(f"run folder: {folder.path}")
                _live(config, inputs, Team(config, bundles, progress), folder=folder, progress=progress)
        summary = summarise(folder, status="finished", seconds=time.monotonic() - started)
        progress.note(str(summary["headline"]))
        progress.note(f"report: {write_report(folder.path)}")
    return summary


def _live(config: Config, inputs: TrainingInputs, team: Team, *, folder: RunFolder, progress: Progress) -> None:
    """The run on its actors; whatever happens, the files are closed, the logs collected and the report written."""
    watch = ConsistencyWatch(floor=config.reward.consistency_floor, steps=config.reward.consistency_steps)
    recorder = RunRecorder(folder, progress, watch=watch)
    started = time.monotonic()
    try:
        asyncio.run(_run(config, inputs, team, folder=folder, recorder=recorder, progress=progress))
    except BaseException as failure:
        recorder.event("run_failed", f"{type(failure).__name__}: {failure}")
        recorder.close()
        summarise(folder, status=f"failed: {failure or type(failure).__name__}", seconds=time.monotonic() - started)
        write_report(folder.path)
        if isinstance(failure, RunFailed):
            raise RunFailed(f"{failure}; logs and a report of what was done are in {folder.path}") from failure
        raise
    else:
        recorder.close()
    finally:
        collect_logs(team.processes, folder.logs)


async def _run(
    config: Config,
    inputs: TrainingInputs,
    team: Team,
    *,
    folder: RunFolder,
    recorder: RunRecorder,
    progress: Progress,
) -> None:
    await team.start_all(custom_source=inputs.custom_source)
    evidence = evidence_source(config, policy=team.policy, pivot=team.pivot)
    await calibrate_scorers(config, team, evidence, folder=folder, progress=progress)
    with progress.phase("first weight push"):
        await team.learner.push_weights(0)
    if config.evaluation.before:
        record_evaluation(
            folder.evaluation, "before", await evaluate_policy(config, inputs.evaluation, team.policy, progress)
        )
    progress.start_steps(config.algorithm.steps)
    await train_grpo(
        ProblemStream(inputs.source, languages=config.data.languages, seed=config.run.seed),
        stages=stages(config, inputs, team, evidence),
        learner=team.learner,
        recorder=recorder,
        settings=GrpoSettings(
            algorithm=config.algorithm,
            reward=config.reward,
            num_ranks=config.learner.num_ranks,
            row_tokens=config.row_tokens,
            pad_token_id=inputs.evaluation.pad_token_id,
        ),
    )
    if config.evaluation.after:
        record_evaluation(
            folder.evaluation, "after", await evaluate_policy(config, inputs.evaluation, team.policy, progress)
        )
    with progress.phase("exporting the policy"):
        await team.learner.export(str(folder.checkpoints / EXPORT))


async def calibrate_scorers(
    config: Config, team: Team, evidence: EvidenceSource | None, *, folder: RunFolder, progress: Progress
) -> None:
    """Give the scorers their scale, and keep it with the run."""
    asked: Similarities = team.scorer
    if evidence is not None and evidence.translations is not None:
        asked = TranslatedSimilarities(scorers=team.scorer, translations=evidence.translations)
    reasoning, languages = config.reward.reasoning, config.data.languages
    calibration = await calibration_for(reasoning, asked, languages=languages, progress=progress)
    if calibration is not None:
        await team.scorer.use_calibration(calibration)
        folder.calibration.write_text(calibration.to_json(), encoding="utf-8")


def stages(config: Config, inputs: TrainingInputs, team: Team, evidence: EvidenceSource | None) -> Stages:
    """The config's stages on the team's actors."""
    return Stages(
        policy=team.policy,
        references=ReferenceBook(
            pivot=team.pivot,
            prompt=inputs.pivot_prompter.reference_prompt,
            sampling=PivotSampling(
                fingerprint=model_fingerprint(config.pivot.model),
                max_tokens=config.pivot.max_response_tokens,
                temperature=config.pivot.temperature,
                seed=config.run.seed,
            ),
            cache=ReferenceCache(Path(config.pivot.cache) if config.pivot.cache else None),
        ),
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
