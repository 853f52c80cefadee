"""`evaluate`: measure models on tasks or on problems with known answers, language by language.

Starts policy workers only, one model after the other. With the run.name of an evaluation that was killed it goes on
where that one stopped: finished models are kept, and of the others the answered items.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from cluster.layout import Layout
from cluster.team import Team
from contracts.config.device_defaults import with_device_defaults
from contracts.config.load import check_run_format, load_run_config
from contracts.config.run import Config
from contracts.errors import BadInput
from contracts.paths import ROOT
from driver.commands.named_models import NamedModel, distinct, named_model, of_config
from driver.commands.new_run import NewRun, new_run, print_template_notes
from driver.evaluation.inputs import EvaluationInputs, prepare_evaluation
from driver.evaluation.record import JSON, ModelResult, by_model, read_record, write_record
from driver.evaluation.results import EvaluationResult, record_evaluation
from driver.evaluation.run import evaluate_policy, journal_of
from driver.evaluation.tables import as_tables
from driver.first_start import with_first_start
from driver.report.write import REPORT, write_report
from driver.tracking.run_folder import sole_writer
from driver.tracking.summary import by_language

DEFAULT_CONFIG = ROOT / "configs" / "evaluate.toml"
"""Config of an evaluation of models that are no runs, where none is given."""


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Evaluate the models, and return the summary of what was measured.

    Raises:
        BadInput: before anything was started or written.
        RunFailed: an engine could not load a model, or died.
    """
    models = distinct([named_model(word) for word in arguments.models])
    _choose_config(arguments, models)
    arguments.overrides += _overrides(arguments, models)
    is_named = any(override.startswith("run.name=") for override in arguments.overrides)
    change = _as_it_is if is_named or not models else _without_run_name
    with new_run(arguments, "evaluate", role="policy", change=change, continues=JSON) as command:
        wanted = models or [of_config(command.config.policy.model)]
        configs = {model.name: _config_of(command.config, model) for model in wanted}
        with command.console.phase("checking data, models and prompts"):
            inputs = {name: prepare_evaluation(config) for name, config in configs.items()}
        for found in inputs.values():
            print_template_notes(command.console, policy=found.prompter)
        for note in dict.fromkeys(note for found in inputs.values() for note in found.plan.notes):
            command.console.note(note)
        done = {name: found for name, found in read_record(command.path).items() if name in configs}
        _check_same(done, inputs)
        with command.cluster() as layout, sole_writer(command.folder.path):
            name = command.folder.path.name
            command.console.note(f"folder: {command.path}; if it stops, the same command with run.name={name} goes on")
            write_record(command.path, done)
            for model in wanted:
                if model.name not in done:
                    trained = _trained(model, command.config, has_config=arguments.has_config or not models)
                    done[model.name] = _evaluate(
                        command, layout, model, configs[model.name], inputs[model.name], trained=trained
                    )
                    write_record(command.path, {name: done[name] for name in configs if name in done})
                journal_of(command.folder.evaluations / model.slug).unlink(missing_ok=True)
            record_evaluation(command.folder.evaluation, "before", done[wanted[0].name].result)
    for table in as_tables(by_model(done)):
        command.terminal.print(table)
    summary = command.finish({**_summary(done, wanted[0]), "report": str(command.path / REPORT)})
    command.terminal.print(f"report: {write_report(command.path)}", soft_wrap=True)
    return summary


def _choose_config(arguments: argparse.Namespace, models: list[NamedModel]) -> None:
    """Choose the config where none is given: that of the first run among the models, or the default for models."""
    if arguments.has_config or not models:
        return
    run = next((model.run for model in models if model.run is not None), None)
    if run is not None:
        check_run_format(run.config)
    arguments.config = run.config if run is not None else DEFAULT_CONFIG


