"""Does a response have the form that was asked for: readable, one final answer, and nothing much behind it?

Owns that gate. The pay-off of gaming it is closed by counting: a second declared answer shuts it, and so does another
number, however written, or a long text behind the answer. Knows text only.
"""

import re

from rewards.answers.final import DeclaredAnswer, known_language, same_answer
from rewards.answers.numbers import find_numbers, fold
from rewards.answers.numerals import find_rare_number
from rewards.reading import Reading
from rewards.texts.scripts import num_letters

MAX_TAIL_LETTERS = 40
"""Most letters behind the answer: room for a unit ("dollars a day", "個です"), not for more sentences."""
MAX_TAIL_CHARACTERS = 400
MAX_UNREADABLE = 2
"""Most characters that stand for none: what a tokenizer makes of broken bytes, and code points of private use."""

_UNREADABLE = re.compile("[\ufffd\ue000-\uf8ff\U000f0000-\U0010fffd]")
# A digit of any script, a fraction, a superscript that is no unit's exponent (m², s⁻¹), a Chinese numeral: a single one
# may be part of a word.
_NUMERAL = re.compile(
    r"\d|[¼-¾⅐-⅞]|(?<![^\W\d_]|⁻)[\u00b2\u00b3\u00b9\u2070\u2074-\u2079]|[〇一二两兩三四五六七八九十百千]{2}"
)


class FormatGate:
    """Open for one declared answer with at most a unit, or a sentence that says it again, behind it."""

    name = "format"

    def is_open(self, reading: Reading) -> bool:
        if len(reading.declared) != 1 or len(_UNREADABLE.findall(reading.text)) > MAX_UNREADABLE:
            return False
        answer = reading.declared[0]
        tail = reading.text[answer.end :].strip()
        if len(tail) > MAX_TAIL_CHARACTERS or num_letters(tail) > MAX_TAIL_LETTERS:
            return False
        return not has_other_number(tail, answer, reading.task.language)


def has_other_number(tail: str, answer: DeclaredAnswer, language: str) -> bool:
    """Whether a number other than the answer stands in the text behind it."""
    rest = fold(tail)
    for found in reversed(find_numbers(rest, known_language(language))):
        if same_answer(f"{found.value}%" if found.is_percent else found.value, answer.value):
            rest = f"{rest[: found.start]} {rest[found.end :]}"
    return _NUMERAL.search(rest) is not None or find_rare_number(rest, 0, len(rest)) is not None
