"""Write the manifest of one checkpoint, and tell a whole checkpoint from a damaged one.

step-000010/
    learner/         what the learner wrote (its own layout)
    policy/          the policy as a Hugging Face folder
    groups.parquet   groups that were ready and not yet learned from
    state.json       where the run stood
    manifest.json    size and SHA-256 of every other file, what was trained, and a checksum of this list itself
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contracts.sealed_folder import MANIFEST, DamagedFile, FileSum, listed_files, read_seal, seal_folder
from driver.run_state.model_fingerprints import Fingerprint
from driver.run_state.state import FORMAT

LEARNER = "learner"
POLICY = "policy"
GROUPS = "groups.parquet"


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """Hold what a checkpoint says about itself."""

    step: int
    metric: str  # checkpoint.best_metric, when the checkpoint was written
    score: float | None  # the metric's mean since the checkpoint before; None: it was not measured
    fingerprints: Mapping[str, Fingerprint]  # by config key
    files: Mapping[str, FileSum]  # by path inside the checkpoint

    @classmethod
    def from_record(cls, record: Mapping) -> "Manifest":
        """Return the manifest that `seal` wrote.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: the record has another form.
        """
        return cls(
            step=record["step"],
            metric=record["metric"],
            score=record["score"],
            fingerprints={
                key: Fingerprint(label=found["told"], digest=found["digest"])
                for key, found in record["origins"].items()
            },
            files=listed_files(record),
        )


def seal(
    folder: Path,
    *,
    step: int,
    metric: str,
    score: float | None,
    fingerprints: Mapping[str, Fingerprint],
    sums: Mapping[str, FileSum],
) -> None:
    """Write the manifest; the whole checkpoint is on the disk when this returns.

    `sums` has the files whose checksums are known, by path inside the folder. They are not read again.

    Raises:
        OSError: a file could not be read or written.
    """
    origins = {
        key: {"told": fingerprint.label, "digest": fingerprint.digest} for key, fingerprint in fingerprints.items()
    }
    about = {"format": FORMAT, "step": step, "metric": metric, "score": score, "origins": origins}
    seal_folder(folder, about, sums=sums)


def read_manifest(folder: Path) -> Manifest:
    """Return what a checkpoint says about itself, without reading its other files.

    Raises:
        DamagedFile: the manifest can't be read, or is not what was written.
    """
    record = read_seal(folder, version=FORMAT)
    try:
        return Manifest.from_record(record)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedFile(folder, MANIFEST, f"was written by another version of this project: {error}") from None
