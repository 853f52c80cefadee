"""`train`: a whole run, from a config to a report; on a folder that holds a run, the rest of that run.

Owns the order of a run's life: check, place, load, push, evaluate, train, evaluate, export, report. What a step is, is
the recipe's matter; who the actors are, the team's.
"""

import argparse
import asyncio
import time
from contextlib import suppress

from rich.console import Console as Terminal

from cluster.launch import Bundles, collect_logs, connected, placed
from cluster.layout import check_device, choose_device, layout, training_roles
from cluster.team import Team
from contracts.config.load import load_config
from contracts.config.run import Config
from contracts.errors import CheckpointFailed, RunFailed
from contracts.waiting import patiently
from driver.commands.assembly import Kept, RunParts, calibrate_scorers, prepare_course
from driver.config_paths import with_absolute_paths
from driver.evaluation.measure import Moment, read_evaluations, record_evaluation
from driver.evaluation.run import evaluate_policy
from driver.export.hub import check_hub, upload
from driver.export.model_card import write_model_card
from driver.inputs import TrainingInputs, licence_notes, prepare_training
from driver.report.write import write_report
from driver.rollouts.engine_features import engine_feature_source
from driver.run_state.checkpoints import whole_checkpoints
from driver.run_state.resume import OpenedRun, enter_run, open_run
from driver.run_state.stopping import Stopped, StopRequest, stopping_on_sigterm
from driver.tracking.consistency import ConsistencyWatch
from driver.tracking.console import Console
from driver.tracking.logs import quiet_logs
from driver.tracking.recorder import RunRecorder
from driver.tracking.run_folder import RunFolder, run_name
from driver.tracking.summary import summarise

