"""Files of JSON lines that outlive a kill. A leaf: knows nothing of what the lines mean."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from contracts.files import whole_file


class JsonLines:
    """Appends flushed lines. A kill can tear only the last one, which is then closed and never read."""

    def __init__(self, path: Path) -> None:
        is_torn = path.exists() and path.stat().st_size > 0 and not path.read_bytes().endswith(b"\n")
        # A lone surrogate of a response, which UTF-8 can't hold, becomes the escape that JSON has for it.
        self._file = path.open("a", encoding="utf-8", errors="backslashreplace")
        if is_torn:
            self._file.write("\n")

    def append(self, record: Mapping[str, object]) -> None:
        """Raises ValueError for a number that JSON can't hold (NaN, infinity)."""
        self._file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_lines(path: Path) -> Iterator[dict]:
    """Lines that a kill has torn are passed over: what they are of was not finished. No file: no lines."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:  # torn inside a character
        for line in lines:
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue
            if isinstance(record, dict):
                yield record


def replace_lines(path: Path, records: Iterable[Mapping[str, object]]) -> None:
    """Write the file anew with these lines, whole or not at all. No file: stays so."""
    if not path.exists():
        return
    with whole_file(path) as aside, closing(JsonLines(aside)) as lines:
        for record in records:
            lines.append(record)
