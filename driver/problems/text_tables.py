"""Read tables that are text: CSV and TSV row by row, and a JSON document at once."""

import csv
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from contracts.errors import BadInput, shown
from contracts.user_files import parse_user_json, read_user_text
from driver.problems.tables import JsonlTable, Row, Table, columns_of, open_text

_SEPARATORS = ",;\t"


class CsvTable:
    """Read a CSV file: cells may be quoted, and a quoted cell may hold separators, quotes and line ends.

    The separator is the one of comma, semicolon and tab that divides the first line into most columns.
    """

    def __init__(self, path: Path, *, header: Sequence[str] = ()) -> None:
        """Find where every row begins; `header` names the columns of a file that has no line with them.

        Raises:
            BadInput: the file or a row can't be read, a row has more or fewer cells than there are columns, or two
                columns have one name.
        """
        self.path = path
        self._file = open_text(path)
        first = self._file.readline().decode("utf-8-sig", "replace")
        self._separator = max(
            _SEPARATORS, key=lambda separator: len(next(csv.reader([first], delimiter=separator), []))
        )
        self._starts = array("Q")  # byte of each row
        self._lines = array("Q")  # line of each row, from 1
        self.columns: list[str] = []
        self._scan(header)

    def __len__(self) -> int:
        return len(self._starts)

    def rows(self) -> Iterator[Row]:
        return map(self.row, range(len(self)))

    def row(self, number: int) -> Row:
        self._file.seek(self._starts[number])
        cells, _, _ = next(self._records(line=self._lines[number]))
        return _named(self.columns, cells)

    def where(self, number: int) -> str:
        return f"{self.path}, line {self._lines[number]}"

    def _scan(self, header: Sequence[str]) -> None:
        self._file.seek(0)
        self.columns = list(header)
        start = 0
        for cells, line, end in self._records(line=1):
            if not self.columns:
                self.columns = [cell.strip() for cell in cells]
            elif any(cells):
                _check_width(cells, self.columns, f"{self.path}, line {line}", key=self.path.name)
                self._starts.append(start)
                self._lines.append(line)
            start = end
        _check_columns(self.columns, self.path)

    def _records(self, *, line: int) -> Iterator[tuple[list[str], int, int]]:
        """Yield the cells of each record from the file's place on, its first line, and the byte behind it."""
        consumed, num_lines = self._file.tell(), line - 1

        def lines() -> Iterator[str]:
            nonlocal consumed, num_lines
            for content in self._file:
                is_first = consumed == 0
                consumed, num_lines = consumed + len(content), num_lines + 1
                yield _decoded(content, f"{self.path}, line {num_lines}", key=self.path.name, is_first=is_first)

        reader = csv.reader(lines(), delimiter=self._separator, strict=True)
        while True:
            first = num_lines + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise BadInput(
                    f"{self.path}, line {first}: {error}; a cell with a quote is written in quotes, and its own quotes "
                    "twice",
                    key=self.path.name,
                ) from None
            yield cells, first, consumed


class TsvTable:
    """Read a TSV file: a row is a line, cells are divided by tabs, and a quote is a character like others."""

    def __init__(self, path: Path, *, header: Sequence[str] = ()) -> None:
        """Find where every row begins; `header` names the columns of a file that has no line with them.

        Raises:
            BadInput: the file or a row can't be read, a row has more or fewer cells than there are columns, or two
                columns have one name.
        """
        self.path = path
        self._file = open_text(path)
        self._starts, self._lines = array("Q"), array("Q")
        self.columns: list[str] = list(header)
        start = 0
        for line, content in enumerate(self._file, start=1):
            where = f"{path}, line {line}"
            text = _decoded(content, where, key=path.name, is_first=start == 0).rstrip("\r\n")
            if not self.columns:
                self.columns = [cell.strip() for cell in text.split("\t")]
            elif text.strip():
                _check_width(text.split("\t"), self.columns, where, key=path.name)
                self._starts.append(start)
                self._lines.append(line)
            start += len(content)
        _check_columns(self.columns, path)

    def __len__(self) -> int:
        return len(self._starts)

    def rows(self) -> Iterator[Row]:
        return map(self.row, range(len(self)))

    def row(self, number: int) -> Row:
        self._file.seek(self._starts[number])
        text = self._file.readline().decode("utf-8-sig" if self._starts[number] == 0 else "utf-8")
        return _named(self.columns, text.rstrip("\r\n").split("\t"))

    def where(self, number: int) -> str:
        return f"{self.path}, line {self._lines[number]}"


