"""Read a table of a user's own as a table of problems: its columns by what they hold, its languages by their codes.

A long table has a row for each problem and language. A wide one has a column for each language: `question_sw`, or just
`sw`, or as `data.columns.question = "problem_{language}"` says.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from hashlib import blake2b
from typing import Protocol

from contracts.config.data import ProblemColumns
from contracts.errors import BadInput
from driver.language_names import language_title
from driver.problems.assumed_language import is_other_language
from driver.problems.rows import is_missing
from driver.problems.tables import Row, Table
from driver.problems.text_tables import CsvTable, TsvTable
from languages.codes import language_code

_PLACE = "{language}"
_USUAL = {
    "item_id": ("id", "idx", "gid", "uid", "index", "problem_id", "question_id", "item"),
    "language": ("lang", "locale", "lang_code", "language_code"),
    "question": ("problem", "prompt", "query", "input", "text", "instruction"),
    "question_en": ("english", "english_question", "en_question", "problem_en", "question_english", "en"),
    "answer": ("gold", "target", "label", "solution", "answer_number", "final_answer"),
    "translation": ("solution", "rationale"),
}
"""Names that others give to the same columns, to be suggested."""
_LOOKED_FOR = ("question", "language", "question_en", "answer", "item_id")
"""What a table's columns are taken for by their names alone. A worked solution is not: it may be in any language."""


class ProblemTable(Table, Protocol):
    """Read rows whose columns have the names of problems. A row without anything in it is a gap, not a mistake."""

    @property
    def notes(self) -> Sequence[str]:
        """Return what a user should know about how the table was read; complete once all rows were read."""
        ...


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Say what is read of a table."""

    section: str  # "data" or "evaluation", for messages
    columns: ProblemColumns
    languages: Sequence[str]
    rows_language: str = "auto"
    needs_english: bool = True


def as_problem_table(table: Table, wanted: Wanted) -> ProblemTable:
    """Return the table with the columns of problems.

    Raises:
        BadInput: a column is missing (the message suggests one that is near), or nothing says the rows' language.
    """
    if not len(table):
        return LongTable(table, wanted)
    _check_named(table, wanted)
    if _PLACE in wanted.columns.question or not _has(table, wanted, "question"):
        if found := _language_columns(table, wanted):
            return WideTable(table, wanted, found)
        if _PLACE in wanted.columns.question:
            raise _missing(table, wanted, "question")
    return LongTable(table, wanted)


def find_usual(table: Table, wanted: Wanted) -> dict[str, str]:
    """Return the columns that are there under another usual name, by what they hold; none of a wide table's."""
    if not len(table) or (not _has(table, wanted, "question") and _language_columns(table, wanted)):
        return {}
    found: dict[str, str] = {}
    for meaning in _LOOKED_FOR:
        taken = (*wanted.columns.by_meaning.values(), *found.values())
        if not _has(table, wanted, meaning) and (name := _usual(table, meaning, taken=taken)):
            found[meaning] = name
    return found


def read_columns(names: Sequence[str], wanted: Wanted) -> list[str]:
    """Return which columns of a file may be read: those of problems, and those that may be a language's."""
    patterns = wanted.columns.by_meaning.values()
    begins = tuple(pattern.partition(_PLACE)[0] or pattern for pattern in patterns)
    return [name for name in names if name.startswith(begins) or language_code(name)]


