"""Word the chat that asks for an item: worked examples as earlier turns, the question with its options, an instruction.

The words are those of the item's language. A language without a language file is asked with English words that name
the language.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from contracts.config.data import PromptConfig
from driver.evaluation.sets.item import LETTERS, Item, WorkedItem
from driver.evaluation.tasks.definition import EvaluationTask
from driver.language_names import has_file, language_title
from driver.problems.logic.prompt import for_logic
from driver.problems.wording import Wording
from languages.facts import LANGUAGES
from rewards.reading import PIVOT_LANGUAGE

Chat = list[dict[str, str]]

_QUOTED = re.compile(r"<[^<>]+>")  # where an instruction quotes the closing: "The answer is <number>."


@dataclass(frozen=True, kw_only=True)
class ItemWording:
    """Word the items of one task with the prompt settings of a config."""

    task: EvaluationTask
    prompt: PromptConfig

    def chat(self, item: Item, worked: Sequence[WorkedItem]) -> Chat:
        """Return the messages that ask for an item, after worked examples.

        Raises:
            BadInput: a box is asked for, and the language's instruction quotes no closing that it could replace.
        """
        wording = self._wording(item.language)
        chat = [{"role": "system", "content": self.prompt.system}] if self.prompt.system else []
        for example in worked:
            solution = example.solution or wording.closing.replace("{answer}", example.gold)
            chat.append({"role": "user", "content": _ask(wording, example.question, example.options, item.language)})
            chat.append({"role": "assistant", "content": solution})
        return [*chat, {"role": "user", "content": _ask(wording, item.question, item.options, item.language)}]

    def _wording(self, code: str) -> Wording:
        closing = "boxed" if "boxed" in (self.task.closing, self.prompt.closing) else "language"
        prompt = self.prompt.model_copy(update={"closing": closing})
        if self.task.answer == "clause":
            prompt = for_logic(prompt, (code,))
        if has_file(code):
            return Wording.of(prompt, LANGUAGES[code])
        english = LANGUAGES[PIVOT_LANGUAGE]
        wording = Wording.of(PromptConfig(closing=closing), english)
        return replace(
            wording,
            question_prefix=prompt.question_prefixes.get(code, wording.question_prefix),
            instruction=prompt.instructions.get(code, wording.instruction.replace(english.name, language_title(code))),
        )


def _ask(wording: Wording, question: str, options: Sequence[str], code: str) -> str:
    """Return a user's message; with options it asks for a letter where the instruction asks for a number."""
    if not options:
        return wording.ask(question)
    letters = LETTERS[: len(options)]
    or_word = LANGUAGES[code if has_file(code) else PIVOT_LANGUAGE].or_word
    asked = f"<{', '.join(letters[:-1])} {or_word} {letters[-1]}>"
    lines = [f"{letter}. {option.strip()}" for letter, option in zip(letters, options, strict=True)]
    with_letter = replace(wording, instruction=_QUOTED.sub(lambda _: asked, wording.instruction))
    return with_letter.ask("\n".join([question.strip(), *lines]))


def shots_for(item: Item, worked: Sequence[WorkedItem], num: int) -> Sequence[WorkedItem]:
    """Return the first `num` worked examples, of the item's own category where the set has such."""
    alike = [example for example in worked if example.category == item.category]
    return (alike if item.category and alike else list(worked))[:num]
