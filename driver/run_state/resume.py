"""Continue the run that a folder holds, or refuse it in one line that says why.

    opened = open_run(config, name)                    reads, and changes nothing
    with enter_run(opened, config) as folder: ...      removes the steps after the one that the run goes on from

What may differ between two starts of one run is decided here. A run never starts anew because its checkpoints, or its
record, are missing: it is refused, and its folder stays as it is.
"""

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from contracts.config.keys import may_change, sections
from contracts.config.load import load_run_config
from contracts.config.run import Config
from contracts.errors import BadInput
from contracts.files import make_folder, write_whole
from contracts.user_files import read_user_json
from driver.evaluation.results import step_of
from driver.run_state.checkpoints import WITHOUT_RECORD, FoundCheckpoint, find_checkpoint, set_aside_later
from driver.run_state.lost_checkpoints import checkpoints_there, refuse_lost_checkpoints
from driver.run_state.model_fingerprints import run_fingerprints
from driver.tracking.coverage import Coverage, coverage
from driver.tracking.line_logs import Event, EventLog
from driver.tracking.run_folder import (
    RunFolder,
    check_place,
    create,
    cut_record,
    holds_something,
    keep_record,
    sole_writer,
)
from driver.tracking.samples_file import DAMAGED

_GLOB_CHARACTERS = "*?["


@dataclass(frozen=True, kw_only=True)
class OpenedRun:
    """Hold a folder that a run may start in, and the step that the run goes on from."""

    path: Path
    is_new: bool
    checkpoint: FoundCheckpoint | None = None  # None: from the first step
    covered: int = 0  # the last step that the record has whole
    keeps_record: bool = False  # the record of a run without a checkpoint is copied before it starts anew
    notes: tuple[str, ...] = ()  # for a person
    seen: tuple[object, ...] = ()  # how far the run was when the folder was read

    @property
    def step(self) -> int:
        """Return the last finished step; 0 at the start."""
        return self.checkpoint.state.step if self.checkpoint else 0


def config_of_last_start(config: Config, name: str) -> Config | None:
    """Return the config that the run in the folder was last started with; None for a new run, or an unreadable one.

    Nothing is refused here: `open_run` says what is wrong with a folder.
    """
    try:
        return _config_before(RunFolder(Path(config.run.folder) / name))
    except BadInput:
        return None


def open_run(config: Config, name: str) -> OpenedRun:
    """Return what the folder holds, after every file of the newest checkpoint was read and compared.

    Raises:
        BadInput: the run is finished, still going, of another config, or can't be continued.
    """
    path = check_place(config, name)
    if config.checkpoint.every_steps != "off" and (wrong := [sign for sign in _GLOB_CHARACTERS if sign in str(path)]):
        raise BadInput(
            f"{path} contains {wrong[0]!r}, and DeepSpeed can't load a checkpoint from such a path; choose another "
            "run.name or run.folder",
            key="run.name",
        )
    if not holds_something(path):
        return OpenedRun(path=path, is_new=True)
    with sole_writer(path):
        return _continued(RunFolder(path), config)


@contextmanager
def enter_run(opened: OpenedRun, config: Config) -> Iterator[RunFolder]:
    """Lock the folder, new or without the steps after the one that the run goes on from, while the body runs.

    Later steps are removed from metrics, samples and events; events of the run itself (a failure, a restart) stay. A
    kill in between loses nothing: the next start does the same again. `config` is the opened one, with the defaults of
    its device.

    Raises:
        BadInput: another process has used the folder since it was opened.
    """
    folder = RunFolder(opened.path)
    make_folder(folder.path)
    with sole_writer(folder.path):
        if opened.is_new and holds_something(folder.path):
            raise BadInput(
                f"another process has just started a run in {folder.path}; choose another run.name", key="run.name"
            )
        if not opened.is_new:
            if _how_far(folder) != opened.seen:
                raise BadInput(
                    f"another process has just continued {folder.path}; wait until it ends, then start again",
                    key="run.name",
                )
            changed = _changes(_config_before(folder), config)
            _cut_back(folder, opened, changed=changed.values())
            if changed:
                _keep_old_config(folder)
        create(folder.path, config)
        yield folder