class LongTable:
    """Read a row for each problem and language."""

    def __init__(self, table: Table, wanted: Wanted) -> None:
        self._table = table
        self._names = {meaning: name for meaning, name in wanted.columns.by_meaning.items() if name in table.columns}
        self._taken: dict[str, str] = {}
        self._notes: list[str] = []
        self._language = ""
        self._english: dict[bytes, int] = {}  # item -> its English row
        if len(table):
            if "question" not in self._names:
                raise _missing(table, wanted, "question")
            if "language" not in self._names:
                self._language = self._language_of_all(wanted)
            self._note_item_ids(wanted)
            if wanted.needs_english and "question_en" not in self._names:
                self._find_english(wanted)

    def __len__(self) -> int:
        return len(self._table)

    @property
    def columns(self) -> Sequence[str]:
        return list(self._names)

    @property
    def notes(self) -> Sequence[str]:
        return (*self._notes, *_taken_for(self._taken))

    def rows(self) -> Iterator[Row]:
        for number, row in enumerate(self._table.rows()):
            yield self._by_meaning(row, number)

    def row(self, number: int) -> Row:
        return self._by_meaning(self._table.row(number), number)

    def where(self, number: int) -> str:
        return self._table.where(number)

    def _by_meaning(self, row: Row, number: int) -> Row:
        found = {meaning: row[name] for meaning, name in self._names.items() if name in row}
        found["language"] = self._language or self._code(found.get("language"))
        if "item_id" not in self._names:
            found["item_id"] = f"row-{number + 1}"
        if self._english:
            english = self._english.get(_digest(found.get("item_id")))
            found["question_en"] = None if english is None else self._table.row(english).get(self._names["question"])
        return found

    def _code(self, written: object) -> object:
        if not isinstance(written, str):
            return written
        if written not in self._taken:
            self._taken[written] = language_code(written) or written
        return self._taken[written]

    def _language_of_all(self, wanted: Wanted) -> str:
        """Return the language of all rows, where no column says it.

        Raises:
            BadInput: a column with another name may say it, several languages are asked for, or the questions don't
                look like the one that is.
        """
        if wanted.rows_language != "auto":
            if (code := language_code(wanted.rows_language)) is None:
                raise BadInput(
                    f"{wanted.section}.rows_language: unknown language {wanted.rows_language!r}",
                    key=f"{wanted.section}.rows_language",
                )
            return code
        if len(wanted.languages) > 1 or _near(self._table, "language"):
            way_out = f'; or say {wanted.section}.rows_language = "..." if all rows are in one language'
            raise _missing(self._table, wanted, "language", way_out=way_out)
        (language,) = wanted.languages
        questions = (row.get(self._names["question"]) for row in self._table.rows())
        if is_other_language((text for text in questions if isinstance(text, str)), language):
            raise BadInput(
                f"{self._table.where(0)}: no column says the language of the rows, and most questions don't "
                f"look like {_titled(language)}{'' if language == 'en' else ' but like English'}; name their "
                f'language: {wanted.section}.rows_language = "..."',
                key=f"{wanted.section}.rows_language",
            )
        self._notes.append(f"it has no column of the language: all rows are taken to be in {_titled(language)}")
        return language

    def _note_item_ids(self, wanted: Wanted) -> None:
        if "item_id" not in self._names and (near := _near(self._table, "item_id")):
            self._notes.append(
                f"it has no column {wanted.columns.item_id!r}: every row counts as an item of its own. If {near!r} "
                f'names the item: {wanted.section}.columns.item_id = "{near}"'
            )

    def _find_english(self, wanted: Wanted) -> None:
        """Find the English row of every item: it holds the English question of the item's other languages.

        Raises:
            BadInput: no row can have an English question.
        """
        if "item_id" in self._names and "language" in self._names:
            for number, row in enumerate(self._table.rows()):
                if self._code(row.get(self._names["language"])) == "en":
                    self._english[_digest(row.get(self._names["item_id"]))] = number
        if not self._english and (self._language or None) != "en" and any(code != "en" for code in wanted.languages):
            raise _missing(
                self._table,
                wanted,
                "question_en",
                way_out="; the pivot answers the English question: `translate` writes it where there is none",
            )


class WideTable:
    """Read a column for each language. Row n of the file is item n, and an empty cell is a gap."""

    def __init__(self, table: Table, wanted: Wanted, questions: Mapping[str, str]) -> None:
        """`questions` names the column of each language."""
        self._table = table
        self._wanted = wanted
        self._questions = dict(questions)
        self._languages = [code for code in questions if code in wanted.languages]
        others = [code for code in questions if code not in wanted.languages and code != "en"]
        self._notes = [
            "columns of questions: " + ", ".join(f"{name} ({_titled(code)})" for code, name in questions.items())
        ]
        if others:
            self._notes.append(f"not asked for, and left out: {', '.join(map(_titled, others))}")
        self._num_gaps: Counter[str] = Counter()
        if wanted.needs_english and "en" not in questions and wanted.columns.question_en not in table.columns:
            raise _missing(
                table,
                wanted,
                "question_en",
                way_out="; the pivot answers the English question: `translate` writes it where there is none",
            )

    def __len__(self) -> int:
        return len(self._table) * len(self._languages)

    @property
    def columns(self) -> Sequence[str]:
        return self._table.columns

    @property
    def notes(self) -> Sequence[str]:
        gaps = [f"{count} in {_titled(code)}" for code, count in self._num_gaps.items()]
        return (*self._notes, *([f"empty cells, which are passed over: {', '.join(gaps)}"] if gaps else []))

    def rows(self) -> Iterator[Row]:
        for number, row in enumerate(self._table.rows()):
            for language in self._languages:
                found = self._of_language(row, number, language)
                self._num_gaps.update([language] if not found else [])
                yield found

    def row(self, number: int) -> Row:
        line, which = divmod(number, len(self._languages))
        return self._of_language(self._table.row(line), line, self._languages[which])

    def where(self, number: int) -> str:
        line, which = divmod(number, len(self._languages))
        return f"{self._table.where(line)}, column {self._questions[self._languages[which]]!r}"

    def _of_language(self, row: Row, number: int, language: str) -> Row:
        question = row.get(self._questions[language])
        if is_missing(question):
            return {}
        columns = self._wanted.columns
        english = row.get(columns.question_en, row.get(self._questions.get("en", "")))
        found = {"item_id": row.get(columns.item_id, f"row-{number + 1}"), "language": language, "question": question}
        found["question_en"] = None if is_missing(english) else english
        for meaning in ("answer", "translation"):
            pattern = columns.by_meaning[meaning]
            name = pattern.replace(_PLACE, language) if _PLACE in pattern else f"{pattern}_{language}"
            found[meaning] = row.get(name, row.get(pattern))
        return found


