"""One checkpoint as files: what it says about itself, and how it is told whole from damaged.

    step-000010/
        learner/         what the learner wrote (its own layout)
        policy/          the policy as a Hugging Face folder
        groups.parquet   groups that were ready and not yet learned from (driver/run_state/buffered_groups.py)
        state.json       where the run stood (`RunState`)
        manifest.json    size and SHA-256 of every other file, what was trained, and a checksum of this list itself

Owns these files. Pure: must not know torch, Ray, or when a checkpoint is made or removed
(driver/run_state/checkpoints.py).
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from contracts.files import sync_folder, write_whole
from driver.problems.draws import OpenDraws

FORMAT = 2
LEARNER = "learner"
GROUPS = "groups.parquet"
MANIFEST = "manifest.json"
STATE = "state.json"
_THREADS = 4
"""Files read at once; hashing lets go of the interpreter."""


class DamagedCheckpoint(ValueError):
    """A file of a checkpoint is not what was written: which one, what was expected and what is there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunState:
    """Where a run stands after a step: with the learner's own files, all that the next step depends on."""

    step: int  # the last one that is finished
    policy_version: int
    optimizer_steps: int  # tried so far, skipped ones included
    skipped_in_a_row: int  # of them, at the end
    open: OpenDraws  # where the stream stands, and draws that must be asked again
    num_ranks: int  # of the learner that wrote
    seed: int  # run.seed: every sampling seed is a hash of it and the step
    calibration: str = ""  # calibration.json as the run used it; empty: the reward needs none


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """A model that a run is made of, or a choice about one; two are the same where their digests are."""

    told: str  # as a message names it
    digest: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FileSum:
    """What a file must be."""

    size: int  # bytes
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a checkpoint says about itself."""

    step: int
    metric: str  # checkpoint.best_metric, when it was written
    score: float | None  # the metric's mean since the checkpoint before; None: it was not measured
    origins: Mapping[str, Origin]  # by config key
    files: Mapping[str, FileSum]  # by path inside the checkpoint


def write_state(folder: Path, state: RunState) -> None:
    (folder / STATE).write_text(json.dumps({"format": FORMAT, **asdict(state)}, indent=1), encoding="utf-8")


def read_state(folder: Path) -> RunState:
    """Of a checkpoint that `verify` has passed."""
    record = json.loads((folder / STATE).read_text(encoding="utf-8"))
    del record["format"]
    return RunState(**record)


def seal(folder: Path, *, step: int, metric: str, score: float | None, origins: Mapping[str, Origin]) -> Manifest:
    """Checksum every file, write the manifest, and have all of it on the disk before this returns."""
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    with ThreadPoolExecutor(_THREADS) as threads:
        sums = list(threads.map(lambda name: _sum(folder / name, is_new=True), names))
    manifest = Manifest(
        step=step, metric=metric, score=score, origins=origins, files=dict(zip(names, sums, strict=True))
    )
    write_whole(folder / MANIFEST, _with_checksum({"format": FORMAT, **asdict(manifest)}))
    for place in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        sync_folder(place)
    return manifest


def verify(folder: Path) -> Manifest:
    """The manifest, after every file that it names was read and compared.

    Raises:
        DamagedCheckpoint: naming the first file that is missing, cut off or changed.
    """
    manifest = read_manifest(folder)
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise DamagedCheckpoint(f"{path} is missing")
        if (size := path.stat().st_size) != expected.size:
            raise DamagedCheckpoint(f"{path} has {size:,} bytes, expected {expected.size:,}")
    with ThreadPoolExecutor(_THREADS) as threads:
        found = threads.map(lambda name: _sum_or_damage(folder / name), manifest.files)
        for (name, expected), actual in zip(manifest.files.items(), found, strict=True):
            if actual.sha256 != expected.sha256:
                raise DamagedCheckpoint(
                    f"{folder / name} has changed since it was written: SHA-256 {actual.sha256[:16]}..., expected "
                    f"{expected.sha256[:16]}..."
                )
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """What a checkpoint says about itself; its files are not looked at.

    Raises:
        DamagedCheckpoint: it can't be read, or is not what was written.
    """
    path = folder / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
        record = json.loads(text)
        del record["checksum"]
    except FileNotFoundError:
        raise DamagedCheckpoint(f"{path} is missing") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedCheckpoint(f"{path} can't be read: {error}") from None
    if text != _with_checksum(record):
        raise DamagedCheckpoint(f"{path} has changed since it was written: its own checksum doesn't fit")
    if record.pop("format") != FORMAT:
        raise DamagedCheckpoint(f"{path} is of another version of this project, which reads format {FORMAT} only")
    try:
        return Manifest(
            step=record["step"],
            metric=record["metric"],
            score=record["score"],
            origins={key: Origin(**origin) for key, origin in record["origins"].items()},
            files={name: FileSum(**found) for name, found in record["files"].items()},
        )
    except (KeyError, TypeError) as error:
        raise DamagedCheckpoint(f"{path} is of another version of this project: {error}") from None


def differences(before: Mapping[str, Origin], now: Mapping[str, Origin]) -> Iterable[tuple[str, Origin, Origin]]:
    """(config key, origin then, origin now) wherever they are not the same."""
    nothing = Origin(told="none", digest="")
    for key in dict.fromkeys((*before, *now)):
        was, is_now = before.get(key, nothing), now.get(key, nothing)
        if was.digest != is_now.digest:
            yield key, was, is_now


def _sum(path: Path, *, is_new: bool) -> FileSum:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if is_new:
            os.fsync(file.fileno())
        return FileSum(size=os.fstat(file.fileno()).st_size, sha256=digest)


def _sum_or_damage(path: Path) -> FileSum:
    try:
        return _sum(path, is_new=False)
    except OSError as error:
        raise DamagedCheckpoint(f"{path} can't be read: {error.strerror or error}") from None


def _with_checksum(record: Mapping[str, object]) -> str:
    """As JSON, byte for byte the same for the same record."""
    checksum = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    return json.dumps({**record, "checksum": checksum}, indent=1) + "\n"
