"""`train`: train a policy, from a config to report.html; in a folder that holds a run, continue that run.

The order is: check, place, load, push, evaluate, train, evaluate, export, write report.html.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from rich.console import Console as Terminal

from cluster.builds import installed_builds
from cluster.device import place, place_later
from cluster.launch import connected
from cluster.layout import Role, training_roles
from cluster.listening import listening_ports, reachable_from_outside
from cluster.preflight.nodes import check_placed
from cluster.reserve import placed
from cluster.team import Team
from contracts.config.device_defaults import with_device_defaults
from contracts.config.load import load_training_config
from contracts.config.run import Config
from contracts.errors import CheckpointFailed, RunFailed
from contracts.sealed_folder import FileSum
from contracts.waiting import patiently
from driver.commands.assembly import RunOutputs, RunParts, assemble_run, calibrate_scorers
from driver.commands.ending import Ending, end_run
from driver.commands.monitors import attach_monitors
from driver.commands.new_run import print_licence_notes, print_template_notes
from driver.config_paths import loaded_models, training_models, with_absolute_paths
from driver.diagnosis.warnings import reward_notes
from driver.evaluation.during import StepEvaluations
from driver.evaluation.results import Moment, moment_of, read_evaluations, record_evaluation
from driver.evaluation.run import evaluate_policy, journal_of
from driver.export.folder import EXPORT, export_to
from driver.export.hub import check_hub, upload
from driver.export.model_card import write_model_card
from driver.first_start import with_first_start
from driver.inputs import TrainingInputs, prepare_training
from driver.late_pivot import NO_PIVOT, late_roles
from driver.outcome.changes import compare_moments
from driver.outcome.words import gap_in_short, statements
from driver.recipes.loop import Loop
from driver.report.write import write_report
from driver.rollouts.engine_features import engine_feature_source
from driver.run_state.checkpoints import whole_checkpoints
from driver.run_state.grace import grace_note
from driver.run_state.resume import OpenedRun, config_of_last_start, enter_run, open_run
from driver.run_state.stopping import Stopped, StopRequest, stopping_on_sigterm, surviving_sigterm
from driver.sinks.opened import check_sinks
from driver.tracking.consistency import ConsistencyWatch
from driver.tracking.console import Console, quiet_logs
from driver.tracking.live_metrics import beside
from driver.tracking.recorder import RunRecorder
from driver.tracking.run_folder import RunFolder, run_name
from driver.tracking.trace import Trace


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Train, and return the run's summary.

    Raises:
        BadInput: before anything was started or written.
        RunFailed: during the run; what was finished is in the run folder, with a report.html.
    """
    config = load_training_config(arguments.config, arguments.overrides)
    roles = training_roles(config)
    models = training_models(config)
    config, name = with_absolute_paths(config, models=models), run_name(config, arguments.config)
    config = with_first_start(config, loaded_models(config, models), before=config_of_last_start(config, name))
    with Console(Terminal(stderr=arguments.json)) as console:
        with console.phase("checking the run folder"):  # every byte of a checkpoint is read
            opened = open_run(config, name)
        with console.phase("checking data, models and prompts"):
            found = opened.checkpoint
            inputs = prepare_training(config, stream=found.state.open["stream"] if found else None)
            check_hub(config.export)
            check_sinks(config.sinks)
        print_licence_notes(config, console)
        for line in reward_notes(config.reward):
            console.note(line)
        print_template_notes(console, policy=inputs.evaluation.prompter)
        if inputs.pivot_prompter is not inputs.evaluation.prompter:
            print_template_notes(console, pivot=inputs.pivot_prompter)
        with console.phase("looking for references in the cache"):
            late = late_roles(config, inputs, goes_on_from=found.state if found else None)
        is_report_old = _is_report_old(RunFolder(opened.path))
        for note in (*inputs.notes, *opened.notes, *([NO_PIVOT] if late else [])):
            console.note(note)
        with connected(config.cluster, console) as nodes:
            at_once: tuple[Role, ...] = tuple(role for role in roles if role not in late)
            wanted = place(config, nodes, installed_builds(), roles=at_once, console=console)
            late_pivot = place_later(config, nodes, wanted.device, roles=late) if late else None
            config = with_device_defaults(config, wanted.device)
            with placed(wanted, config.cluster, console.waiting) as bundles:
                check_placed(config, bundles, console)
                with enter_run(opened, config) as folder:
                    quiet_logs(folder.logs / "driver.log")
                    console.note(f"run folder: {folder.path}")
                    if is_report_old:
                        _renew_report(folder, console)
                    if note := grace_note(config, folder.checkpoints):
                        console.note(note)
                    team = partial(Team, config, bundles, console, folder=folder.path, late_pivot=late_pivot)
                    try:
                        summary = _run_actors(config, inputs, team, opened=opened, folder=folder, console=console)
                    except KeyboardInterrupt:  # also a second one, while the end of the run is written
                        console.note(f"logs and a report of what was done are in {folder.path}")
                        console.note(_how_to_continue(folder))
                        raise
        console.note(str(summary["headline"]))
        if summary["status"] == "stopped":
            console.note(_how_to_continue(folder))
        console.note(f"report: {summary['report']}")
    return summary


