"""Define what a task file says: where a set is read from, what its rows mean, and how its items are asked and graded.

docs/evaluation.md explains every key to a user. This module reads no data.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

Method = Literal["generate", "likelihood", "perplexity"]
Skill = Literal["arithmetic", "mathematics", "knowledge", "commonsense", "logic", "reading", "text", "own"]
AnswerForm = Literal["number", "expression", "letter", "index", "position", "clause", "any", "none"]
FILTERS = ("lower_first", "without_stop", "before_blank", "after_blank")
"""What a placeholder may do to a text: "{premise|without_stop}"."""

Text = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]

LANGUAGE_CODE = re.compile(r"[a-z]{2,3}")
_PLACEHOLDER = re.compile(r"\{(\w+)(?:\|(\w+))?\}")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Template(_Table):
    """A text with placeholders for columns: "{question}", "{sentence|before_blank}{option}"."""

    text: str

    @property
    def parts(self) -> tuple[tuple[str, str, str], ...]:
        """Return, for each placeholder, the text before it, its name and its filter ("" without one)."""
        parts, end = [], 0
        for match in _PLACEHOLDER.finditer(self.text):
            parts.append((self.text[end : match.start()], match[1], match[2] or ""))
            end = match.end()
        return tuple(parts)

    @property
    def ending(self) -> str:
        """Return the text behind the last placeholder."""
        return _PLACEHOLDER.split(self.text)[-1]

    @property
    def names(self) -> frozenset[str]:
        """Return the names of all placeholders."""
        return frozenset(name for _, name, _ in self.parts)

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, value: object) -> object:
        return {"text": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _filters_are_known(self) -> Self:
        for _, name, chosen in self.parts:
            if chosen and chosen not in FILTERS:
                raise ValueError(f"{{{name}|{chosen}}} has no known filter; known are {', '.join(FILTERS)}")
        return self


class DataPlace(_Table):
    """Where the rows are. `{language}` is the set's own name of a language, `{level}` a level."""

    builtin: bool | Literal["logic"] = False
    """The built-in problems of the project, which need no files; "logic": those of logic."""
    hub: str = ""
    """Name on the Hugging Face hub; empty: the set is read from files only."""
    subset: str = ""
    """Configuration of the hub's dataset."""
    split: str = "test"
    """Split of the hub's dataset."""
    files: tuple[Text, ...] = ()
    """Files of a local folder, each with or without `*`; the first that exists is read."""
    columns: tuple[Text, ...] = ()
    """Names of the columns of a .tsv or .csv file without a header. Without a column of the item's name the number of
    the row names it."""


class ItemColumns(_Table):
    """What the columns of a row mean."""

    item_id: tuple[Text, ...] = ()
    """Column, or columns, that name the item, the same in every language. Empty: the number of the row, from 1."""
    question: Template
    """The question as it is asked, without options and without an instruction."""
    answer: str = ""
    """Column of the gold answer."""
    options: tuple[Text, ...] | Text = ()
    """The columns of the options in order, of which empty ones count as none; or one column that holds a list."""
    category: str = ""
    """Column of the subject. Worked examples come from the same category."""
    tag: str = ""
    """Column that marks rows of a kind, such as those that another edition of the set replaced."""
    language: str = ""
    """Column of the row's language, where one file holds all of them."""

    @field_validator("item_id", mode="before")
    @classmethod
    def _one_or_several(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


class Shots(_Table):
    """The set's own worked examples."""

    split: str = ""
    """Split of the hub's dataset."""
    files: tuple[Text, ...] = ()
    """Files of a local folder, as in [data]."""
    solution: str = ""
    """Column of the worked solution. Empty: the examples state the answer only."""


class Likelihood(_Table):
    """How options are compared by log-likelihood. `{option}` is an option's text, `{letter}` its letter."""

    context: Template
    """What the model is given."""
    continuation: Template
    """What is scored after it."""
    delimiter: str = " "
    """Text between the two; it is scored with the continuation."""


class WordChoice(_Table):
    """A word of each language that depends on a column: `{connector}` in a template."""

    column: Text
    words: Mapping[str, Mapping[str, str]]
    """Language code -> value of the column -> word."""


class EvaluationTask(_Table):
    """Hold one task."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    """Name of the file, without .toml."""
    title: Text
    """The set's own name."""
    skill: Skill
    """Kind of skill that the set measures."""
    licence: Text
    """Licence of the data, as its publishers give it."""
    source: Text
    """Paper or page of the set."""
    answer: AnswerForm
    """"number", "expression" (a formula or a number), "letter" of an option, its "index" from 0 or its "position" from
    1. "clause": a statement of the problems of logic, compared by meaning. "any": a letter where a row has options,
    else what the answer is. "none": the items are plain texts."""
    languages: Mapping[str, str]
    """ISO 639 code -> the set's own name of the language; a list where the two are the same."""
    methods: tuple[Method, ...] = ("generate",)
    """How the task can be measured; the first is the default."""
    closing: Literal["language", "boxed"] = "language"
    """How an answer is asked for: in the language's closing sentence, or in `\\boxed{}`."""
    levels: Mapping[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """Levels of difficulty and their weights in the accuracy."""
    original: str = ""
    """Task whose items these are, corrected: the difference between the two is reported."""
    data: DataPlace
    items: ItemColumns
    shots: Shots | None = None
    likelihood: Likelihood | None = None
    words: Mapping[str, WordChoice] = Field(default_factory=dict)

    @field_validator("languages", mode="before")
    @classmethod
    def _by_code(cls, value: object) -> object:
        return {code: code for code in value} if isinstance(value, list) else value

    @field_validator("languages")
    @classmethod
    def _codes_are_codes(cls, value: Mapping[str, str]) -> Mapping[str, str]:
        for code in value:
            if not LANGUAGE_CODE.fullmatch(code):
                raise ValueError(f"{code!r} is no ISO 639 code; write code = the set's own name")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if "likelihood" in self.methods and self.likelihood is None:
            raise ValueError('methods names "likelihood", and the table [likelihood] is missing')
        if self.answer in ("letter", "index", "position") and not self.items.options:
            raise ValueError(f"answer is {self.answer!r}, and items.options is missing")
        if (self.answer == "none") != (self.methods == ("perplexity",)):
            raise ValueError('answer "none" and methods = ["perplexity"] belong together: plain texts have no answers')
        if self.answer != "none" and not self.items.answer:
            raise ValueError("items.answer is missing")
        return self

    @property
    def default_method(self) -> Method:
        """Return how the task is measured if nothing else is asked for."""
        return self.methods[0]

    @property
    def columns(self) -> tuple[str, ...]:
        """Return every column that is read from a row."""
        items, options = self.items, self.items.options
        named = [*items.item_id, items.answer, items.category, items.tag, items.language, *items.question.names]
        named += [options] if isinstance(options, str) else options
        named += [choice.column for choice in self.words.values()]
        if self.likelihood is not None:
            named += [*self.likelihood.context.names, *self.likelihood.continuation.names]
        if self.shots is not None:
            named.append(self.shots.solution)
        made = {"", "option", "letter", *self.words}
        return tuple(dict.fromkeys(name for name in named if name not in made))
