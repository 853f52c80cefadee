"""Keep the translated rows in a JSON lines file that a killed command goes on with.

Rows are appended and flushed in the set's order. A kill can tear only the last line, which the next start cuts off.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from contracts.errors import BadInput
from contracts.files import write_whole
from contracts.user_files import read_user_json

QUESTIONS = "questions.jsonl"
ORIGIN = "translation.json"
"""Says what the rows were made of: they are gone on with only by the same translator and from the same set."""


class Journal:
    """Append rows, and know which ones are there."""

    def __init__(self, folder: Path, origin: Mapping[str, object]) -> None:
        """Open the rows of a folder, or begin them.

        Raises:
            BadInput: the folder has rows of another set or translator, or a line before the last is damaged.
        """
        self.path = folder / QUESTIONS
        check_origin(folder, origin)
        if not (folder / ORIGIN).exists():
            write_whole(folder / ORIGIN, json.dumps(dict(origin), ensure_ascii=False, indent=1) + "\n")
        self.done: set[tuple[str, str]] = set()  # item and language
        kept = 0
        for end, row in _whole_lines(self.path):
            kept = end
            self.done.add((str(row["item_id"]), str(row["language"])))
        self._file = self.path.open("ab")
        self._file.truncate(kept)

    def write(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Append rows that are not there yet; they are on the disk when this returns."""
        new = [row for row in rows if (str(row["item_id"]), str(row["language"])) not in self.done]
        self._file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in new).encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self.done.update((str(row["item_id"]), str(row["language"])) for row in new)

    def rows(self) -> Iterator[Mapping[str, object]]:
        """Yield all rows."""
        return (row for _, row in _whole_lines(self.path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def check_origin(folder: Path, origin: Mapping[str, object]) -> None:
    """Check that a folder has no rows of another origin.

    Raises:
        BadInput: it has; the message names what differs.
    """
    file = folder / ORIGIN
    if not file.exists():
        return
    found = read_user_json(file, key=ORIGIN)
    found = found if isinstance(found, dict) else {}
    if other := [name for name in origin if found.get(name) != origin[name]]:
        raise BadInput(
            f"{folder} holds translations with another {', '.join(other)}; choose another run.name", key="run.name"
        )


def _whole_lines(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield each row with the byte behind it; a last line without its end is torn, and left out."""
    if not path.exists():
        return
    end = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            end += len(line)
            try:
                row = json.loads(line)
                _ = row["item_id"], row["language"]
            except (ValueError, KeyError, TypeError):
                raise BadInput(
                    f"{path}, line {number}: no row of a translation; remove the line", key=path.name
                ) from None
            yield end, row
