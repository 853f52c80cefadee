"""Split a worked solution into reasoning, numbers and closing, and make the small changes that cheats consist of.

A change leaves everything else as it is: a number is changed digit by digit in its own script and grouping.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from contracts.errors import BadInput
from contracts.rollouts import ParallelSolution
from languages.facts import LANGUAGES
from rewards.answers.final import declared_answers, split_reasoning
from rewards.answers.numbers import find_numbers, fold
from rewards.texts.clean import clean

_OPTION = re.compile(r"(?<![^\W_])[A-J](?![^\W_])")


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkedText:
    """Hold a solution in one language: its text is `reasoning + between + closing`."""

    language: str
    reasoning: str
    between: str  # white space
    closing: str  # the sentence that declares the final answer
    answer: str  # its value, in one spelling for all languages

    @property
    def text(self) -> str:
        """Return the whole solution."""
        return self.changed(self.reasoning)

    def changed(self, reasoning: str) -> str:
        """Return the same text with a reasoning that differs in some characters."""
        return f"{reasoning}{self.between}{self.closing}"

    def close(self, reasoning: str) -> str:
        """Return any reasoning with this closing on a line of its own."""
        return f"{reasoning}\n{self.closing}"


def take_apart(text: str, language: str) -> WorkedText | None:
    """Return the parts of a solution; None where the text declares no final answer."""
    cleaned = clean(text).strip()
    declared = declared_answers(cleaned, language)
    if not declared:
        return None
    reasoning, closing = split_reasoning(cleaned, declared, language)
    between = cleaned[len(reasoning) : len(cleaned) - len(closing)]
    return WorkedText(
        language=language, reasoning=reasoning, between=between, closing=closing, answer=declared[-1].value
    )


def native_and_english(solution: ParallelSolution) -> tuple[WorkedText, WorkedText]:
    """Return a solution in its own language and in English.

    A native text whose answer is not recognised gets the usual closing of its language, for its cheats only: the
    faithful text stays as it is, and the gates read it unchanged.

    Raises:
        BadInput: the English text declares no answer, so there is nothing to compare with.
    """
    english = take_apart(solution.solution_en, "en")
    if english is None:
        raise BadInput(
            f"the English solution of item {solution.item_id} declares no final answer; end it like this: "
            f'"{LANGUAGES["en"].closing.format(answer="18")}"',
            key=solution.item_id,
        )
    native = take_apart(solution.solution, solution.language)
    if native is not None:
        return native, english
    closing = LANGUAGES[solution.language].closing.format(answer=english.answer)
    reasoning = clean(solution.solution).strip()
    return WorkedText(
        language=solution.language, reasoning=reasoning, between="\n", closing=closing, answer=english.answer
    ), english


def halves(text: str) -> tuple[str, str]:
    """Return the text cut in two at the space nearest to its middle, or in the middle where there is no space."""
    middle = len(text) // 2
    spaces = [index for index, character in enumerate(text) if character.isspace() and 0 < index < len(text) - 1]
    cut = min(spaces, key=lambda index: abs(index - middle), default=middle)
    return text[:cut].strip(), text[cut:].strip()


def number_places(text: str, language: str) -> list[tuple[int, int]]:
    """Return (start, end) of every number of an NFC text that is written in digits."""
    return [(span.start, span.end) for span in find_numbers(fold(text), LANGUAGES[language])]


def with_numbers_changed(text: str, places: Sequence[tuple[int, int]], random: Random) -> list[str]:
    """Return [len(places) + 1] texts: with none of the numbers changed, with the first, with the first two, ...

    A changed number is the same in all texts that change it.
    """
    changes = [(_last_digit(text, start, end), random.randrange(1, 9)) for start, end in places]
    characters = list(text)
    texts = [text]
    for position, shift in changes:
        characters[position] = _other_digit(characters[position], shift)
        texts.append("".join(characters))
    return texts


def with_other_answer(closing: str, language: str, random: Random) -> str | None:
    """Return the closing sentence with another number or option letter as its answer; None where it has neither."""
    declared = declared_answers(closing, language)
    if not declared:
        return None
    start, end = declared[-1].start, declared[-1].end
    places = [place for place in number_places(closing, language) if start <= place[0] and place[1] <= end]
    if places:
        return with_numbers_changed(closing, places[-1:], random)[-1]
    options = list(_OPTION.finditer(closing, start, end))
    if not options:
        return None
    at = options[-1].start()
    return closing[:at] + ("A" if closing[at] != "A" else "B") + closing[at + 1 :]


def answer_as_written(worked: WorkedText) -> str:
    """Return the final answer alone, as the closing writes it."""
    declared = declared_answers(worked.closing, worked.language)
    if not declared:
        return worked.answer
    start, end = declared[-1].start, declared[-1].end
    places = [place for place in number_places(worked.closing, worked.language) if start <= place[0] < end]
    return worked.closing[places[-1][0] : places[-1][1]] if places else worked.answer


def _last_digit(text: str, start: int, end: int) -> int:
    """Return the index of a number's last digit; a scale word behind it, such as "million", has no digits."""
    return max(index for index in range(start, end) if unicodedata.decimal(text[index], None) is not None)


def _other_digit(character: str, shift: int) -> str:
    """Return another digit of the same script, never 0: a denominator must not become 0. `shift` is 1 to 8."""
    digit = unicodedata.decimal(character)
    other = (digit - 1 + shift) % 9 + 1
    return chr(ord(character) - digit + other)
