"""A run's checkpoints: when one is due, how it comes to be, which are kept, and which one a run goes on from.

    checkpoints/
        step-000010/           whole: it has this name only since its last byte was on the disk
        step-000020.partial/   being written, or left by a kill; removed by the next save
        step-000020.damaged/   found damaged when the run was continued; removed by the next save
        latest, best           each a line with the name of a checkpoint, replaced only when that is whole

Owns these names. Pure driver: what the learner writes is handed in as a function; must not know torch or Ray.
"""

import asyncio
import os
import re
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from contracts.config.learning import CheckpointConfig
from contracts.errors import BadInput, CheckpointFailed
from contracts.files import sync_folder, write_whole
from driver.run_state.checkpoint_files import (
    GROUPS,
    LEARNER,
    DamagedCheckpoint,
    Manifest,
    Origin,
    RunState,
    differences,
    read_manifest,
    read_state,
    seal,
    verify,
    write_state,
)
from driver.tracking.metrics import read_metrics

LATEST = "latest"
BEST = "best"
_WHOLE = re.compile(r"step-(\d{6,})")
_LEFT_OVER = re.compile(r"step-\d{6,}\.(partial|damaged)")


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundCheckpoint:
    """A checkpoint that was read and found whole."""

    path: Path
    state: RunState
    notes: tuple[str, ...] = ()  # what was wrong with newer ones

    @property
    def groups(self) -> Path:
        """Groups that were ready."""
        return self.path / GROUPS

    @property
    def learner(self) -> Path:
        """What the learner loads."""
        return self.path / LEARNER


class Checkpoints:
    """Makes checkpoints and removes old ones. One writer at a time; every save is whole or leaves no trace."""

    def __init__(
        self,
        folder: Path,
        *,
        settings: CheckpointConfig,
        origins: Mapping[str, Origin],
        metrics: Path,
        note: Callable[[str], None],
    ) -> None:
        """`metrics` is the run's metrics.jsonl; `note` tells a person what does not stop the run."""
        self._folder = folder
        self._settings = settings
        self._origins = origins
        self._metrics = metrics
        self._note = note
        self._has_told_of_metric = False

    def is_due(self, step: int, *, last_step: int) -> bool:
        """Whether a finished step is followed by a checkpoint."""
        every = self._settings.every_steps
        return every > 0 and (step % every == 0 or step == last_step)

    @property
    def are_made(self) -> bool:
        """Whether the config asks for any."""
        return self._settings.every_steps > 0

    def has(self, step: int) -> bool:
        """Whether that step's was finished, by this start or one before."""
        return step in whole_checkpoints(self._folder)

    async def save(self, state: RunState, write: Callable[[Path], Awaitable[None]]) -> Path:
        """Make the checkpoint of a finished step; `write` fills an empty folder with the learner's state.

        Raises:
            CheckpointFailed: a file could not be written. Nothing of it is left, and the ones before are as they were.
        """
        partial = self._folder / f"{_name(state.step)}.partial"
        try:
            await asyncio.to_thread(self._begin, partial)
            await write(partial / LEARNER)
            return await asyncio.to_thread(self._finish, partial, state)
        except (OSError, CheckpointFailed) as failure:
            await asyncio.to_thread(shutil.rmtree, partial, ignore_errors=True)
            kept = ", ".join(f"step {step}" for step in sorted(whole_checkpoints(self._folder))) or "none"
            raise CheckpointFailed(
                f"the checkpoint of step {state.step} could not be written: {failure}; whole ones: {kept}"
            ) from failure

    def _begin(self, partial: Path) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.iterdir():
            if _LEFT_OVER.fullmatch(path.name) and path.name.endswith(".partial"):
                shutil.rmtree(path)
        (partial / LEARNER).mkdir(parents=True)

    def _finish(self, partial: Path, state: RunState) -> Path:
        write_state(partial, state)
        metric = self._settings.best_metric
        seal(partial, step=state.step, metric=metric, score=self._score(state.step), origins=self._origins)
        final = self._folder / _name(state.step)
        if final.exists():  # saved twice: the name is free first, and the old one goes with the left-overs
            final.rename(final.with_name(f"{final.name}.damaged"))
        os.replace(partial, final)
        sync_folder(self._folder)
        try:
            write_whole(self._folder / LATEST, f"{final.name}\n")
            self._remove_old()
        except OSError as error:  # the checkpoint is whole: a run goes on from it by its own name
            self._note(
                f"checkpoint {final.name} is written, but not what points at it or the removal of old ones: {error}"
            )
        return final

    def _score(self, step: int) -> float | None:
        """The mean of the metric that "best" goes by, over the steps since the checkpoint before."""
        name = self._settings.best_metric
        if not name:
            return None
        since = max((earlier for earlier in whole_checkpoints(self._folder) if earlier < step), default=0)
        steps = [found.metrics for found in read_metrics(self._metrics) if since < found.step <= step]
        values = [metrics[name] for metrics in steps if name in metrics]
        if not values and steps and not self._has_told_of_metric:
            self._has_told_of_metric = True
            known = ", ".join(sorted({known for metrics in steps for known in metrics})[:5]) or "none"
            self._note(
                f"checkpoint.best_metric {name!r} is not among the metrics of steps {since + 1} to {step} "
                f"({known}, ...): no checkpoint is kept as the best by it"
            )
        return fmean(values) if values else None

    def _remove_old(self) -> None:
        """All but the last ones and the best; this comes after the new one is pointed at."""
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
                shutil.rmtree(path)
            except OSError as error:
                self._note(f"an old checkpoint could not be removed: {error}")

    def _best(self, whole: Mapping[int, Path]) -> int | None:
        """Among those scored by the metric of now: a run may be continued with another."""
        manifests = {step: manifest for step, path in whole.items() if (manifest := _manifest_or_none(path))}
        measured = {
            step: manifest.score
            for step, manifest in manifests.items()
            if manifest.score is not None and manifest.metric == self._settings.best_metric
        }
        return max(measured, key=lambda step: (measured[step], step), default=None)


