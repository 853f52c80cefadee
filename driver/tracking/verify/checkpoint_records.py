"""Read the checkpoints and the export of a run for verification, and name every file that is not as it was written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from contracts.errors import BadInput
from contracts.sealed_folder import MANIFEST, DamagedFile, FileSum, damaged_files, unlisted_files
from driver.export.folder import EXPORT, read_export
from driver.run_state.buffered_groups import read_groups
from driver.run_state.checkpoint_files import GROUPS, read_manifest
from driver.run_state.checkpoints import BEST, LATEST, whole_checkpoints
from driver.run_state.state import STATE, RunState, read_state


class Violation(NamedTuple):
    """Hold one thing that is wrong with a run."""

    about: str  # the step, group, draw, checkpoint or file that is wrong, e.g. "step 3"
    text: str  # the whole sentence, for a person


class OpenDraw(NamedTuple):
    """Hold a draw that a checkpoint keeps as neither learned from nor dropped."""

    number: int
    group_id: str  # empty where only its language and place are known
    language: str
    place: int  # how many draws of its language came before


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointRecord:
    """Hold what a checkpoint says of the groups."""

    name: str
    step: int
    policy_version: int
    next_number: int  # of the next draw: all draws with lower numbers were started
    open: tuple[OpenDraw, ...]  # to be sampled again, or ready to be learned from
    seed: int  # of the problem stream
    problems: str  # fingerprint of the problems


@dataclass(frozen=True, kw_only=True, slots=True)
class SealedFolders:
    """Hold what the checkpoints and the export say, and what is wrong with their files."""

    checkpoints: tuple[CheckpointRecord, ...]  # oldest first; without those whose state can't be read
    export_step: int | None  # None: there is no export, or its manifest can't be read
    num: int  # folders that were looked at
    faults: tuple[Violation, ...]


def read_sealed_folders(folder: Path, *, reads_shards: bool) -> SealedFolders:
    """Read the folder of the checkpoints; with `reads_shards` every byte, else manifests, states and sizes only."""
    checkpoints: list[CheckpointRecord] = []
    faults = list(_pointer_faults(folder))
    found = sorted(whole_checkpoints(folder).items())
    for step, path in found:
        faults += _checkpoint_faults(path, step, reads=reads_shards)
        record, wrong = _checkpoint(path)
        faults += [fault for fault in wrong if fault.about not in {known.about for known in faults}]
        checkpoints += [record] if record else []
    export = folder / EXPORT
    has_export = export.is_dir()
    faults += _export_faults(export, reads=reads_shards) if has_export else []
    return SealedFolders(
        checkpoints=tuple(checkpoints),
        export_step=_export_step(export) if has_export else None,
        num=len(found) + has_export,
        faults=tuple(faults),
    )


def _pointer_faults(folder: Path) -> Iterator[Violation]:
    names = {path.name for path in whole_checkpoints(folder).values()}
    for pointer in (LATEST, BEST):
        try:
            name = (folder / pointer).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            yield Violation(pointer, f"{folder / pointer} can't be read: {error}")
            continue
        if name not in names:
            yield Violation(pointer, f"{folder / pointer} names {name[:40]!r}, which is not there")


def _checkpoint_faults(path: Path, step: int, *, reads: bool) -> Iterator[Violation]:
    try:
        manifest = read_manifest(path)
    except DamagedFile as damage:
        yield _damage(path, damage)
        return
    if manifest.step != step:
        yield Violation(path.name, f"checkpoint {path.name} is of step {manifest.step} by its {MANIFEST}")
    yield from _file_faults(path, manifest.files, reads=reads)


def _export_faults(path: Path, *, reads: bool) -> Iterator[Violation]:
    try:
        files = read_export(path).files
    except DamagedFile as damage:
        yield _damage(path, damage)
        return
    yield from _file_faults(path, files, reads=reads)


def _export_step(path: Path) -> int | None:
    try:
        return read_export(path).step
    except DamagedFile:
        return None


def _file_faults(path: Path, files: Mapping[str, FileSum], *, reads: bool) -> Iterator[Violation]:
    for name in unlisted_files(path, files):
        yield Violation(f"{path.name}/{name}", f"{path / name} is not in the folder's {MANIFEST}")
    for damage in damaged_files(path, files, reads=reads):
        yield _damage(path, damage)


def _damage(path: Path, damage: DamagedFile) -> Violation:
    return Violation(f"{path.name}/{damage.file}", str(damage))


def _checkpoint(path: Path) -> tuple[CheckpointRecord | None, list[Violation]]:
    """Return what a checkpoint says of the groups, and what of it can't be read."""
    try:
        state = read_state(path)
        again = [OpenDraw(draw["number"], "", draw["language"], draw["place"]) for draw in state.open["again"]]
        stream = state.open["stream"]
        number, seed, problems = stream["number"], stream["seed"], stream["fingerprint"]
    except (OSError, TypeError, KeyError, ValueError, AttributeError) as error:
        return None, [_unreadable(path, STATE, error)]
    ready, faults = _ready(path)
    record = CheckpointRecord(
        name=path.name,
        step=state.step,
        policy_version=state.policy_version,
        next_number=number,
        open=tuple(sorted([*again, *ready])),
        seed=seed,
        problems=problems,
    )
    return record, [*faults, *_state_faults(path, state)]


def _state_faults(path: Path, state: RunState) -> Iterator[Violation]:
    if path.name != f"step-{state.step:06d}":
        yield Violation(path.name, f"checkpoint {path.name} is of step {state.step} by its {STATE}")


def _ready(path: Path) -> tuple[list[OpenDraw], list[Violation]]:
    """Return the draws whose groups were ready to be learned from."""
    if not (path / GROUPS).exists():
        return [], []  # the manifest lists it, if it was written
    try:
        groups = read_groups(path / GROUPS)
    except (pa.ArrowException, OSError, BadInput, KeyError, TypeError, ValueError) as error:
        return [], [_unreadable(path, GROUPS, error)]
    return [OpenDraw(draw.number, draw.group_id, draw.problem.language, draw.epoch_index) for draw, _ in groups], []


def _unreadable(path: Path, file: str, error: Exception) -> Violation:
    if isinstance(error, FileNotFoundError):
        return Violation(f"{path.name}/{file}", f"{path / file} is missing")
    told = " ".join(f"{type(error).__name__}: {error}".split())
    return Violation(f"{path.name}/{file}", f"{path / file} can't be read: {told}")
