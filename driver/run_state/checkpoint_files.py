"""Write the files of one checkpoint, and tell a whole checkpoint from a damaged one.

step-000010/
    learner/         what the learner wrote (its own layout)
    policy/          the policy as a Hugging Face folder
    groups.parquet   groups that were ready and not yet learned from
    state.json       where the run stood
    manifest.json    size and SHA-256 of every other file, what was trained, and a checksum of this list itself
"""

import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from contracts.files import sync_folder, write_whole
from driver.run_state.model_fingerprints import Fingerprint
from driver.run_state.state import FORMAT

LEARNER = "learner"
GROUPS = "groups.parquet"
MANIFEST = "manifest.json"
_THREADS = 4
"""Files that are read at once; hashing releases Python's interpreter lock."""


class DamagedCheckpoint(ValueError):
    """Report a file of a checkpoint that is not what was written: which one, what was expected and what was found.

    Args:
        file: path inside the checkpoint.
        problem: what is wrong with the file, as the end of a sentence that begins with its path.
    """

    def __init__(self, folder: Path, file: str, problem: str) -> None:
        super().__init__(f"{folder / file} {problem}")
        self.file = file


@dataclass(frozen=True, kw_only=True, slots=True)
class FileSum:
    """Hold what a file must be."""

    size: int  # bytes
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """Hold what a checkpoint says about itself."""

    step: int
    metric: str  # checkpoint.best_metric, when the checkpoint was written
    score: float | None  # the metric's mean since the checkpoint before; None: it was not measured
    fingerprints: Mapping[str, Fingerprint]  # by config key
    files: Mapping[str, FileSum]  # by path inside the checkpoint

    def to_record(self) -> dict[str, object]:
        """Return the manifest as plain JSON, in the words of its format."""
        return {
            "step": self.step,
            "metric": self.metric,
            "score": self.score,
            "origins": {
                key: {"told": fingerprint.label, "digest": fingerprint.digest}
                for key, fingerprint in self.fingerprints.items()
            },
            "files": {name: asdict(found) for name, found in self.files.items()},
        }

    @classmethod
    def from_record(cls, record: Mapping) -> "Manifest":
        """Return the manifest that `to_record` made.

        Raises:
            KeyError, TypeError, AttributeError: the record has another form.
        """
        return cls(
            step=record["step"],
            metric=record["metric"],
            score=record["score"],
            fingerprints={
                key: Fingerprint(label=found["told"], digest=found["digest"])
                for key, found in record["origins"].items()
            },
            files={name: FileSum(**found) for name, found in record["files"].items()},
        )


def seal(folder: Path, *, step: int, metric: str, score: float | None, fingerprints: Mapping[str, Fingerprint]) -> None:
    """Checksum every file and write the manifest; all of it is on the disk when this returns.

    Raises:
        OSError: a file could not be read or written.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    with ThreadPoolExecutor(_THREADS) as threads:
        sums = list(threads.map(lambda name: _sum(folder / name, is_new=True), names))
    manifest = Manifest(
        step=step, metric=metric, score=score, fingerprints=fingerprints, files=dict(zip(names, sums, strict=True))
    )
    write_whole(folder / MANIFEST, _with_checksum({"format": FORMAT, **manifest.to_record()}))
    for place in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        sync_folder(place)


def verify(folder: Path) -> Manifest:
    """Return the manifest, after every file that it names was read and compared.

    Raises:
        DamagedCheckpoint: for the first file that is missing, cut off or changed.
    """
    manifest = read_manifest(folder)
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise DamagedCheckpoint(folder, name, "is missing")
        if (size := path.stat().st_size) != expected.size:
            raise DamagedCheckpoint(folder, name, f"has {size:,} bytes; expected {expected.size:,}")
    with ThreadPoolExecutor(_THREADS) as threads:
        found = threads.map(lambda name: _sum_or_damage(folder, name), manifest.files)
        for (name, expected), actual in zip(manifest.files.items(), found, strict=True):
            if actual.sha256 != expected.sha256:
                raise DamagedCheckpoint(
                    folder,
                    name,
                    f"has changed since it was written: its SHA-256 is {actual.sha256[:16]}..., expected "
                    f"{expected.sha256[:16]}...",
                )
    return manifest


def read_manifest(folder: Path) -> Manifest:
    """Return what a checkpoint says about itself, without reading its other files.

    Raises:
        DamagedCheckpoint: the manifest can't be read, or is not what was written.
    """
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
        record = json.loads(text)
        del record["checksum"]
    except FileNotFoundError:
        raise DamagedCheckpoint(folder, MANIFEST, "is missing") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedCheckpoint(folder, MANIFEST, f"can't be read: {error}") from None
    if text != _with_checksum(record):
        raise DamagedCheckpoint(folder, MANIFEST, "has changed since it was written: its checksum is wrong")
    if (found := record.pop("format")) != FORMAT:
        raise DamagedCheckpoint(
            folder,
            MANIFEST,
            f"was written by another version of this project: its format is {found}, expected {FORMAT}",
        )
    try:
        return Manifest.from_record(record)
    except (KeyError, TypeError, AttributeError) as error:
        raise DamagedCheckpoint(folder, MANIFEST, f"was written by another version of this project: {error}") from None


def _sum(path: Path, *, is_new: bool) -> FileSum:
    """Return size and SHA-256 of a file; one that `is_new` is on the disk when this returns."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if is_new:
            os.fsync(file.fileno())
        return FileSum(size=os.fstat(file.fileno()).st_size, sha256=digest)


def _sum_or_damage(folder: Path, name: str) -> FileSum:
    try:
        return _sum(folder / name, is_new=False)
    except OSError as error:
        raise DamagedCheckpoint(folder, name, f"can't be read: {error.strerror or error}") from None


def _with_checksum(record: Mapping[str, object]) -> str:
    """Return the record with its checksum as JSON, byte for byte the same for the same record."""
    checksum = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    return json.dumps({**record, "checksum": checksum}, indent=1) + "\n"