def _is_report_old(folder: RunFolder) -> bool:
    """Return whether the report is of an earlier end than the last: the run was killed before it wrote a summary."""
    return folder.report.exists() and not folder.summary.exists()


def _renew_report(folder: RunFolder, console: Console) -> None:
    """Write the report of the run so far."""
    renewed = Ending()
    renewed.attempt(folder.report.name, lambda: write_report(folder.path))
    for problem in renewed.problems:
        console.note(problem)


def _run_actors(
    config: Config,
    inputs: TrainingInputs,
    new_team: Callable[..., Team],
    *,
    opened: OpenedRun,
    folder: RunFolder,
    console: Console,
) -> dict[str, object]:
    """Make the run on its actors, and return its summary, with the status "finished" or "stopped".

    `new_team` takes what is told of every change of a worker (`on_event`).
    Whatever happens, files are closed, logs are collected and report.html is written; also after a second SIGTERM.

    Raises:
        RunFailed: an actor failed for good, or a file of the run could not be written.
    """
    watch = ConsistencyWatch(floor=config.reward.consistency_floor, steps=config.reward.consistency_steps)
    recorder = RunRecorder(folder, console, watch=watch, trace=Trace(folder.trace, config.trace.steps))
    outputs = RunOutputs(folder=folder, recorder=recorder, checkpoint=opened.checkpoint)
    team = new_team(on_event=recorder.worker_changed)
    team.on_answer = recorder.trace.answered
    started, stop = time.monotonic(), StopRequest()
    failure: BaseException | None = None
    with surviving_sigterm(stop):
        try:
            running = _run(config, inputs, team, outputs=outputs, stop=stop, console=console)
            status = asyncio.run(beside(running, *attach_monitors(config, team, outputs)))
        except BaseException as caught:  # noqa: BLE001 - raised again below, when the end of the run is written
            failure, status = caught, f"failed: {str(caught) or type(caught).__name__}"
        seconds = time.monotonic() - started
        ending = end_run(folder, recorder, team.processes, status=status, seconds=seconds, failure=failure)
    where = _where_to_look(folder, ending)
    if isinstance(failure, RunFailed | OSError):
        raise RunFailed(f"{failure}; {where}", key=getattr(failure, "key", "")) from failure
    if failure is not None:
        raise failure
    if ending.problems:
        raise RunFailed(f"the run is {status}, but its end is not whole: {where}", key=ending.problems[0].split()[0])
    return ending.summary


