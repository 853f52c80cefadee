"""Make a problem of one row of a table whose columns have their usual names, and check every cell."""

import math
from decimal import Decimal

from contracts.errors import BadInput, shown
from contracts.rollouts import Problem
from driver.problems.tables import Row, Table
from languages.facts import LANGUAGES

COLUMNS = ("item_id", "language", "question", "question_en", "answer", "translation")
"""`item_id` joins the languages of one problem. The last two may be missing: only evaluation reads `answer`, and only
fine-tuning on translations `translation`, a worked solution in the row's language."""
_FINAL_ANSWER = "####"  # before the answer behind a worked solution, as GSM8K has it


def parse_row(row: Row, table: Table, number: int, *, needs_english: bool = True) -> Problem:
    """Make a problem of a row.

    `item_id` and `answer` may be numbers. An English row may leave out `question_en`, and every row if it is not
    needed: then it is empty.

    Raises:
        BadInput: a column is missing, empty or of a wrong type, or the language is unknown; `key` is the column.
    """

    def text(column: str) -> str:
        if column not in row:
            raise BadInput(
                f"{table.where(number)}: no column {column!r}; there are {', '.join(map(str, row))}", key=column
            )
        value = row[column]
        if is_missing(value):
            raise BadInput(f"{table.where(number)}: {column} is empty ({shown(value)})", key=column)
        if not isinstance(value, str):
            raise BadInput(f"{table.where(number)}: {column} is {shown(value)}; it must be text", key=column)
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
    question, english = text("question"), ""
    if not is_missing(row.get("question_en")) or (needs_english and language != "en"):
        english = text("question_en")
    elif language == "en":
        english = question
    item_id = row.get("item_id")
    if isinstance(item_id, float) and item_id.is_integer():
        item_id = int(item_id)
    return Problem(
        item_id=str(item_id) if isinstance(item_id, int) else text("item_id"),
        language=language,
        question=question,
        question_en=english,
        answer=_answer(row.get("answer"), table, number),
        translation=None if is_missing(row.get("translation")) else text("translation"),
    )


def is_missing(value: object) -> bool:
    """Return whether a cell holds nothing: no value, only white space, or the NaN that pandas writes for nothing."""
    return value is None or (isinstance(value, str) and not value.strip()) or _is_nan(value)


def is_text(value: str) -> bool:
    """Return whether a text can be written as UTF-8.

    JSON can spell halves of characters ("\\ud800"), which no tokenizer takes.
    """
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def _answer(value: object, table: Table, number: int) -> str | None:
    if is_missing(value):
        return None
    if isinstance(value, float) and value.is_integer():
        return format(Decimal(value), "f")
    if isinstance(value, int | float) and not isinstance(value, bool) and value not in (math.inf, -math.inf):
        return str(value)
    if isinstance(value, str):
        return value.rpartition(_FINAL_ANSWER)[2].strip() or None
    raise BadInput(f"{table.where(number)}: answer is {shown(value)}; it must be text or a number", key="answer")


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
