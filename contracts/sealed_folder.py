"""Seal a folder with a manifest: size and SHA-256 of every other file, and a checksum of the manifest itself.

The manifest is JSON, with what the writer has to say about the folder beside "files". It proves that files are as they
were written. It does not prove who wrote them.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from contracts.files import sync_folder, write_whole

MANIFEST = "manifest.json"
_THREADS = 4
"""Files that are read at once; hashing releases Python's interpreter lock."""


class DamagedFile(ValueError):
    """Report a file of a sealed folder that is not what was written: which one, what was expected, what was found.

    Args:
        file: path inside the folder.
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


def seal_folder(folder: Path, about: Mapping[str, object]) -> None:
    """Checksum every file and write the manifest, with `about` in it; all of it is on the disk when this returns.

    Raises:
        OSError: a file could not be read or written.
    """
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    names = sorted(name for name in found if name != MANIFEST)
    with ThreadPoolExecutor(_THREADS) as threads:
        sums = list(threads.map(lambda name: asdict(_sum(folder / name, is_new=True)), names))
    write_whole(folder / MANIFEST, _with_checksum({**about, "files": dict(zip(names, sums, strict=True))}))
    for place in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        sync_folder(place)


def read_seal(folder: Path, *, version: int) -> Mapping:
    """Return what the manifest says, without reading the other files; "format" must be `version`.

    Raises:
        DamagedFile: the manifest can't be read, is not what was written, or is of another version.
    """
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
        record = json.loads(text)
        del record["checksum"]
    except FileNotFoundError:
        raise DamagedFile(folder, MANIFEST, "is missing") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedFile(folder, MANIFEST, f"can't be read: {error}") from None
    if text != _with_checksum(record):
        raise DamagedFile(folder, MANIFEST, "has changed since it was written: its checksum is wrong")
    if (found := record.get("format")) != version:
        raise DamagedFile(
            folder,
            MANIFEST,
            f"was written by another version of this project: its format is {found}, expected {version}",
        )
    return record


def listed_files(record: Mapping) -> dict[str, FileSum]:
    """Return the files that a manifest lists, by path inside the folder.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: the record has another form.
    """
    return {
        name: FileSum(size=int(found["size"]), sha256=str(found["sha256"])) for name, found in record["files"].items()
    }


def unlisted_files(folder: Path, files: Mapping[str, FileSum]) -> list[str]:
    """Return what lies in the folder and is not in its manifest. A link to a folder counts as a file."""
    found = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    names = {path.relative_to(folder).as_posix() for path in found}
    return sorted(names - {*files, MANIFEST})


def damaged_files(folder: Path, files: Mapping[str, FileSum], *, reads: bool) -> Iterator[DamagedFile]:
    """Yield the files of the manifest that are missing or cut off; if it `reads`, also those of other bytes."""
    whole = []
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            yield DamagedFile(folder, name, "is missing")
        elif (size := path.stat().st_size) != expected.size:
            yield DamagedFile(folder, name, f"has {size:,} bytes; expected {expected.size:,}")
        else:
            whole.append(name)
    if not reads:
        return
    with ThreadPoolExecutor(_THREADS) as threads:
        changes = threads.map(lambda name: _change(folder, name, files[name]), whole)
        yield from (change for change in changes if change is not None)


def _change(folder: Path, name: str, expected: FileSum) -> DamagedFile | None:
    """Return how a file's bytes differ from those that were written; None where they don't."""
    try:
        found = _sum(folder / name, is_new=False).sha256
    except OSError as error:
        return DamagedFile(folder, name, f"can't be read: {error.strerror or error}")
    if found == expected.sha256:
        return None
    return DamagedFile(
        folder,
        name,
        f"has changed since it was written: its SHA-256 is {found[:16]}..., expected {expected.sha256[:16]}...",
    )


def _sum(path: Path, *, is_new: bool) -> FileSum:
    """Return size and SHA-256 of a file; one that `is_new` is on the disk when this returns."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if is_new:
            os.fsync(file.fileno())
        return FileSum(size=os.fstat(file.fileno()).st_size, sha256=digest)


def _with_checksum(record: Mapping[str, object]) -> str:
    """Return the record with its checksum as JSON, byte for byte the same for the same record."""
    checksum = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    return json.dumps({**record, "checksum": checksum}, indent=1) + "\n"
