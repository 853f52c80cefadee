"""Make a run's checkpoints, remove old ones, and find the one that a run goes on from.

checkpoints/
    step-000010/           whole: it gets this name when its last byte, and the run's record, are on the disk
    step-000020.partial/   being written or removed, or left by a kill; removed by the next save
    step-000020.damaged/   found damaged when the run was continued; removed by the next save
    step-000020.without-record/    newer than the run's record when the run was continued; kept
    latest, best           each a line with the name of a whole checkpoint
"""

import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from contracts.config.learning import CheckpointConfig
from contracts.errors import BadInput, CheckpointFailed
from contracts.files import replace_folder, sync_folder, write_whole
from contracts.sealed_folder import MANIFEST, DamagedFile, FileSum, damaged_files, unlisted_files
from driver.run_state.checkpoint_files import GROUPS, LEARNER, POLICY, Manifest, read_manifest, seal
from driver.run_state.model_fingerprints import Fingerprint, differences
from driver.run_state.state import STATE, RunState, read_state, write_state
from driver.tracking.line_logs import read_metrics
from driver.tracking.run_folder import RunFolder, sync_record

LATEST = "latest"
BEST = "best"
WITHOUT_RECORD = ".without-record"
"""What the name of a whole checkpoint ends with whose steps the run's record had lost; it is kept."""
_WHOLE = re.compile(r"step-(\d{6,})")
_LEFT_OVER = re.compile(r"step-\d{6,}\.(partial|damaged)")


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundCheckpoint:
    """Hold a checkpoint that was read and found whole."""

    path: Path
    state: RunState
    notes: tuple[str, ...] = ()  # what is wrong with newer ones

    @property
    def groups(self) -> Path:
        """Return the path of the groups that were ready to be learned from."""
        return self.path / GROUPS

    @property
    def learner(self) -> Path:
        """Return the folder that the learner loads."""
        return self.path / LEARNER


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenCheckpoint:
    """Hold a checkpoint that is being written."""

    step: int
    path: Path  # of the folder, until it is whole
    score: float | None  # of checkpoint.best_metric

    @property
    def groups(self) -> Path:
        """Return the path for the groups that are ready to be learned from."""
        return self.path / GROUPS

    @property
    def learner(self) -> Path:
        """Return the folder for the learner's state."""
        return self.path / LEARNER

    @property
    def policy(self) -> Path:
        """Return the folder for the policy."""
        return self.path / POLICY


