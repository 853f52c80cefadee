"""Read the outputs that a model really wrote, from a JSONL file with one response a row.

    {"language": "de", "question": "...", "question_en": "...", "reference": "...", "response": "...",
     "item": 3, "benchmark": "mgsm", "source": "my-model", "gold": "18", "is_right": true, "in_language": "in"}

The first five columns are needed; the others may be left out or null. Further columns are ignored. `reference` is the
pivot's English solution. `in_language` says in which language the response really is: "in" the asked one, "other" or
"mixed".
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from contracts.errors import BadInput
from contracts.rollouts import ScoreRequest
from driver.problems.rows import is_text
from driver.problems.tables import JsonlTable
from languages.facts import LANGUAGES
from rewards.answers.final import final_answer, last_number, same_answer
from rewards.texts.thinking import Markers, split_thinking

MOST_IN_A_REQUEST = 64
"""Responses to one question that are scored in one request."""


def _text(value: object) -> object:
    """Return the text of a number, as `item` and `gold` may be either."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Text = Annotated[str, BeforeValidator(_text)]


class Output(BaseModel):
    """Hold one response of a model, and what is known about it."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    language: str  # that was asked for, ISO 639-1
    question: str
    question_en: str
    reference: str  # the pivot's English solution
    response: str
    source: str = "outputs"  # which model wrote it
    benchmark: str = ""
    item: Text | None = None
    gold: Text | None = None
    is_right: bool | None = None
    in_language: Literal["in", "other", "mixed"] | None = None
    is_truncated: bool = False
    thinking: str = ""  # what the model wrote before its answer

    @property
    def task(self) -> tuple[str, ...]:
        """Return what responses to the same question share. Without an item it is the question itself."""
        return (self.benchmark, self.language, self.question if self.item is None else self.item)

    @property
    def answer(self) -> str | None:
        """Return the declared final answer; None without one."""
        return final_answer(self.response, self.language)

    @property
    def right(self) -> bool | None:
        """Return whether the response is right: by its label, or else by gold; None where neither is given.

        By gold, the declared answer counts, or else the last number.
        """
        if self.is_right is not None or self.gold is None:
            return self.is_right
        answer = self.answer or last_number(self.response, self.language)
        return answer is not None and same_answer(answer, self.gold)

    @property
    def is_faithful(self) -> bool:
        """Return whether the response is known to be right and not known to be in another language."""
        return self.right is True and self.may_be_in_language

    @property
    def may_be_in_language(self) -> bool:
        """Return whether the response is not known to be in another language, or mixed."""
        return self.in_language in (None, "in")


def read_outputs(path: Path, *, languages: Sequence[str] = (), markers: Markers = ()) -> list[Output]:
    """Read the outputs in `languages`, in the order of the file; without `languages` all.

    Thinking between `markers` is taken out of the responses.

    Raises:
        BadInput: the file can't be read or is empty, a row lacks a column or has a wrong type, its language is
            unknown, or no output is in `languages`.
    """
    table = JsonlTable(path)
    outputs = [_output(row, table.where, number) for number, row in enumerate(table.rows())]
    if not outputs:
        raise BadInput(f"{path} has no outputs; give at least one row", key="audit.outputs")
    chosen = [output for output in outputs if not languages or output.language in languages]
    if not chosen:
        present = ", ".join(dict.fromkeys(output.language for output in outputs))
        raise BadInput(
            f"{path} has no output in a language of audit.languages ({', '.join(languages)}); it has {present}",
            key="audit.languages",
        )
    return [_without_thinking(output, markers) for output in chosen]


def _without_thinking(output: Output, markers: Markers) -> Output:
    """Return the output with its thinking apart, unless its row has a column for it."""
    thinking, answer = split_thinking(output.response, markers)
    return output if output.thinking else output.model_copy(update={"response": answer, "thinking": thinking})


def _output(row: Mapping[str, object], where: Callable[[int], str], number: int) -> Output:
    try:
        output = Output.model_validate(row)
    except ValidationError as error:
        first = error.errors()[0]
        column = str(first["loc"][0])
        found = "it is missing" if first["type"] == "missing" else f"{first['msg']}, not {first['input']!r:.60}"
        raise BadInput(f"{where(number)}: column {column!r}: {found}", key=column) from None
    if output.language not in LANGUAGES:
        raise BadInput(
            f"{where(number)}: unknown language {output.language!r}; known are {', '.join(LANGUAGES)}; "
            "data.language_files adds languages of your own",
            key="language",
        )
    for column in ("question", "question_en", "reference"):
        text = getattr(output, column)
        if not text.strip() or not is_text(text):
            raise BadInput(f"{where(number)}: column {column!r}: it is empty, or holds half of a character", key=column)
    return output


def requests_of(outputs: Iterable[Output]) -> list[tuple[list[Output], ScoreRequest]]:
    """Return the outputs in requests: those with the same language, question and reference go together, in order."""
    groups: dict[tuple[str, str, str, str], list[Output]] = {}
    for output in outputs:
        key = (output.language, output.question, output.question_en, output.reference)
        groups.setdefault(key, []).append(output)
    return [
        (part, _request(part))
        for group in groups.values()
        for start in range(0, len(group), MOST_IN_A_REQUEST)
        for part in [group[start : start + MOST_IN_A_REQUEST]]
    ]


def _request(group: Sequence[Output]) -> ScoreRequest:
    first = group[0]
    return ScoreRequest(
        language=first.language,
        question=first.question,
        question_en=first.question_en,
        reference=first.reference,
        responses=tuple(output.response for output in group),
        truncated=tuple(output.is_truncated for output in group),
        thinking=tuple(output.thinking for output in group),
    )
