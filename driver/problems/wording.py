"""Word a prompt in a language: the question's prefix, the instruction, and worked examples with their closing.

A language file has a wording for each language, and the config may replace parts of it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from contracts.config.data import Exemplar, PromptConfig
from contracts.errors import BadInput
from languages.language import Language

_BOX = "\\boxed{%s}"
_PLACEHOLDER = r"\s*(<[^<>]+>)\s*"  # where an instruction quotes the closing: "The answer is <number>."


class WorkedExample(Protocol):
    """A problem with its solution, both in one language."""

    @property
    def question(self) -> str: ...

    @property
    def steps(self) -> Sequence[str]: ...

    @property
    def answer(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Wording:
    """Hold how a prompt is worded in one language."""

    question_prefix: str
    instruction: str
    closing: str  # declares an answer, which replaces "{answer}"

    @classmethod
    def of(cls, config: PromptConfig, language: Language) -> "Wording":
        """Return the config's wording where it has one, and the language's own elsewhere.

        Raises:
            BadInput: a box is asked for, and the language's instruction quotes no closing that it could replace.
        """
        is_boxed = config.closing == "boxed"
        instruction = config.instructions.get(language.code)
        if instruction is None:
            instruction = _boxed_instruction(language) if is_boxed else language.instruction
        return cls(
            question_prefix=config.question_prefixes.get(language.code, language.question_prefix),
            instruction=instruction,
            closing=_BOX % "{answer}" if is_boxed else language.closing,
        )

    @property
    def before_question(self) -> str:
        """Return the prefix with what separates it from the question; a full-width colon brings its own space."""
        prefix = self.question_prefix
        return prefix if not prefix or prefix.endswith("：") else f"{prefix} "

    @property
    def after_question(self) -> str:
        """Return the instruction with what separates it from the question."""
        return f"\n\n{self.instruction}" if self.instruction else ""

    def ask(self, question: str) -> str:
        """Return a user's message."""
        return f"{self.before_question}{question.strip()}{self.after_question}"

    def solve(self, example: WorkedExample | Exemplar) -> str:
        """Return an assistant's message: the solution, with its answer declared as the instruction asks."""
        if isinstance(example, Exemplar):
            return example.solution
        return "\n".join([*example.steps, self.closing.replace("{answer}", example.answer)])


def _boxed_instruction(language: Language) -> str:
    """Return the language's instruction with a box in place of the closing that it quotes."""
    before, _, after = language.closing.partition("{answer}")
    quoted = re.escape(before.rstrip()) + _PLACEHOLDER + re.escape(after.strip())
    boxed, num_found = re.subn(quoted, lambda match: _BOX % match[1], language.instruction)
    if not num_found:
        raise BadInput(
            f'prompt.closing "boxed": the instruction of {language.name} quotes no closing with a <number>, so '
            f"no box can take its place; word it in prompt.instructions.{language.code}",
            key="prompt.closing",
        )
    return boxed