class RowList:
    """Hold rows that were read at once, with their numbers in the file."""

    def __init__(self, rows: Sequence[Row], *, name: str) -> None:
        self._rows = rows
        self._name = name
        self.columns = columns_of(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self) -> Iterator[Row]:
        return iter(self._rows)

    def row(self, number: int) -> Row:
        return self._rows[number]

    def where(self, number: int) -> str:
        return f"{self._name}, row {number + 1}"


def open_json(path: Path) -> Table:
    """Open a JSON file: a list of objects, an object of lists (a list for each column), or an object in each line.

    Raises:
        BadInput: it is neither.
    """
    open_text(path).close()
    text = read_user_text(path, key=path.name)
    if _is_json_lines(text):
        return JsonlTable(path)
    found = parse_user_json(text, where=str(path), key=path.name) if text.strip() else []
    if isinstance(found, dict) and found and all(isinstance(column, list) for column in found.values()):
        lengths = {name: len(column) for name, column in found.items()}
        if len(set(lengths.values())) > 1:
            counted = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise BadInput(f"{path}: columns have different numbers of rows: {counted}", key=path.name)
        found = [dict(zip(found, cells, strict=True)) for cells in zip(*found.values(), strict=True)]
    if isinstance(found, dict) and found and not any(isinstance(cell, list | dict) for cell in found.values()):
        found = [found]  # JSON lines with one line
    if not isinstance(found, list):
        raise BadInput(
            f"{path} holds {_kind(found)}; it must be a list of objects, or an object with a list for each column",
            key=path.name,
        )
    for number, row in enumerate(found, start=1):
        if not isinstance(row, dict):
            raise BadInput(f"{path}, row {number}: {shown(row)}; every row must be a JSON object", key=path.name)
    return RowList(found, name=str(path))


def _is_json_lines(text: str) -> bool:
    """Return whether the first line is a whole object and another line follows."""
    lines = text.strip().split("\n", 2)
    return len(lines) > 1 and all(line.strip().startswith("{") and line.strip().endswith("}") for line in lines[:2])


def _kind(value: object) -> str:
    if isinstance(value, Mapping):
        return f"an object with {', '.join(map(str, list(value)[:5]))}" if value else "an empty object"
    return f"a {type(value).__name__}"


def _named(columns: Sequence[str], cells: Sequence[str]) -> Row:
    """Return the cells by column; what a spreadsheet keeps in columns without a name is left out."""
    return {name: cell for name, cell in zip(columns, cells, strict=True) if name}


def _check_width(cells: Sequence[str], columns: Sequence[str], where: str, *, key: str) -> None:
    if len(cells) != len(columns):
        raise BadInput(
            f"{where}: {len(cells)} cells, and there are {len(columns)} columns "
            f"({shown(', '.join(columns))}); a cell that holds a separator must be in quotes",
            key=key,
        )


def _check_columns(columns: Sequence[str], path: Path) -> None:
    named = [name for name in columns if name]
    if not named:
        raise BadInput(f"{path} is empty; its first line should name the columns", key=path.name)
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise BadInput(f"{path}: the column {twice[0]!r} is there twice; give each a name of its own", key=path.name)


def _decoded(content: bytes, where: str, *, key: str, is_first: bool) -> str:
    try:
        return content.decode("utf-8-sig" if is_first else "utf-8")
    except UnicodeDecodeError:
        raise BadInput(f"{where}: not UTF-8 text; save the file as UTF-8", key=key) from None
