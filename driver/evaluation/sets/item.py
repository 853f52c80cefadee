"""Define one item of a task in one language, with its gold answer."""

from dataclasses import dataclass

LETTERS = "ABCDEFGHIJ"
"""Letters of options, in order; a task has at most ten."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Hold what is compared by log-likelihood for one option."""

    context: str
    continuation: str  # scored after the context, delimiter included


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """Hold one item of a task in one language. Gold answers are read by the evaluation alone, never by a reward."""

    task: str  # the name under which results are reported
    item_id: str  # the same in every language of the set
    language: str  # ISO 639 code
    question: str  # without options and instruction
    gold: str  # canonical: a number, an expression, words, or the letter of an option
    options: tuple[str, ...] = ()  # in the order of LETTERS
    is_clause: bool = False  # the answer is a clause of the problems of logic, graded by meaning
    choices: tuple[Choice, ...] = ()  # one for each option, where the task compares log-likelihoods
    level: str = ""
    category: str = ""
    tag: str = ""

    @property
    def key(self) -> str:
        """Return the name of the item in this language, which is unique in an evaluation."""
        return f"{self.task}/{self.language}/{self.item_id}"


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkedItem:
    """Hold a worked example of the set: a question with options, its solution, and the answer where it has none."""

    question: str
    options: tuple[str, ...] = ()
    solution: str = ""
    gold: str = ""
    category: str = ""
