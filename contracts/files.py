"""Write files that are whole under their own name, also after a kill, a full disk or a power cut."""

import ctypes
import errno
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

WRITING = ".writing"
"""What the name of a file ends with that is being written."""


def write_whole(path: Path, content: str | bytes, *, is_shared: bool = False) -> None:
    """Replace the file at `path` by `content` (text as UTF-8), whole or not at all.

    `is_shared` says that several processes may write this path at the same time: then the last to finish wins.

    Raises:
        OSError: it could not be written; the file that was there stays.
    """
    with whole_file(path, is_shared=is_shared) as aside:
        aside.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def whole_file(path: Path, *, is_shared: bool = False) -> Iterator[Path]:
    """Yield a path beside `path` for the body to write to; afterwards that file takes the place of the one at `path`.

    The new file and its name are on the disk when this returns. A body that raises leaves nothing behind, and the file
    that was at `path` stays. A file that a kill has left behind is written over, except where `is_shared` says that
    several processes may write this path at the same time: each then has a file of its own.

    Raises:
        OSError: the file could not be written, or the body wrote none.
    """
    name = f".{path.name}.{uuid.uuid4().hex}{WRITING}" if is_shared else f"{path.name}{WRITING}"
    aside = path.with_name(name)
    try:
        aside.unlink(missing_ok=True)
        yield aside
        sync_file(aside)
        os.replace(aside, path)
    except BaseException:
        if aside.is_file():
            aside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder and the missing ones above it; its name is on the disk when this returns.

    Raises:
        OSError: it could not be made.
    """
    if not path.parent.exists():
        make_folder(path.parent)
    path.mkdir(exist_ok=True)
    sync_folder(path.parent)


def swap_folders(one: Path, other: Path) -> None:
    """Exchange the names of two folders in one step of the file system (Linux's renameat2, RENAME_EXCHANGE).

    Raises:
        OSError: one of them is missing, or the file system can't do it (EINVAL, ENOSYS or ENOTSUP).
    """
    here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), str(one), None, str(other))


def replace_folder(aside: Path, place: Path, *, swap: Callable[[Path, Path], None] = swap_folders) -> None:
    """Give the folder `aside` the name `place`; a folder that had this name has the name `aside` afterwards.

    At every moment `place` is the old folder or the new one, also after a power cut. On a file system that can't swap
    names there is none for a moment; a kill in that moment leaves the old folder as `<place>.old`.

    Raises:
        OSError: the file system refused.
    """
    if not place.exists():
        aside.rename(place)
    else:
        try:
            swap(aside, place)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
                raise
            old = place.with_name(f"{place.name}.old")
            place.rename(old)
            aside.rename(place)
            old.rename(aside)
    sync_folder(place.parent)


def sync_file(path: Path) -> None:
    """Wait until the content of a file is on the disk, whoever wrote it.

    Raises:
        OSError: there is no such file, or the disk failed.
    """
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk; some network file systems have no such call, and need none.

    Raises:
        OSError: the disk failed.
    """
    place = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(place)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(place)