def _where_to_look(folder: RunFolder, ending: Ending) -> str:
    """Return where a person finds what was done, and what could not be written there."""
    if ending.problems:
        return (
            f"{'; '.join(ending.problems)} (in {folder.path}). If the disk is full, free some space. Then start the "
            "run again, or write its report with `report`"
        )
    return f"logs and a report of what was done are in {folder.path}"


def _how_to_continue(folder: RunFolder) -> str:
    """Return what a person has to do to continue a run that ended early."""
    if not whole_checkpoints(folder.checkpoints):
        return "The run can't be continued: it has no checkpoint."
    return f"To continue: run the same command with run.name={folder.path.name}"


async def _run(
    config: Config, inputs: TrainingInputs, team: Team, *, outputs: RunOutputs, stop: StopRequest, console: Console
) -> str:
    """Run from the first actor to the export; return "finished", or "stopped" where the run was asked to stop."""
    with stopping_on_sigterm(
        stop,
        grace_s=config.checkpoint.grace_s,
        last_work="finishing this step and saving a checkpoint",
        on_signal=outputs.recorder.note,
    ):
        evaluations: StepEvaluations | None = None
        try:
            starting = team.start_all(custom_source=inputs.custom_source, on_memory=outputs.recorder.memory_seen)
            await stop.before(starting)
            engine_features = engine_feature_source(config, policy=team.policy, pivot=team.pivot)
            await stop.before(calibrate_scorers(config, team, engine_features, outputs=outputs, console=console))
            parts = assemble_run(config, inputs, team, engine_features, outputs=outputs, stop=stop)
            parts.loop.evaluations = evaluations = StepEvaluations(
                settings=config.evaluation,
                last_step=config.algorithm.steps,
                measure=partial(_evaluate, config, inputs, team, folder=outputs.folder, console=console),
                push=partial(_push_for_evaluation, team, parts.loop) if config.algorithm.name == "sft" else None,
            )
            await _begin(config, inputs, team, parts, outputs=outputs, console=console)
            if not await _train(parts, outputs=outputs):
                return "stopped"
            await stop.before(evaluations.finished())
            await _end(config, inputs, team, parts, outputs=outputs, console=console)
            return "finished"
        except Stopped:  # before the first step or after the last: no checkpoint is missing anything
            return "stopped"
        finally:
            if evaluations is not None:
                await evaluations.cancel()
            await team.close()


async def _begin(
    config: Config, inputs: TrainingInputs, team: Team, parts: RunParts, *, outputs: RunOutputs, console: Console
) -> None:
    """Load the learner where the run continues, push its weights, and evaluate the policy before training."""
    if outputs.checkpoint is not None:
        with console.phase(f"loading {outputs.checkpoint.path.name}"):
            loading = team.learner.load(str(outputs.checkpoint.learner))
            await patiently(loading, "the learner to load", on_wait=console.waiting)
    with console.phase("first weight push"):
        pushing = team.learner.push_weights(parts.loop.position.policy_version)
        await patiently(pushing, "the weight push", on_wait=console.waiting)
    if line := reachable_from_outside(listening_ports(os.getpid())):  # by now everything listens that ever will
        console.note(line)
    is_untrained = parts.loop.position.step == 0
    if config.evaluation.before and is_untrained and "before" not in read_evaluations(outputs.folder.evaluation):
        with suppress(Stopped):  # the loop sees the same request, and writes a checkpoint
            await parts.loop.stop.before(
                _evaluate(config, inputs, team, "before", folder=outputs.folder, console=console)
            )
    if moment_of(parts.loop.position.step) not in read_evaluations(outputs.folder.evaluation):
        await parts.loop.evaluations.after_step(
            parts.loop.position.step
        )  # an earlier start may have been stopped in it
    console.start_steps(config.algorithm.steps, done=parts.loop.position.step)