def find_checkpoint(folder: Path, *, origins: Mapping[str, Origin], on_damage: str) -> FoundCheckpoint | None:
    """The newest checkpoint that is whole; every file of it is read. None where there is none at all.

    A damaged one is named in the notes, and the one before it is taken; with `on_damage` "stop" it is refused.

    Raises:
        BadInput: one is damaged and `on_damage` is "stop", or none is whole; the newest whole one is of another model.
    """
    damages: list[str] = []
    for _, path in sorted(whole_checkpoints(folder).items(), reverse=True):
        try:
            manifest = verify(path)
        except DamagedCheckpoint as damage:
            if on_damage == "stop":
                raise BadInput(
                    f'checkpoint {path.name} is damaged: {damage}; set checkpoint.on_damage to "previous" to go on '
                    "from the one before it"
                ) from None
            damages.append(f"checkpoint {path.name} is damaged and not used: {damage}")
            continue
        _refuse_another_model(path, manifest, origins)
        return FoundCheckpoint(path=path, state=read_state(path), notes=tuple(damages))
    if damages:
        raise BadInput(f"no checkpoint in {folder} is whole: {'; '.join(damages)}; choose another run.name")
    return None


def set_aside_later(folder: Path, step: int) -> None:
    """Take the names from checkpoints after `step`: the run goes on from there, and those were found damaged."""
    for later, path in whole_checkpoints(folder).items():
        if later > step:
            aside = path.with_name(f"{path.name}.damaged")
            shutil.rmtree(aside, ignore_errors=True)
            path.rename(aside)
    if step in whole_checkpoints(folder):
        write_whole(folder / LATEST, f"{_name(step)}\n")


def whole_checkpoints(folder: Path) -> dict[int, Path]:
    """Those that were finished, by step; whether they are still as they were is not looked at."""
    if not folder.is_dir():
        return {}
    return {int(match[1]): path for path in folder.iterdir() if (match := _WHOLE.fullmatch(path.name))}


def _refuse_another_model(path: Path, manifest: Manifest, origins: Mapping[str, Origin]) -> None:
    for key, was, now in differences(manifest.origins, origins):
        raise BadInput(
            f"checkpoint {path} is of another run: {key} was {was.told} and is {now.told} now; put it back, or choose "
            "another run.name",
            key=key,
        )


def _manifest_or_none(path: Path) -> Manifest | None:
    try:
        return read_manifest(path)
    except DamagedCheckpoint:
        return None


def _name(step: int) -> str:
    return f"step-{step:06d}"
