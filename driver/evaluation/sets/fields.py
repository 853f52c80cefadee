"""Read the fields of a row as its task describes them: texts, options, and the gold answer in its canonical form."""

import math
from collections.abc import Callable, Mapping

from contracts.errors import BadInput, shown
from driver.evaluation.sets.item import LETTERS
from driver.evaluation.sets.rows import list_of_texts
from driver.evaluation.tasks.definition import EvaluationTask, Template
from driver.problems.mgsm import without_thousands
from driver.problems.tables import Row
from rewards.answers.final import kind_of, plain_answer
from rewards.reading import PIVOT_LANGUAGE

_ABSENT = ("", "N/A", "None", "nan")


class Fields:
    """Read one row; whatever is wrong with it is refused with its place."""

    def __init__(self, task: EvaluationTask, row: Row, *, where: Callable[[], str], language: str) -> None:
        self._task = task
        self._row = row
        self._where = where
        self._language = language

    def text(self, column: str) -> str:
        """Return a column as text.

        Raises:
            BadInput: there is no such column, it is empty, or it holds a list or a table.
        """
        if column not in self._row:
            raise self._wrong(
                f"no column {column!r}; there are {', '.join(map(str, self._row))}: is this {self._task.title}?",
                column,
            )
        value = self._row[column]
        if _is_empty(value):
            raise self._wrong(f"{column} is empty", column)
        if isinstance(value, list | tuple | dict):
            raise self._wrong(f"{column} is {shown(value)}; it must be a text or a number", column)
        return str(value)

    def optional(self, column: str) -> str:
        """Return a column as text; "" where it is empty or the task names none."""
        value = self._row.get(column) if column else None
        return "" if value is None else str(value)

    @property
    def item_id(self) -> str:
        """Return the item's name; "" where the task names no column, or a file without a header has none for it."""
        columns, header = self._task.items.item_id, self._task.data.columns
        is_without = tuple(self._row) == header and not set(columns) <= set(header)
        return "" if is_without else "/".join(map(self.text, columns))

    @property
    def options(self) -> tuple[str, ...]:
        """Return the texts of the options in order; none where the task allows rows without and this is one.

        Raises:
            BadInput: they are no list, one is empty, there are fewer than two, or more than there are letters.
        """
        columns = self._task.items.options
        if not columns:
            return ()
        if isinstance(columns, str):
            found = self._listed_options(columns)
        else:
            found = tuple(text for column in columns if (text := self.optional(column).strip()) not in _ABSENT)
        is_without = not found and self._task.answer == "any"
        if not (is_without or 2 <= len(found) <= len(LETTERS)):
            name = columns if isinstance(columns, str) else columns[0]
            raise self._wrong(f"{len(found)} options; there must be 2 to {len(LETTERS)}", name)
        return found

    def _listed_options(self, column: str) -> tuple[str, ...]:
        value = self._row.get(column)
        if _is_empty(value) or value == []:
            return ()
        found = list_of_texts(value)
        if found is None:
            raise self._wrong(f"{column} is {shown(value)}; it must be a list of options", column)
        if "" in (text.strip() for text in found):
            raise self._wrong(f"{column} is {shown(value)}; one of the options is empty", column)
        return found

    def gold(self, options: tuple[str, ...]) -> str:
        """Return the gold answer in its canonical form; of a row with options, a letter.

        Raises:
            BadInput: it can't be read as what the task says, or names an option that is missing.
        """
        form = self._task.answer
        if form == "none":
            return ""
        column = self._task.items.answer
        written = self.text(column).strip()
        if form == "clause":
            return written
        if form == "any":
            form = "letter" if options else "any"
        if form in ("letter", "index", "position"):
            return self._gold_letter(written, form, options)
        gold = plain_answer(without_thousands(written), PIVOT_LANGUAGE)
        is_cut = written.count("{") != written.count("}")
        if gold is None or is_cut or (form == "number" and kind_of(gold) != "number"):
            what = "a number" if form == "number" else "an answer"
            raise self._wrong(f"{column} is {shown(written)}, which can't be read as {what}", column)
        return gold

    def _gold_letter(self, written: str, form: str, options: tuple[str, ...]) -> str:
        letters = LETTERS[: len(options)]
        place = -1
        if form == "letter":
            place = letters.find(written.strip("().").upper()) if len(written.strip("().")) == 1 else -1
            if place < 0 and options.count(written) == 1:
                place = options.index(written)
        elif written.removesuffix(".0").isdecimal():
            place = int(written.removesuffix(".0")) - (form == "position")
        if not 0 <= place < len(options):
            column = self._task.items.answer
            num = options.count(written)
            what = f"{num} options alike" if num > 1 else f"none of the {len(options)} options"
            raise self._wrong(f"{column} is {shown(written)}, which names {what}", column)
        return letters[place]

    def fill(self, template: Template, made: Mapping[str, str] | None = None) -> str:
        """Return a template with its placeholders filled.

        Args:
            template: with names of columns, of `made`, and of words that depend on a column.
            made: further values by name, such as the text of an option.
        """
        parts = [before + _filtered(self._value(name, made or {}), chosen) for before, name, chosen in template.parts]
        return "".join(parts) + template.ending

    def _value(self, name: str, made: Mapping[str, str]) -> str:
        if name in made:
            return made[name]
        if (choice := self._task.words.get(name)) is None:
            return self.text(name).strip()
        value, words = self.text(choice.column), choice.words.get(self._language, {})
        if value not in words:
            raise self._wrong(f"{choice.column} is {shown(value)}; known are {', '.join(words)}", choice.column)
        return words[value]

    def _wrong(self, what: str, key: str) -> BadInput:
        return BadInput(f"task {self._task.name}: {self._where()}: {what}", key=key)


def _is_empty(value: object) -> bool:
    """Return whether a column holds nothing: no value, blanks, or NaN, which stands for none in columns of numbers."""
    is_nan = isinstance(value, float) and math.isnan(value)
    return value is None or is_nan or (isinstance(value, str) and not value.strip())


def _filtered(text: str, chosen: str) -> str:
    match chosen:
        case "lower_first":
            return text[:1].lower() + text[1:]
        case "without_stop":
            return text[:-1] if text[-1:] in ".。।။!?" else text
        case "before_blank":
            return text.partition("_")[0]
        case "after_blank":
            return text.partition("_")[2].strip()
    return text