EXPORT = "final"
"""Folder under checkpoints/ with the trained policy, as transformers and vLLM load it."""


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Train; the run's summary.

    Raises:
        BadInput: before anything was started or written.
        RunFailed: on the way; what was finished is in the run folder, with a report of it.
    """
    started = time.monotonic()
    config = load_config(arguments.config, arguments.overrides)
    roles = training_roles(config)
    config = with_absolute_paths(config, models=("policy", *(role for role in ("pivot", "scorer") if role in roles)))
    with Console(Terminal(stderr=arguments.json)) as console:
        with console.phase("looking at the run folder"):  # every byte of a checkpoint is read
            opened = open_run(config, run_name(config, arguments.config))
        with console.phase("checking data, models and prompts"):
            found = opened.checkpoint
            inputs = prepare_training(config, stream=found.state.open["stream"] if found else None)
            check_hub(config.export)
        for note in (*licence_notes(config), *opened.notes):
            console.note(note)
        with connected(config.cluster, console) as cluster:
            device = choose_device(config, cluster)
            check_device(config, device)
            wanted = layout(config, device, roles=roles)
            with (
                placed(wanted, config.cluster, console.waiting) as bundles,
                enter_run(opened, config) as folder,
            ):
                quiet_logs(folder.logs / "driver.log")
                console.note(f"run folder: {folder.path}")
                status = _live(config, inputs, bundles, opened=opened, folder=folder, console=console)
                summary = summarise(folder, status=status, seconds=time.monotonic() - started)
        console.note(str(summary["headline"]))
        if status == "stopped":
            console.note(_how_to_go_on(folder))
        console.note(f"report: {write_report(folder.path)}")
    return summary


def _live(
    config: Config,
    inputs: TrainingInputs,
    bundles: Bundles,
    *,
    opened: OpenedRun,
    folder: RunFolder,
    console: Console,
) -> str:
    """The run on its actors, and how it ended; whatever happens, the files are closed, the logs collected and the
    report written.

    Raises:
        RunFailed: an actor failed for good, or a file of the run could not be written.
    """
    watch = ConsistencyWatch(floor=config.reward.consistency_floor, steps=config.reward.consistency_steps)
    recorder = RunRecorder(folder, console, watch=watch)
    kept = Kept(folder=folder, recorder=recorder, checkpoint=opened.checkpoint)
    team = Team(config, bundles, console, report=recorder.worker_changed)
    started = time.monotonic()
    try:
        status = asyncio.run(_run(config, inputs, team, kept=kept, console=console))
        collect_logs(team.processes, folder.logs)
        recorder.close()
    except BaseException as failure:
        where = _write_down(failure, kept, team, seconds=time.monotonic() - started)
        if isinstance(failure, RunFailed | OSError):
            raise RunFailed(f"{failure}; {where}") from failure
        if isinstance(failure, KeyboardInterrupt):
            console.note(f"{where}; {_how_to_go_on(folder)}")
        raise
    return status


def _how_to_go_on(folder: RunFolder) -> str:
    """Said to a person whose run ended early and whole."""
    if not whole_checkpoints(folder.checkpoints):
        return "there is no checkpoint to go on from"
    return f"to go on: the same command with run.name={folder.path.name}"


def _write_down(failure: BaseException, kept: Kept, team: Team, *, seconds: float) -> str:
    """The end of a run that failed, in its folder; what a person is told of where to look. Never raises for a disk
    that is full: the failure itself is what must be told."""
    folder = kept.folder
    try:
        kept.recorder.event("run_failed", f"{type(failure).__name__}: {failure}")
        kept.recorder.close()
        summarise(folder, status=f"failed: {str(failure) or type(failure).__name__}", seconds=seconds)
        collect_logs(team.processes, folder.logs)
        write_report(folder.path)
    except OSError as error:
        return f"{folder.path} could not be written to the end ({error}): make room, and start it again"
    return f"logs and a report of what was done are in {folder.path}"


async def _run(config: Config, inputs: TrainingInputs, team: Team, *, kept: Kept, console: Console) -> str:
    """From the first actor to the export; "finished", or "stopped" where the run was asked to."""
    stop = StopRequest()
    with stopping_on_sigterm(stop, grace_s=config.checkpoint.grace_s, said=kept.recorder.note):
        try:
            await stop.before(team.start_all(custom_source=inputs.custom_source))
            engine_features = engine_feature_source(config, policy=team.policy, pivot=team.pivot)
            await stop.before(calibrate_scorers(config, team, engine_features, kept=kept, console=console))
            course = prepare_course(config, inputs, team, engine_features, kept=kept, stop=stop)
            await _begin(config, inputs, team, course, kept=kept, console=console)
            if not await _train(course, kept=kept):
                return "stopped"
            await _end(config, inputs, team, course, kept=kept, console=console)
            return "finished"
        except Stopped:  # before the first step or after the last: there is nothing that a checkpoint lacks
            return "stopped"
        finally:
            await team.close()


async def _begin(
    config: Config, inputs: TrainingInputs, team: Team, course: RunParts, *, kept: Kept, console: Console
) -> None:
    """The learner where the run goes on, its weights on the policy workers, and what the policy can do before."""
    if kept.checkpoint is not None:
        with console.phase(f"loading {kept.checkpoint.path.name}"):
            loading = team.learner.load(str(kept.checkpoint.learner))
            await patiently(loading, "the learner to load", on_wait=console.waiting)
    with console.phase("first weight push"):
        pushing = team.learner.push_weights(course.loop.position.policy_version)
        await patiently(pushing, "the weight push", on_wait=console.waiting)
    if config.evaluation.before and "before" not in read_evaluations(kept.folder.evaluation):
        with suppress(Stopped):  # the loop hears of it too, and writes a checkpoint
            await course.loop.stop.before(
                _evaluate("before", config, inputs, team, folder=kept.folder, console=console)
            )
    console.start_steps(config.algorithm.steps, done=course.loop.position.step)


async def _train(course: RunParts, *, kept: Kept) -> bool:
    """All steps; whether they were made, or the run was asked to stop, and has a checkpoint of where it stands.

    Raises:
        RunFailed: what can't be outlived, with a checkpoint of the last finished step where the learner still has it;
            or the run was asked to stop, and the checkpoint could not be written.
    """
    loop, buffer = course.loop, course.buffer
    try:
        await _train_or_save(course, kept=kept)
        if loop.stop.is_asked:
            return False
        kept.recorder.dropped(await buffer.close(), step=loop.position.step + 1)
        return True
    finally:
        await buffer.close()


async def _train_or_save(course: RunParts, *, kept: Kept) -> None:
    """The recipe; where it ends early or is asked to, a checkpoint of the last finished step."""
    loop = course.loop
    try:
        await course.recovery.train(course.recipe)
    except Stopped:
        pass
    except RunFailed:
        if loop.is_between_steps:
            await _save_what_stands(course, kept=kept)
        raise
    if loop.stop.is_asked:
        kept.recorder.event("stopped", f"after step {loop.position.step}")
        if not await course.checkpointer.save_if_lacking(loop.position):
            raise RunFailed("the run was asked to stop, and its checkpoint could not be written")


async def _save_what_stands(course: RunParts, *, kept: Kept) -> None:
    """Before a run ends badly. Where the learner is what failed there is nothing to save; the first failure is told."""
    try:
        await course.checkpointer.save_if_lacking(course.loop.position)
    except RunFailed as failure:
        kept.recorder.event("checkpoint_failed", str(failure))


async def _end(
    config: Config, inputs: TrainingInputs, team: Team, course: RunParts, *, kept: Kept, console: Console
) -> None:
    """What the policy can do now, and the policy itself."""
    if config.evaluation.after:
        if config.algorithm.name == "sft":  # which has no use for fresh weights before
            await team.learner.push_weights(course.loop.last_version + 1)
        evaluating = _evaluate("after", config, inputs, team, folder=kept.folder, console=console)
        await course.loop.stop.before(evaluating)
    await _export(config, inputs, team, folder=kept.folder, console=console)


async def _evaluate(
    moment: Moment, config: Config, inputs: TrainingInputs, team: Team, *, folder: RunFolder, console: Console
) -> None:
    result = await evaluate_policy(config, inputs.evaluation, team.policy, console)
    record_evaluation(folder.evaluation, moment, result)


async def _export(config: Config, inputs: TrainingInputs, team: Team, *, folder: RunFolder, console: Console) -> None:
    export = folder.checkpoints / EXPORT
    try:
        with console.phase("exporting the policy"):
            await patiently(team.learner.export(str(export)), "the export", on_wait=console.waiting)
    except CheckpointFailed as failure:
        raise RunFailed(f"the trained policy could not be exported: {failure}") from failure
    write_model_card(export, config, folder=folder, problem_counts=inputs.source.counts)
    if config.export.hub_repo:
        with console.phase(f"uploading the policy to {config.export.hub_repo}"):
            url = await asyncio.to_thread(upload, export, config.export)
        console.note(f"uploaded: {url}")