def _continued(folder: RunFolder, config: Config) -> OpenedRun:
    """Return how the run of an existing folder can be continued.

    Raises:
        BadInput: it can't be.
    """
    path, asked = folder.path, config.algorithm.steps
    before = _config_before(folder)
    changed = _changes(before, config)
    status = _status(folder)
    whole = checkpoints_there(folder)
    record = coverage(folder)
    num_steps = record.last_step
    if num_steps or whole:  # else there is nothing yet that a change could spoil
        _refuse_another_run(path, changed)
    if status == "finished" and asked <= record.step:
        raise BadInput(
            f"the run in {path} is finished, with {num_steps} steps; raise algorithm.steps to continue it, or choose "
            "another run.name",
            key="algorithm.steps",
        )
    if num_steps and not whole and (status == "finished" or before.checkpoint.every_steps == "off"):
        raise BadInput(
            f"the run in {path} has {num_steps} steps and no checkpoint (checkpoint.every_steps was "
            f"{before.checkpoint.every_steps}), so it can't be continued; choose another run.name, or remove it",
            key="checkpoint.every_steps",
        )
    if not whole:
        refuse_lost_checkpoints(folder)
    dropped = _without_record(folder, whole, record, config.checkpoint.on_damage)
    checkpoint = find_checkpoint(
        folder.checkpoints,
        fingerprints=run_fingerprints(config),
        on_damage=config.checkpoint.on_damage,
        up_to=record.step,
    )
    if checkpoint is not None and checkpoint.state.step > asked:
        raise BadInput(
            f"{path} has a checkpoint of step {checkpoint.state.step}, and algorithm.steps is {asked}; raise "
            "algorithm.steps, or choose another run.name",
            key="algorithm.steps",
        )
    return OpenedRun(
        path=path,
        is_new=False,
        checkpoint=checkpoint,
        covered=record.step,
        keeps_record=checkpoint is None and num_steps > 0,
        notes=(*dropped, *_notes(checkpoint, num_steps=num_steps)),
        seen=_how_far(folder),
    )


def _without_record(folder: RunFolder, whole: Mapping[int, Path], record: Coverage, on_damage: str) -> tuple[str, ...]:
    """Return a note that names the checkpoints that are newer than the record: the run can't go on from them.

    Raises:
        BadInput: all of them are, or one is and `on_damage` is "stop".
    """
    newer = [path.name for step, path in sorted(whole.items()) if step > record.step]
    if not newer:
        return ()
    what = f"the record of {folder.path} is whole up to step {record.step} only ({record.lack})"
    if len(newer) == len(whole):
        raise BadInput(
            f"{what}, and every checkpoint is newer ({', '.join(newer)}); put a copy of {record.file} back, or choose "
            "another run.name",
            key=record.file,
        )
    if on_damage == "stop":
        raise BadInput(
            f'{what}, and {newer[0]} is newer; set checkpoint.on_damage to "previous" to go on from one before',
            key=record.file,
        )
    return (f"{what}: not used, and kept with the ending {WITHOUT_RECORD}: {', '.join(newer)}",)


def _how_far(folder: RunFolder) -> tuple[object, ...]:
    """Return a value that changes with every start and every step of the run."""
    files = (folder.metrics, folder.events, folder.summary)
    return (
        *((path.stat().st_size, path.stat().st_mtime_ns) if path.exists() else None for path in files),
        tuple(sorted(checkpoints_there(folder))),
    )


def _notes(checkpoint: FoundCheckpoint | None, *, num_steps: int) -> tuple[str, ...]:
    """Return what a person should know about how the run goes on."""
    if checkpoint is None:
        lost = (
            f": it had no checkpoint yet, and its {num_steps} step{'s are' if num_steps > 1 else ' is'} done again; a "
            "copy of its record is kept"
        )
        return (f"the run starts from the beginning{lost if num_steps else ''}",)
    redone = num_steps - checkpoint.state.step
    again = f"; {redone} later step{'s are' if redone > 1 else ' is'} done again" if redone > 0 else ""
    goes_on = f"the run goes on after step {checkpoint.state.step}, from {checkpoint.path.name}{again}"
    return (*checkpoint.notes, goes_on)


# --- the config ---------------------------------------------------------------------------------------------------


def _config_before(folder: RunFolder) -> Config:
    """Return the config of the run's last start.

    Raises:
        BadInput: there is none, or it can't be read.
    """
    if not folder.config.exists():
        raise BadInput(
            f"{folder.path} holds files but no {folder.config.name}, so no run can be continued there; choose another "
            "run.name, or remove the folder",
            key=folder.config.name,
        )
    missing = _missing_sections(folder.config)
    kept = ", ".join(sorted(path.name for path in folder.path.glob("config.*.toml")))
    way_out = f"put a copy of it back{f' (of earlier starts there are {kept})' if kept else ''}, and the run goes on"
    try:
        before = load_run_config(folder.config)
    except BadInput as error:
        if error.key in missing:
            raise BadInput(f"{folder.config} is cut off: {error}; {way_out}", key=folder.config.name) from None
        raise BadInput(
            f"the run in {folder.path} can't be continued by this version of the project: {error}; if the file is "
            f"damaged, {way_out}",
            key=error.key,
        ) from None
    if missing:
        raise BadInput(f"{folder.config} is cut off: it has no section {missing[0]}; {way_out}", key=folder.config.name)
    return before


