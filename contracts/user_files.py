"""Read what the user gives behind one guard: whatever a library raises becomes one `BadInput`.

Wrap the library's call only, never code of our own: a mistake of the project must stay a traceback.
"""

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.errors import BadInput
from languages.text_file import UnreadableFile, read_text

_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_LONGEST_CAUSE = 300  # characters of a library's own message that are repeated


@contextmanager
def guarded(what: str, *, key: str, way_out: str = "") -> Iterator[None]:
    """Turn whatever the body raises into a BadInput: "`what`: the cause; `way_out`".

    A full or read-only disk stays an OSError, which is not a mistake in the user's file.

    Raises:
        BadInput: the body raised anything but an order to stop.
    """
    try:
        yield
    except BadInput:
        raise
    except BaseException as error:
        # A panic of a Rust library (tokenizers, safetensors) is a BaseException, and of no class that can be imported.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        if isinstance(error, OSError) and error.errno in _DISK:
            raise
        raise BadInput(f"{what}: {cause(error)}" + (f"; {way_out}" if way_out else ""), key=key) from error


def cause(error: BaseException) -> str:
    """Return in one line, shortened, why a library failed."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 text (byte {error.start})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    deepest = error.__cause__ or error
    text = " ".join(str(deepest).split())
    text = text if len(text) <= _LONGEST_CAUSE else f"{text[:_LONGEST_CAUSE]}..."
    # The message of many classes means little alone: KeyError's is a key.
    return text if isinstance(deepest, ValueError | OSError) and text else f"{type(deepest).__name__}: {text}"


def read_user_text(path: Path, *, key: str, way_out: str = "") -> str:
    """Return the text of a regular UTF-8 file.

    Raises:
        BadInput: there is none, or it can't be read.
    """
    more = f"; {way_out}" if way_out else ""
    try:
        return read_text(path)
    except FileNotFoundError:
        raise BadInput(f"{_of_key(key, path)}there is no file {path}{more}", key=key) from None
    except UnreadableFile as error:
        raise BadInput(f"{_of_key(key, path)}{path} {error}{more}", key=key) from None


def _of_key(key: str, path: Path) -> str:
    """Return the config key that names the file, for the start of a message; empty for a file that no key names."""
    return "" if key == path.name else f"{key}: "


def read_user_json(path: Path, *, key: str, way_out: str = "") -> object:
    """Return what a JSON file holds.

    Raises:
        BadInput: there is none, it can't be read, or it is not JSON that Python can hold.
    """
    return parse_user_json(read_user_text(path, key=key, way_out=way_out), where=str(path), key=key, way_out=way_out)


def parse_user_json(text: str, *, where: str, key: str, way_out: str = "", is_line: bool = False) -> object:
    """Return what a JSON text holds; `is_line` says that it is one line of a file, which `where` names.

    Raises:
        BadInput: it is not JSON, is nested too deeply, or has an integer of more than 4,300 digits.
    """
    more = f"; {way_out}" if way_out else ""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = "" if is_line else f", line {error.lineno}"
        raise BadInput(f"{where}{line}: broken JSON at column {error.colno}: {error.msg}{more}", key=key) from None
    except RecursionError:
        raise BadInput(f"{where}: the JSON is nested too deeply{more}", key=key) from None
    except ValueError:  # Python converts no integer of more than 4,300 digits
        raise BadInput(f"{where}: an integer has more than 4,300 digits{more}", key=key) from None
