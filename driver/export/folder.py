"""Write the exported policy aside, seal it, and only then give it its name.

checkpoints/
    final/           a whole export with a manifest.json: the run, the step, and size and SHA-256 of every file
    final.partial/   being written, or the one before it being removed, or left by a kill; removed by the next export
    final.kept-1/    an export of before, in which somebody has changed, added or removed a file
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from contracts.files import replace_folder
from contracts.sealed_folder import (
    MANIFEST,
    DamagedFile,
    FileSum,
    damaged_files,
    listed_files,
    read_seal,
    seal_folder,
    unlisted_files,
)

EXPORT = "final"
"""Name of the folder in checkpoints/ with the trained policy, as transformers and vLLM load it."""

_FORMAT = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportManifest:
    """Hold what an export says about itself."""

    run: str  # name of the run's folder
    step: int  # after which the policy was exported
    files: Mapping[str, FileSum]  # by path inside the folder


async def export_to(
    place: Path, write: Callable[[Path], Awaitable[Mapping[str, FileSum]]], *, run: str, step: int
) -> None:
    """Let `write` make and fill a folder aside, seal it, and give it the name `place`.

    `write` returns the checksums of the files that it summed while it wrote them, by their paths. The export that was
    there stays whole until then. A `write` that raises leaves nothing behind.

    Raises:
        OSError: a file could not be written.
    """
    aside = place.with_name(f"{place.name}.partial")
    try:
        if aside.is_symlink():  # somebody had made a link of the export: what it leads to stays
            aside.unlink()
        elif aside.exists():
            await asyncio.to_thread(shutil.rmtree, aside)
        sums = await write(aside)
        await asyncio.to_thread(_publish, aside, place, sums, run=run, step=step)
    finally:
        await asyncio.to_thread(shutil.rmtree, aside, ignore_errors=True)


def _publish(aside: Path, place: Path, sums: Mapping[str, FileSum], *, run: str, step: int) -> None:
    inside = {Path(path).relative_to(aside).as_posix(): found for path, found in sums.items()}
    seal_folder(aside, {"format": _FORMAT, "run": run, "step": step}, sums=inside)
    if place.exists() and not _is_as_written(place):  # somebody's work: it is not removed
        place.rename(_free_name(place))
    replace_folder(aside, place)


def read_export(place: Path) -> ExportManifest:
    """Return what an export says about itself, without reading its other files.

    Raises:
        DamagedFile: the manifest is missing, can't be read, or is not what was written.
    """
    record = read_seal(place, version=_FORMAT)
    try:
        return ExportManifest(run=record["run"], step=record["step"], files=listed_files(record))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedFile(place, MANIFEST, f"was written by another version of this project: {error}") from None


def _is_as_written(place: Path) -> bool:
    """Return whether an export has all its files, unchanged, and no others."""
    try:
        files = read_export(place).files
    except DamagedFile:
        return False
    return not unlisted_files(place, files) and not any(damaged_files(place, files, reads=True))


def _free_name(place: Path) -> Path:
    number = 1
    while (kept := place.with_name(f"{place.name}.kept-{number}")).exists():
        number += 1
    return kept