def _missing_sections(path: Path) -> list[str]:
    """Return the sections that a config of a run lacks: a run writes all of them. None are missing where it is no TOML.

    Raises:
        BadInput: it is empty.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        values = tomllib.loads(text)
    except (OSError, ValueError, RecursionError):
        return []
    if not text.strip("\0 \n"):
        raise BadInput(f"{path} is empty; put a copy of it back, and the run goes on", key=path.name)
    return [section for section in Config.model_fields if section not in values]


def _changes(before: Config, now: Config) -> dict[str, str]:
    """Return what each changed key was and is; a changed choice comes first, else in the order of the config."""
    was, is_now = _flat(before.model_dump(mode="json")), _flat(now.model_dump(mode="json"))
    keys = [key for key in dict.fromkeys((*was, *is_now)) if was.get(key) != is_now.get(key)]
    choices = {section.chosen_by for section in sections().values()}
    keys.sort(key=lambda key: key not in choices)  # another choice is why other keys differ
    return {key: f"{key} was {_shown(was.get(key))} and is {_shown(is_now.get(key))} now" for key in keys}


def _shown(value: object) -> str:
    return "not set" if value is None else repr(value)


def _refuse_another_run(path: Path, changed: Mapping[str, str]) -> None:
    refused = {key: text for key, text in changed.items() if not may_change(key)}
    if refused:
        more = f" (and {len(refused) - 3} more)" if len(refused) > 3 else ""
        raise BadInput(
            f"{path} holds a run of another config: {'; '.join(list(refused.values())[:3])}{more}; set it back, or "
            "choose another run.name",
            key=next(iter(refused)),
        )


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in values.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def _keep_old_config(folder: RunFolder) -> None:
    number = 1
    while (kept := folder.config.with_suffix(f".{number}.toml")).exists():
        number += 1
    write_whole(kept, folder.config.read_bytes())


# --- the record ---------------------------------------------------------------------------------------------------


def _status(folder: RunFolder) -> str:
    """Return the status that the run ended with; empty where it was killed or is unknown.

    Raises:
        BadInput: another command wrote the folder.
    """
    if not folder.summary.exists():
        return ""
    summary = _json_object(folder.summary)
    if summary and "status" not in summary:
        raise BadInput(
            f"{folder.path} holds the results of another command, not a training run; choose another run.name",
            key=folder.summary.name,
        )
    return str(summary.get("status", ""))


def _cut_back(folder: RunFolder, opened: OpenedRun, *, changed: Iterable[str]) -> None:
    """Remove what comes after the step that the run goes on from, and write the event that it goes on."""
    notes = list(opened.notes)
    if opened.keeps_record:
        notes.append(f"the record before this start is in {keep_record(folder).name}")
    set_aside_later(folder.checkpoints, opened.step, covered=opened.covered)
    folder.summary.unlink(missing_ok=True)
    damaged = cut_record(folder, after_step=opened.step)
    _cut_evaluations(folder.evaluation, after_step=opened.step)
    events = EventLog(folder.events)
    for event in damaged:
        events.append(event)
    changes = [f"changed: {change}" for change in changed]
    events.append(Event(kind="resumed", reason=f"after step {opened.step}", detail="\n".join([*notes, *changes])))
    events.close()


def _cut_evaluations(path: Path, *, after_step: int) -> None:
    """Remove the evaluations after a step, as the policy learns on; the one before training goes with the first step.

    A damaged file is renamed: what it held can't be measured again.
    """
    if not path.exists():
        return
    if not _json_object(path):
        path.rename(path.with_name(f"{path.name}{DAMAGED}"))
        return
    kept = {
        moment: result
        for moment, result in _json_object(path).items()
        if after_step > 0 and step_of(moment) <= after_step
    }
    if not kept:
        path.unlink()
        return
    write_whole(path, json.dumps(kept, ensure_ascii=False, indent=2) + "\n")


def _json_object(path: Path) -> Mapping[str, object]:
    """Return what a small file of the run holds; nothing where a kill or a person has damaged it."""
    try:
        found = read_user_json(path, key=path.name)
    except BadInput:
        return {}
    return found if isinstance(found, dict) else {}