class Checkpoints:
    """Make checkpoints and remove old ones, one at a time: `begin`, then `finish` or `give_up`."""

    def __init__(
        self,
        folder: Path,
        *,
        settings: CheckpointConfig,
        fingerprints: Mapping[str, Fingerprint],
        metrics: Path,
        note: Callable[[str], None],
    ) -> None:
        """Take the fingerprints of the run's models, its metrics.jsonl, and a function that prints a line."""
        self._folder = folder
        self._settings = settings
        self._fingerprints = fingerprints
        self._metrics = metrics
        self._note = note
        self._has_noted_metric = False

    def is_due(self, step: int, *, last_step: int) -> bool:
        """Return whether a finished step is followed by a checkpoint."""
        every = self._settings.every_steps
        return every != "off" and (step % every == 0 or step == last_step)

    @property
    def are_made(self) -> bool:
        """Return whether the config asks for checkpoints."""
        return self._settings.every_steps != "off"

    def has(self, step: int) -> bool:
        """Return whether that step has a whole checkpoint, by this start of the run or by one before."""
        return step in whole_checkpoints(self._folder)

    def begin(self, state: RunState) -> "OpenCheckpoint":
        """Make the folder of a finished step's checkpoint; all that the run has recorded so far is on the disk then.

        The record is synced here and not when the checkpoint is whole: by then the run is in a later step.

        Raises:
            OSError: the disk is full, or failed.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.iterdir():
            if _LEFT_OVER.fullmatch(path.name) and path.name.endswith(".partial"):
                shutil.rmtree(path)
        begun = OpenCheckpoint(
            step=state.step, path=self._folder / f"{_name(state.step)}.partial", score=self._score(state.step)
        )
        begun.learner.mkdir(parents=True)
        write_state(begun.path, state)
        sync_record(RunFolder(self._metrics.parent))
        return begun

    def finish(self, begun: "OpenCheckpoint", sums: Mapping[str, FileSum]) -> Path:
        """Seal a checkpoint whose files are written, give it its name and remove old ones; return its folder.

        `sums` has the files that were summed when they were written, by their paths.

        Raises:
            OSError: a file could not be read or written.
        """
        seal(
            begun.path,
            step=begun.step,
            metric=self._settings.best_metric,
            score=begun.score,
            fingerprints=self._fingerprints,
            sums={Path(path).relative_to(begun.path).as_posix(): found for path, found in sums.items()},
        )
        final = self._folder / _name(begun.step)
        replace_folder(begun.path, final)  # where the step was saved before, that is removed with the left-overs
        try:
            write_whole(self._folder / LATEST, f"{final.name}\n")
            self._remove_old()
        except OSError as error:  # the checkpoint is whole: a run finds it by its own name
            self._note(
                f"checkpoint {final.name} is whole, but {LATEST}, {BEST} or an old checkpoint could not be changed: "
                f"{error}"
            )
        return final

    def give_up(self, step: int, failure: Exception) -> CheckpointFailed:
        """Remove a checkpoint that could not be written, and return the error that says so. Nobody may write any more.

        Earlier checkpoints stay as they are.
        """
        shutil.rmtree(self._folder / f"{_name(step)}.partial", ignore_errors=True)
        kept = ", ".join(f"step {kept}" for kept in sorted(whole_checkpoints(self._folder))) or "none"
        return CheckpointFailed(
            f"the checkpoint of step {step} could not be written: {failure}; checkpoints left: {kept}"
        )

    def _score(self, step: int) -> float | None:
        """Return the mean of checkpoint.best_metric over the steps since the checkpoint before; None without any."""
        name = self._settings.best_metric
        if name == "off":
            return None
        since = max((earlier for earlier in whole_checkpoints(self._folder) if earlier < step), default=0)
        steps = [found.metrics for found in read_metrics(self._metrics) if since < found.step <= step]
        values = [metrics[name] for metrics in steps if name in metrics]
        if not values and steps and not self._has_noted_metric:
            self._has_noted_metric = True
            known = ", ".join(sorted({known for metrics in steps for known in metrics})[:5]) or "none"
            self._note(
                f"checkpoint.best_metric {name!r} is not among the metrics of steps {since + 1} to {step} "
                f"({known}, ...): no checkpoint is kept as the best one"
            )
        return fmean(values) if values else None

    def _remove_old(self) -> None:
        """Remove all checkpoints but the last ones and the best one; `latest` must name the new one before."""
        whole = whole_checkpoints(self._folder)
        kept = set(sorted(whole)[-self._settings.keep_last :])
        if (best := self._best(whole)) is not None:
            write_whole(self._folder / BEST, f"{_name(best)}\n")
            kept.add(best)
        else:
            (self._folder / BEST).unlink(missing_ok=True)
        left_over = [path for path in self._folder.iterdir() if _LEFT_OVER.fullmatch(path.name)]
        for path in [*(path for step, path in sorted(whole.items()) if step not in kept), *left_over]:
            try:
                self._remove(path)
            except OSError as error:
                self._note(f"an old checkpoint could not be removed: {error}")

    def _remove(self, path: Path) -> None:
        """Remove a checkpoint; one that a kill or a power cut leaves half removed never looks whole."""
        if _WHOLE.fullmatch(path.name):
            path = path.rename(path.with_name(f"{path.name}.partial"))
            sync_folder(self._folder)
        shutil.rmtree(path)

    def _best(self, whole: Mapping[int, Path]) -> int | None:
        """Return the step of the best checkpoint by the metric of this config; None where none was scored by it."""
        manifests = {step: manifest for step, path in whole.items() if (manifest := _manifest_or_none(path))}
        measured = {
            step: manifest.score
            for step, manifest in manifests.items()
            if manifest.score is not None and manifest.metric == self._settings.best_metric
        }
        return max(measured, key=lambda step: (measured[step], step), default=None)


def find_checkpoint(
    folder: Path, *, fingerprints: Mapping[str, Fingerprint], on_damage: str, up_to: int | None = None
) -> FoundCheckpoint | None:
    """Return the newest whole checkpoint, of which every file was read; None where there is no checkpoint at all.

    A damaged checkpoint is named in the notes, and the one before it is taken; with `on_damage` "stop" it is refused.
    Checkpoints after the step `up_to` are passed over.

    Raises:
        BadInput: a checkpoint is damaged and `on_damage` is "stop", none is whole, or the newest whole one was made
            with another model; a checkpoint has another name than its own, or a file that it was not written with; the
            one that `latest` names is missing.
    """
    damages: list[str] = []
    damaged_file = ""
    checkpoints = whole_checkpoints(folder)
    if lost := lost_pointer(folder, checkpoints):
        raise BadInput(lost, key=LATEST)
    for step, path in sorted(checkpoints.items(), reverse=True):
        if up_to is not None and step > up_to:
            continue
        try:
            manifest, state = _read_whole(path, step)
        except DamagedFile as damage:
            if on_damage == "stop":
                raise BadInput(
                    f'checkpoint {path.name} is damaged: {damage}; set checkpoint.on_damage to "previous" to go on '
                    "from the checkpoint before it",
                    key=f"{path.name}/{damage.file}",
                ) from None
            damages.append(f"checkpoint {path.name} is damaged and not used: {damage}")
            damaged_file = damaged_file or f"{path.name}/{damage.file}"
            continue
        _refuse_another_model(path, manifest, fingerprints)
        return FoundCheckpoint(path=path, state=state, notes=tuple(damages))
    if damages:
        raise BadInput(
            f"no checkpoint in {folder} is whole: {'; '.join(damages)}; choose another run.name", key=damaged_file
        )
    return None


def _read_whole(path: Path, step: int) -> tuple[Manifest, RunState]:
    """Return manifest and state of a checkpoint of this step, after all that its manifest lists was compared.

    What is not damage is refused, so that nothing is set aside and removed that only has the wrong name or neighbour.

    Raises:
        DamagedFile: the first file that is missing, cut off or changed.
        BadInput: the folder is of another step, or holds a file that the manifest doesn't list.
    """
    manifest = read_manifest(path)
    if wrong := foreign_file(path, manifest):
        name, problem = wrong
        raise BadInput(f"{path / name} {problem}", key=f"{path.name}/{name}")
    if wrong := another_step(path, step, MANIFEST, manifest.step):
        raise BadInput(wrong, key=f"{path.name}/{MANIFEST}")
    for damage in damaged_files(path, manifest.files, reads=True):
        raise damage
    try:
        state = read_state(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedFile(path, STATE, f"can't be read: {type(error).__name__}: {error}") from None
    if wrong := another_step(path, step, STATE, state.step):
        raise BadInput(wrong, key=f"{path.name}/{STATE}")
    return manifest, state


def foreign_file(path: Path, manifest: Manifest) -> tuple[str, str] | None:
    """Return a file that a checkpoint was not written with, and what to do about it; None where there is none."""
    for name in unlisted_files(path, manifest.files):
        return name, f"is not in the checkpoint's {MANIFEST}: a run did not write it; move it out of the checkpoint"
    return None


def another_step(path: Path, step: int, file: str, found: int) -> str:
    """Return what is wrong where a file of a checkpoint is of another step than the folder's name; else nothing."""
    if found == step:
        return ""
    return f"checkpoint {path} is of step {found} by its {file}; give the folder its own name back"