def _overrides(arguments: argparse.Namespace, models: list[NamedModel]) -> list[str]:
    """Return the overrides that flags and models stand for.

    Raises:
        BadInput: a flag names nothing, or a folder of --data is no folder.
    """
    found = [f"policy.model={json.dumps(models[0].model)}"] if models else []
    if arguments.tasks is not None:
        found.append(f"evaluation.tasks={json.dumps(_listed('--tasks', arguments.tasks))}")
    if arguments.languages is not None:
        languages = _listed("--languages", arguments.languages)
        found.append(f"evaluation.languages={json.dumps('all' if languages == ['all'] else languages)}")
    elif arguments.tasks is not None and not arguments.has_config:
        found.append('evaluation.languages="all"')
    if arguments.items is not None:
        found.append(f"evaluation.max_items={arguments.items}")
    paths = {}
    for word in arguments.data:
        task, named, folder = word.rpartition("=")
        if not folder or (named and not task):
            raise BadInput(f"--data {word!r}: write a FOLDER, or TASK=FOLDER", key="--data")
        here = Path(folder).expanduser().resolve()  # a word of the command line starts at the current folder
        if not here.exists():
            raise BadInput(f"--data {word}: there is no {here}", key="--data")
        if named:
            paths[task] = str(here)
        else:
            found.append(f"evaluation.data_folder={json.dumps(str(here))}")
    if paths:
        table = ", ".join(f"{json.dumps(task)} = {json.dumps(folder)}" for task, folder in paths.items())
        found.append(f"evaluation.paths={{{table}}}")
    return found


def _listed(flag: str, text: str) -> list[str]:
    """Return the names of a flag, which commas separate.

    Raises:
        BadInput: a name is empty.
    """
    names = [name.strip() for name in text.split(",")]
    if "" in names:
        raise BadInput(f"{flag} {text!r}: a name is empty; write names with commas between them", key=flag)
    return names


def _as_it_is(config: Config) -> Config:
    return config


def _without_run_name(config: Config) -> Config:
    """Return the config of an evaluated run without that run's name: the evaluation has a folder of its own."""
    return config.model_copy(update={"run": config.run.model_copy(update={"name": None})})


def _config_of(config: Config, model: NamedModel) -> Config:
    """Return the config for one of the models, pinned to a commit where it is on the hub."""
    policy = config.policy.model_copy(update={"model": model.model})
    if model.model == config.policy.model:
        return config
    return with_first_start(config.model_copy(update={"policy": policy}), ("policy",))


def _check_same(done: dict[str, ModelResult], inputs: dict[str, EvaluationInputs]) -> None:
    """Check that what the folder holds are results of the same evaluation.

    Raises:
        BadInput: tasks, items, model or settings were others.
    """
    for name, found in done.items():
        if found.digest != inputs[name].plan.digest:
            raise BadInput(
                f"the folder holds results of {name} on other tasks, items or settings; choose another run.name",
                key="run.name",
            )


def _trained(model: NamedModel, config: Config, *, has_config: bool) -> tuple[str, ...]:
    """Return the languages that a model's training saw: those of its run, or of a config that was named for it."""
    if model.run is not None:
        return load_run_config(model.run.config).data.languages
    return config.data.languages if has_config else ()


def _evaluate(
    command: NewRun,
    layout: Layout,
    model: NamedModel,
    config: Config,
    inputs: EvaluationInputs,
    *,
    trained: tuple[str, ...],
) -> ModelResult:
    """Return the results of one model, on workers of its own."""
    config = with_device_defaults(config, layout.device)

    async def measure(team: Team) -> EvaluationResult:
        await team.start_frozen_policy()
        place = command.folder.evaluations / model.slug
        return await evaluate_policy(config, inputs, team.policy, command.console, place=place, trained=trained)

    result = command.on_team(layout, measure, config=config)
    return ModelResult(name=model.name, digest=inputs.plan.digest, result=result)


def _summary(done: dict[str, ModelResult], first: NamedModel) -> dict[str, object]:
    result = done[first.name].result
    return {
        "measured_on": dict(result.measured_on),
        "languages": by_language(result),
        "models": {
            name: {one.task: by_language(replace(one, more=())) for one in (found.result, *found.result.more)}
            for name, found in done.items()
        },
    }
