"""Read small text files that a person wrote: UTF-8 text and TOML, with bounds, each mistake as one sentence.

Whatever Python raises for such a file becomes `UnreadableFile`, so that no caller has to know the ways to fail.
"""

import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path

MAX_BYTES = 64 << 20
"""Largest file that is read at once. What is written by hand is far smaller."""
MAX_DEPTH = 16
"""Deepest nesting of tables and lists in a TOML text."""
_INTEGERS = range(-(1 << 63), 1 << 63)  # what TOML 1.0 promises: 64 bits with sign


class UnreadableFile(ValueError):
    """Report why a file can't be used; the message completes the sentence "FILE ..."."""


class OutOfBounds(UnreadableFile):
    """Report a number or a nesting beyond the bounds of this module."""


def read_text(path: Path) -> str:
    """Return the text of a regular file; a byte order mark is dropped.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableFile: it is a folder, a pipe or another kind of file, too large, not UTF-8, or the system refuses.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableFile("is a folder; give a file")
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for a writer
            raise UnreadableFile("is a pipe, a socket or a device; give a regular file")
        if status.st_size > MAX_BYTES:
            raise UnreadableFile(f"has {status.st_size:,} bytes; at most {MAX_BYTES:,} are read")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnreadableFile(f"can't be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except ValueError as error:
        if isinstance(error, UnreadableFile):
            raise
        raise UnreadableFile(f"can't be read: {error}") from None  # a path with a zero byte


def read_toml(path: Path) -> dict[str, object]:
    """Return the values of a TOML file.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableFile: it can't be read, is not TOML, is nested too deeply, or has a number of more than 64 bits.
    """
    return parse_toml(read_text(path))


def parse_toml(text: str) -> dict[str, object]:
    """Return the values of a TOML text.

    Raises:
        UnreadableFile: it is not TOML, is nested too deeply, or has a number of more than 64 bits.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UnreadableFile(f"is not valid TOML: {error}") from None
    except ValueError:  # Python converts no integer of more than 4,300 digits
        raise OutOfBounds("has an integer of thousands of digits; 64 bits are the most") from None
    except RecursionError:
        raise OutOfBounds(f"is nested too deeply; {MAX_DEPTH} levels are the most") from None
    _check_bounds(values)
    return values


def _check_bounds(values: Mapping[str, object]) -> None:
    """Check nesting and integers, without recursion."""
    waiting: list[tuple[str, object, int]] = [(key, value, 1) for key, value in values.items()]
    while waiting:
        key, value, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise OutOfBounds(f"is nested too deeply at {key[:80]}; {MAX_DEPTH} levels are the most")
        if isinstance(value, dict):
            waiting += [(f"{key}.{name}", inner, depth + 1) for name, inner in value.items()]
        elif isinstance(value, list):
            waiting += [(key, inner, depth + 1) for inner in value]
        elif isinstance(value, int) and value not in _INTEGERS:
            raise OutOfBounds(f"has an integer of {value.bit_length()} bits at {key[:80]}; 64 bits are the most")
