"""Index a table of problems: every row is checked once, and 8 bytes are kept for each row.

A table has no (item, language) twice, and one English question for each item.
"""

import math
from array import array
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from contracts.errors import BadInput, shown
from contracts.rollouts import Problem
from driver.problems.tables import Row, Table
from languages.facts import LANGUAGES

COLUMNS = ("item_id", "language", "question", "question_en", "answer", "translation")
"""`item_id` joins the languages of one problem. The last two may be missing: only evaluation reads `answer`, and only
fine-tuning on translations `translation`, a worked solution in the row's language."""


class TableSource:
    """Serve the problems of a table by language and position in the table's order.

    A table without English rows serves English from its English questions, so that the gap can be measured.
    """

    def __init__(self, table: Table, *, name: str) -> None:
        """Read and check every row once.

        Raises:
            BadInput: a row is wrong; the message names the first one and where it is.
        """
        self._table = table
        self.name = name
        self._rows: dict[str, array[int]] = {}
        self._borrows_english = False
        self.fingerprint = self._index()

    @property
    def counts(self) -> Mapping[str, int]:
        """Return how many problems each language has."""
        return {language: len(rows) for language, rows in self._rows.items()}

    def problem(self, language: str, position: int) -> Problem:
        """Read the problem at a position of one language."""
        problem = self._read(self._rows[language][position])
        if language == "en" and self._borrows_english:
            return replace(problem, language="en", question=problem.question_en, translation=None)
        return problem

    def _index(self) -> str:
        fingerprint = blake2b(digest_size=16)
        pairs, items, questions = array("Q"), array("Q"), array("Q")
        for number, row in enumerate(self._table.rows()):
            problem = parse_row(row, self._table, number)
            self._rows.setdefault(problem.language, array("Q")).append(number)
            pairs.append(_digest(problem.item_id, problem.language))
            items.append(_digest(problem.item_id))
            questions.append(_digest(problem.question_en))
            texts = (problem.group_key, problem.question, problem.question_en, problem.translation or "")
            fingerprint.update(_digest(*texts).to_bytes(8))
        if not pairs:
            raise BadInput(f"{self.name} holds no problems; give a file with at least one", key=self.name)
        self._refuse_duplicates(_uint64(pairs))
        first_of_item = self._refuse_conflicts(_uint64(items), _uint64(questions))
        if "en" not in self._rows:
            self._rows["en"] = array("Q", first_of_item.tolist())
            self._borrows_english = True
        return fingerprint.hexdigest()

    def _refuse_duplicates(self, pairs: NDArray[np.uint64]) -> None:
        order = np.argsort(pairs, kind="stable")
        for at in np.flatnonzero(pairs[order][1:] == pairs[order][:-1]):
            first, second = int(order[at]), int(order[at + 1])
            problem = self._read(second)
            if self._read(first).group_key == problem.group_key:  # else two digests collided
                raise BadInput(
                    f"{self._table.where(second)}: item {problem.item_id!r} in language {problem.language!r} is "
                    f"already at {self._table.where(first)}; remove one, or give it an item_id of its own",
                    key="item_id",
                )

    def _refuse_conflicts(self, items: NDArray[np.uint64], questions: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the first row of every item, in the table's order [number of items].

        Raises:
            BadInput: an item has two English questions.
        """
        order = np.argsort(items, kind="stable")
        is_same_item = items[order][1:] == items[order][:-1]
        differs = questions[order][1:] != questions[order][:-1]
        for at in np.flatnonzero(is_same_item & differs):
            first, second = int(order[at]), int(order[at + 1])
            problem = self._read(second)
            if self._read(first).item_id == problem.item_id:
                raise BadInput(
                    f"{self._table.where(second)}: item {problem.item_id!r} has another question_en at "
                    f"{self._table.where(first)}; the languages of an item share one English question",
                    key="question_en",
                )
        starts = np.concatenate(([True], ~is_same_item))
        return np.sort(order[starts])

    def _read(self, number: int) -> Problem:
        return parse_row(self._table.row(number), self._table, number)


def parse_row(row: Row, table: Table, number: int) -> Problem:
    """Make a problem of a row.

    `item_id` and `answer` may be numbers, and an English row may leave out `question_en`.

    Raises:
        BadInput: a column is missing, empty or of a wrong type, or the language is unknown; `key` is the column.
    """

    def text(column: str) -> str:
        value = row.get(column)
        if column not in row:
            raise BadInput(
                f"{table.where(number)}: no column {column!r}; there are {', '.join(map(str, row))}", key=column
            )
        if not isinstance(value, str):
            raise BadInput(f"{table.where(number)}: {column} is {shown(value)}; it must be text", key=column)
        if not value.strip():
            raise BadInput(f"{table.where(number)}: {column} is empty", key=column)
        if not is_text(value):
            raise BadInput(
                f"{table.where(number)}: {column} has half of a character (a lone surrogate); correct the text",
                key=column,
            )
        return value

    language = text("language")
    if language not in LANGUAGES:
        raise BadInput(
            f"{table.where(number)}: unknown language {language!r}; known are {', '.join(sorted(LANGUAGES))}",
            key="language",
        )
    question = text("question")
    has_english = language != "en" or row.get("question_en")
    item_id = row.get("item_id")
    return Problem(
        item_id=str(item_id) if isinstance(item_id, int) else text("item_id"),
        language=language,
        question=question,
        question_en=text("question_en") if has_english else question,
        answer=_answer(row.get("answer"), table, number),
        translation=None if row.get("translation") in (None, "") else text("translation"),
    )


def is_text(value: str) -> bool:
    """Return whether a text can be written as UTF-8.

    JSON can spell halves of characters ("\\ud800"), which no tokenizer takes.
    """
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def _answer(value: object, table: Table, number: int) -> str | None:
    if isinstance(value, float) and math.isnan(value):
        return None  # how pandas writes a missing number
    if isinstance(value, float) and value.is_integer():
        return format(Decimal(value), "f")
    if isinstance(value, int | float) and not isinstance(value, bool) and value not in (math.inf, -math.inf):
        return str(value)
    if value is None or isinstance(value, str):
        return (value or "").strip() or None
    raise BadInput(f"{table.where(number)}: answer is {shown(value)}; it must be text or a number", key="answer")


def _digest(*texts: str) -> int:
    """Return 64 bits that stand for the texts; equal ones are compared on the rows before they count as the same."""
    return int.from_bytes(blake2b("\0".join(texts).encode("utf-8", "surrogatepass"), digest_size=8).digest())


def _uint64(values: "array[int]") -> NDArray[np.uint64]:
    return np.frombuffer(values, dtype=np.uint64)