def _language_columns(table: Table, wanted: Wanted) -> dict[str, str]:
    """Return the column of each language's question by the code: by the pattern, else `question_sw`, else `sw`.

    A bare code counts only for languages that are asked for, and for English: a column `id` is seldom Indonesian.
    """
    pattern = wanted.columns.question
    pattern = pattern if _PLACE in pattern else f"{pattern}_{_PLACE}"
    before, _, behind = pattern.partition(_PLACE)
    found: dict[str, str] = {}
    for name in table.columns:
        inner = name[len(before) : len(name) - len(behind)]
        if name.startswith(before) and name.endswith(behind) and inner and (code := language_code(inner)):
            found.setdefault(code, name)
    if any(code in wanted.languages for code in found):
        return found
    if _PLACE in wanted.columns.question or _has(table, wanted, "language"):
        return {}
    bare = {code: name for name in table.columns if (code := language_code(name))}
    bare = {code: name for code, name in bare.items() if code in (*wanted.languages, "en")}
    return bare if any(code in wanted.languages for code in bare) else {}


def _check_named(table: Table, wanted: Wanted) -> None:
    """Check that the columns that the config names are there.

    Raises:
        BadInput: one is not.
    """
    usual = ProblemColumns().by_meaning
    for meaning, name in wanted.columns.by_meaning.items():
        if name != usual[meaning] and _PLACE not in name and name not in table.columns:
            raise _missing(table, wanted, meaning)


def _has(table: Table, wanted: Wanted, meaning: str) -> bool:
    return wanted.columns.by_meaning[meaning] in table.columns


def _missing(table: Table, wanted: Wanted, meaning: str, *, way_out: str = "") -> BadInput:
    """Return the error about a column that is not there, with the one that may be meant."""
    name = wanted.columns.by_meaning[meaning]
    near = _near(table, meaning, taken=wanted.columns.by_meaning.values())
    there = ", ".join(str(column)[:40] for column in table.columns)
    if meaning == "question" and isinstance(table, CsvTable | TsvTable):
        way_out += f'; if the first line has no names, give them: {wanted.section}.header = ["question", "answer"]'
    hint = f'; did you mean {wanted.section}.columns.{meaning} = "{near}"?' if near else ""
    where = table.where(0) if len(table) else "the table"
    return BadInput(f"{where}: no column {name!r}; there are {there}{hint}{way_out}", key=meaning)


def _near(table: Table, meaning: str, *, taken: Collection[str] = ()) -> str | None:
    """Return the column that may hold what a missing one should: by a usual name of it, else by a similar one."""
    if usual := _usual(table, meaning, taken=taken):
        return usual
    lower = _lower(table, taken)
    close = get_close_matches(meaning, lower, n=1, cutoff=0.75)
    return lower[close[0]] if close else None


def _usual(table: Table, meaning: str, *, taken: Collection[str]) -> str | None:
    lower = _lower(table, taken)
    return next((lower[name] for name in (meaning, *_USUAL[meaning]) if name in lower), None)


def _lower(table: Table, taken: Collection[str]) -> dict[str, str]:
    """Return the columns that are not taken, by their names in lower case."""
    return {str(name).casefold(): str(name) for name in table.columns if name not in taken}


def _taken_for(taken: Mapping[str, str]) -> Iterator[str]:
    """Yield one line about the languages that were written in another way than by their codes."""
    others = [f'"{written}" as {_titled(code)}' for written, code in taken.items() if written != code]
    if others:
        yield f"languages are taken so: {', '.join(others)}"


def _titled(code: str) -> str:
    return f"{code} ({language_title(code)})"


def _digest(item_id: object) -> bytes:
    return blake2b(str(item_id).encode("utf-8", "surrogatepass"), digest_size=8).digest()
