"""Judge what was answered to an item: one row for each response, or one for an item whose options were scored.

Rows are all that numbers are made of. They are kept in a Parquet file, from which runs are compared.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from contracts.errors import BadInput
from contracts.files import whole_file
from contracts.user_files import guarded
from driver.evaluation.answered import Answered, ChoiceScore, Response
from driver.evaluation.grading import grade
from driver.evaluation.sets.item import LETTERS, Choice, Item
from driver.language_names import has_file


class LanguageMeter(Protocol):
    """Say whether a text is in a language."""

    def __call__(self, text: str, language: str) -> bool: ...


class OtherMeter(Protocol):
    """Say whether a text is in a language, as other papers measure it."""

    def is_in(self, text: str, language: str) -> bool | None:
        """Return whether it is; None if the meter does not know the language."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class OtherMeters:
    """Hold the meters of the literature, whose results stand beside ours."""

    lingua: OtherMeter
    langdetect: OtherMeter


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedRow:
    """Hold one response with its item and how it was judged. None: not measured."""

    task: str
    language: str
    item_id: str
    sample: int  # number of the response, from 0
    level: str
    category: str
    tag: str
    question: str
    gold: str
    response: str
    thinking: str
    answer: str
    is_correct: bool
    is_declared: bool
    is_in_language: bool | None  # None: the language has no language file, or options were scored
    is_in_language_by_lingua: bool | None  # by lingua alone; None: it does not know the language
    is_in_language_by_langdetect: bool | None  # by langdetect alone; None: it does not know the language
    is_thinking_in_language: bool | None
    switched_lines: float | None  # share of the response's lines that are not in the language
    num_tokens: int
    num_thinking_tokens: int
    is_truncated: bool
    is_correct_by_length: bool | None  # of scored options: by log-likelihood for each character
    choice_logprobs: tuple[float, ...]


def judge(
    item: Item, answered: Answered, language_is: LanguageMeter, others: OtherMeters | None = None
) -> list[JudgedRow]:
    """Return the rows of one item; without `others` those measures are left out."""
    empty = _empty_row(item)
    if item.choices and item.options:
        return [_with_choice(empty, item, answered.choices)]
    if item.choices:  # a plain text
        (score,) = answered.choices
        return [replace(empty, num_tokens=score.num_tokens, choice_logprobs=(score.logprob,))]
    return [
        replace(
            _with_response(empty, item, response, language_is),
            sample=sample,
            is_in_language_by_lingua=others and others.lingua.is_in(response.text, item.language),
            is_in_language_by_langdetect=others and others.langdetect.is_in(response.text, item.language),
        )
        for sample, response in enumerate(answered.responses)
    ]


def _empty_row(item: Item) -> JudgedRow:
    """Return the row of an item to which nothing was answered: a plain text keeps it so."""
    return JudgedRow(
        task=item.task,
        language=item.language,
        item_id=item.item_id,
        sample=0,
        level=item.level,
        category=item.category,
        tag=item.tag,
        question=item.question,
        gold=item.gold,
        response="",
        thinking="",
        answer="",
        is_correct=False,
        is_declared=False,
        is_in_language=None,
        is_in_language_by_lingua=None,
        is_in_language_by_langdetect=None,
        is_thinking_in_language=None,
        switched_lines=None,
        num_tokens=0,
        num_thinking_tokens=0,
        is_truncated=False,
        is_correct_by_length=None,
        choice_logprobs=(),
    )


def _with_response(row: JudgedRow, item: Item, response: Response, language_is: LanguageMeter) -> JudgedRow:
    found, code = grade(response.text, item), item.language
    is_known = has_file(code)
    return replace(
        row,
        response=response.text,
        thinking=response.thinking,
        answer=found.answer,
        is_correct=found.is_correct,
        is_declared=found.is_declared,
        is_in_language=language_is(response.text, code) if is_known else None,
        is_thinking_in_language=language_is(response.thinking, code) if is_known and response.thinking else None,
        switched_lines=_switched_lines(response.text, code, language_is) if is_known else None,
        num_tokens=response.num_tokens,
        num_thinking_tokens=response.num_thinking_tokens,
        is_truncated=response.is_truncated,
    )


def _switched_lines(text: str, language: str, language_is: LanguageMeter) -> float:
    """Return the share of a text's lines that are clearly in another language; 0 for a text without lines."""
    lines = [line for line in text.splitlines() if any(map(str.isalpha, line))]
    return sum(not language_is(line, language) for line in lines) / len(lines) if lines else 0.0


def _with_choice(row: JudgedRow, item: Item, choices: Sequence[ChoiceScore]) -> JudgedRow:
    """Judge an item whose options were scored: the most likely one is the answer; of equal ones the first."""
    sums = [choice.logprob for choice in choices]
    each = [value / num_characters(choice) for value, choice in zip(sums, item.choices, strict=True)]
    answer, by_length = (LETTERS[values.index(max(values))] for values in (sums, each))
    return replace(
        row,
        answer=answer,
        is_correct=answer == item.gold,
        is_declared=True,
        is_correct_by_length=by_length == item.gold,
        choice_logprobs=tuple(sums),
    )


def num_characters(choice: Choice) -> int:
    """Return the length of an option's text, by which its log-likelihood is divided; the delimiter does not count."""
    return max(1, len(choice.continuation.strip()))


_TYPES: Mapping[object, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    bool: pa.bool_(),
    bool | None: pa.bool_(),
    float | None: pa.float64(),
    tuple[float, ...]: pa.list_(pa.float64()),
}
_SCHEMA = pa.schema([(field.name, _TYPES[field.type]) for field in fields(JudgedRow)])


def write_rows(path: Path, rows: Iterable[JudgedRow]) -> None:
    """Write every row as Parquet, whole or not at all."""
    table = pa.Table.from_pylist([asdict(row) for row in rows], schema=_SCHEMA)
    with whole_file(path) as aside:
        pq.write_table(table, aside)


def read_rows(path: Path) -> list[JudgedRow]:
    """Read what `write_rows` wrote.

    Raises:
        BadInput: the file is missing, damaged, or of another kind.
    """
    if not path.is_file():
        raise BadInput(f"there is no file {path}; `evaluate` writes it", key=path.name)
    with guarded(f"{path} can't be read as the responses of an evaluation", key=path.name):
        found = pq.read_table(path, schema=_SCHEMA).to_pylist()
    return [JudgedRow(**{**row, "choice_logprobs": tuple(row["choice_logprobs"] or ())}) for row in found]