def lost_pointer(folder: Path, checkpoints: Mapping[int, Path]) -> str:
    """Return what is wrong with the pointer `latest` where it names none of the checkpoints; else nothing.

    It may name an older one than the newest: a kill came before it was written.
    """
    pointer = folder / LATEST
    try:
        name = pointer.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        return f"{pointer} can't be read: {error}; remove it to go on from the newest checkpoint that is there"
    if not checkpoints or name in {path.name for path in checkpoints.values()}:
        return ""
    names = ", ".join(sorted(path.name for path in checkpoints.values()))
    return (
        f"{pointer} names {name[:40]!r}, and {folder} holds {names}; "
        "put that checkpoint back, or remove the file to go on from the newest one that is there"
    )


def set_aside_later(folder: Path, step: int, *, covered: int | None = None) -> None:
    """Rename the checkpoints after `step`, from which the run goes on: they are damaged, or after the step `covered`.

    Those after `covered`, the last step of the record, are whole: no later save removes them.
    """
    whole = whole_checkpoints(folder)
    if step in whole:  # first: no pointer must name a checkpoint that was renamed
        write_whole(folder / LATEST, f"{_name(step)}\n")
    later = {found: path for found, path in whole.items() if found > step}
    if _pointed(folder / BEST) in {path.name for path in later.values()}:
        (folder / BEST).unlink()  # the next save names the best one again
    for found, path in later.items():
        if covered is not None and found > covered:
            path.rename(_free_name(path, WITHOUT_RECORD))
        else:
            damaged = path.with_name(f"{path.name}.damaged")
            shutil.rmtree(damaged, ignore_errors=True)
            path.rename(damaged)
    if whole:
        sync_folder(folder)


def _free_name(path: Path, ending: str) -> Path:
    free, number = path.with_name(f"{path.name}{ending}"), 1
    while free.exists():
        number, free = number + 1, path.with_name(f"{path.name}{ending}-{number}")
    return free


def _pointed(pointer: Path) -> str:
    """Return the name that a pointer holds; empty where there is none that can be read."""
    try:
        return pointer.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def whole_checkpoints(folder: Path) -> dict[int, Path]:
    """Return the finished checkpoints by step; whether their files are as they were written is not checked."""
    if not folder.is_dir():
        return {}
    return {int(match[1]): path for path in folder.iterdir() if (match := _WHOLE.fullmatch(path.name))}


def _refuse_another_model(path: Path, manifest: Manifest, fingerprints: Mapping[str, Fingerprint]) -> None:
    for key, was, now in differences(manifest.fingerprints, fingerprints):
        raise BadInput(
            f"checkpoint {path} was made with another model: {key} was {was.label} and is {now.label} now; set it "
            "back, or choose another run.name",
            key=key,
        )


def _manifest_or_none(path: Path) -> Manifest | None:
    try:
        return read_manifest(path)
    except DamagedFile:
        return None


def _name(step: int) -> str:
    return f"step-{step:06d}"