async def _train(parts: RunParts, *, outputs: RunOutputs) -> bool:
    """Make all steps; return False where the run was asked to stop first, with a checkpoint of its last step.

    Raises:
        RunFailed: a failure that the run can't recover from, after a checkpoint of the last finished step where the
            learner still has it; or the run was asked to stop, and the checkpoint could not be written.
    """
    loop, buffer = parts.loop, parts.buffer
    try:
        await _train_or_save(parts, outputs=outputs)
        if loop.stop.is_asked:
            return False
        outputs.recorder.dropped(await buffer.close(), step=loop.position.step + 1)
        return True
    finally:
        await buffer.close()


async def _train_or_save(parts: RunParts, *, outputs: RunOutputs) -> None:
    """Run the recipe; where it fails or is asked to stop, write a checkpoint of the last finished step."""
    loop = parts.loop
    try:
        await parts.recovery.train(parts.recipe)
    except Stopped:
        pass
    except (RunFailed, OSError):
        await _save_before_failing(parts, outputs=outputs)
        raise
    if loop.stop.is_asked:
        outputs.recorder.event("stopped", f"after step {loop.position.step}")
        if not await parts.checkpointer.save_if_lacking(loop.position):
            raise RunFailed("the run was asked to stop, but its checkpoint could not be written", key="checkpoint")


async def _save_before_failing(parts: RunParts, *, outputs: RunOutputs) -> None:
    """Finish what is being written, and save the last finished step before the run fails.

    Where the learner itself failed there is nothing to save; the user sees the first failure.
    """
    try:
        await parts.checkpointer.settle()
        if parts.loop.is_between_steps:
            await parts.checkpointer.save_if_lacking(parts.loop.position)
    except RunFailed as failure:
        outputs.recorder.event("checkpoint_failed", str(failure))


async def _end(
    config: Config, inputs: TrainingInputs, team: Team, parts: RunParts, *, outputs: RunOutputs, console: Console
) -> None:
    """Evaluate the policy after training, and export it."""
    if config.evaluation.after:
        if config.algorithm.name == "sft":
            await _push_for_evaluation(team, parts.loop)
        evaluating = _evaluate(config, inputs, team, "after", folder=outputs.folder, console=console)
        await parts.loop.stop.before(evaluating)
    await _export(config, inputs, team, step=parts.loop.position.step, folder=outputs.folder, console=console)


async def _push_for_evaluation(team: Team, loop: Loop) -> None:
    """Send the weights to the policy workers where training itself sends none."""
    loop.last_version += 1
    await team.learner.push_weights(loop.last_version)


async def _evaluate(
    config: Config, inputs: TrainingInputs, team: Team, moment: Moment, *, folder: RunFolder, console: Console
) -> None:
    place = folder.evaluations / moment
    journal_of(place).unlink(missing_ok=True)  # an earlier start's weights may have been others
    result = await evaluate_policy(
        config, inputs.evaluation, team.policy, console, place=place, trained=config.data.languages
    )
    record_evaluation(folder.evaluation, moment, result)
    journal_of(place).unlink()
    for task in compare_moments({moment: result})[:1]:  # the others are in the report
        console.measured(statements(task)[0].text, short=gap_in_short(task))


async def _export(
    config: Config, inputs: TrainingInputs, team: Team, *, step: int, folder: RunFolder, console: Console
) -> None:
    """Export the policy, with its card, and upload it where the config asks for it."""
    export = folder.checkpoints / EXPORT

    async def write(aside: Path) -> Mapping[str, FileSum]:
        sums = await patiently(team.learner.export(str(aside)), "the export", on_wait=console.waiting)
        write_model_card(aside, config, folder=folder, problem_counts=inputs.source.counts)
        return sums

    try:
        with console.phase("exporting the policy"):
            await export_to(export, write, run=folder.path.name, step=step)
    except (CheckpointFailed, OSError) as failure:
        raise RunFailed(f"the trained policy could not be exported: {failure}", key="export") from failure
    if config.export.hub_repo:
        with console.phase(f"uploading the policy to {config.export.hub_repo}"):
            url = await asyncio.to_thread(upload, export, config.export)
        console.note(f"uploaded: {url}")
