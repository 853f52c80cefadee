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
from types import TracebackType
from typing import Self

from contracts.files import sync_folder, write_whole

MANIFEST = "manifest.json"
_THREADS = 4
"""Files that are read at once; hashing releases Python's interpreter lock."""
_PIECE = 16 << 20
"""Bytes that are summed and written at once, so that they are still in the processor's cache for the second."""


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


class SummedFile:
    """Write a new file and compute its checksum from the bytes on their way: nothing is read again.

    Use it in a `with` statement. The file is on the disk when the body ends, and `sum` is its size and checksum.
    """

    def __init__(self, path: Path) -> None:
        self.sum = FileSum(size=0, sha256="")
        self._path = path
        self._size = 0
        self._digest = hashlib.sha256()

    def __enter__(self) -> Self:
        self._file = self._path.open("wb")
        return self

    def write(self, content: bytes | memoryview) -> int:
        """Write the bytes at the end of the file, and return their number.

        Raises:
            OSError: the disk is full, or failed.
        """
        view = memoryview(content)
        if view.nbytes == 0:  # such a view can't be cast
            return 0
        view = view.cast("B")
        for start in range(0, len(view), _PIECE):
            piece = view[start : start + _PIECE]
            self._digest.update(piece)
            self._file.write(piece)
        self._size += len(view)
        return len(view)

    def flush(self) -> None:
        """Do nothing: the end of the body writes everything out. Libraries that write to a file ask for it."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is not None:
                return
            self._file.flush()
            os.fsync(self._file.fileno())
        self.sum = FileSum(size=self._size, sha256=self._digest.hexdigest())


def seal_folder(folder: Path, about: Mapping[str, object], *, sums: Mapping[str, FileSum]) -> None:
    """Write the manifest, with `about` in it; the whole folder is on the disk when this returns.

    `sums` has the files whose checksum is known from writing them, by path inside the folder. They are on the disk and
    are not read. All other files are read and summed here.

    Raises:
        OSError: a file could not be read or written, or has another size than was written.
    """
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    names = sorted(name for name in found if name != MANIFEST)
    for name, expected in sums.items():
        if (size := (folder / name).stat().st_size) != expected.size:
            raise OSError(f"{folder / name} has {size:,} bytes; {expected.size:,} were written")
    with ThreadPoolExecutor(_THREADS) as threads:
        read = threads.map(lambda name: sums.get(name) or _sum(folder / name, is_new=True), names)
        files = {name: asdict(found) for name, found in zip(names, read, strict=True)}
    write_whole(folder / MANIFEST, _with_checksum({**about, "files": files}))
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
