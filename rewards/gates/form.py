"""Check the form of a response: one final answer with nothing much after it, and about the reference's length.

Saying the same answer several ways is one answer. A second, different one shuts the gate, and so does a hedge, another
number after the answer, however it is written, or a long text after it that does not explain the answer.
"""

import re

from languages.facts import known_language
from rewards.answers.declarations import sentence_end
from rewards.answers.final import DeclaredAnswer, closing_end, number_value, same_answer
from rewards.answers.hedges import follows_choice_word
from rewards.answers.numbers import find_numbers, fold
from rewards.answers.numerals import find_rare_number
from rewards.gates.identify import MAX_CHARACTERS
from rewards.number_coverage import find_text_numbers
from rewards.reading import PIVOT_LANGUAGE, Reading
from rewards.texts.scripts import num_symbols, weigh

MAX_TAIL_LETTERS = 200
"""Most letters after the answer, weighted by script: room for a unit, the rest of a sentence around a box, and a
sentence or two without numbers ("I hope this helps")."""
MAX_TAIL_CHARACTERS = 400
"""Most characters of any kind after the answer."""
MAX_UNREADABLE = 2
"""Most unreadable characters in a response: what a tokenizer makes of broken bytes, and code points of private use."""

MIN_REFERENCE_LETTERS = 100
"""At the upper end of the length band a shorter reference counts as this many letters. One line may be answered by the
question quoted and four lines, which is not padding yet."""
MIN_STEP_NUMBERS = 0.5
"""Least share of the numbers that the reference works out, and the question lacks, with which a response is not too
short, whatever its letters: a terse solution has the steps. Right and wrong outputs: `benchmarks.gate_thresholds`."""
MAX_SYMBOLS_RATIO, SYMBOLS_ALLOWANCE = 4, 100
"""Most digits, signs and other characters that are no letters: this many times the reference's, and this many more for
LaTeX and tables. Measured: at most 1.22 times in built-in solutions of 12 languages and MGSM's exemplars."""
BLANKS_ALLOWANCE = 100
"""Most characters of white space beyond one for every other character."""

_UNREADABLE = re.compile("[\ufffd\ue000-\uf8ff\U000f0000-\U0010fffd]")
# A digit of any script, a fraction, a superscript that is no unit's exponent (m², s⁻¹), two Chinese numerals: a single
# one may be part of a word.
_NUMERAL = re.compile(
    r"\d|[¼-¾⅐-⅞]|(?<![^\W\d_]|⁻)[\u00b2\u00b3\u00b9\u2070\u2074-\u2079]|[〇一二两兩三四五六七八九十百千]{2}"
)


class FormatGate:
    """Shut unless the response is readable and declares one answer, with at most a unit or few words after it."""

    name = "format"

    def is_open(self, reading: Reading) -> bool:
        """Return whether the response has the asked form."""
        if not reading.declared or len(_UNREADABLE.findall(reading.text)) > MAX_UNREADABLE:
            return False
        answer, language = reading.declared[-1], reading.task.language
        if not all(found.is_clear and same_answer(found.value, answer.value) for found in reading.declared):
            return False
        tail = reading.text[answer.end : closing_end(reading.text, answer, language)].strip()
        if len(tail) > MAX_TAIL_CHARACTERS or weigh(tail, language) > MAX_TAIL_LETTERS:
            return False
        return not has_other_number(_behind_sentence(tail, language) if answer.is_marked else tail, answer, language)


class LengthGate:
    """Shut where a response is much shorter or longer than the reference, or pads with symbols or white space.

    The letters of both reasonings are weighted by script and compared. Symbols and white space have limits of their
    own, as they would cost reading time for nothing. A limit on the characters of any response lets the other gates
    read only the start of a text.
    """

    name = "length"

    def __init__(self, *, min_ratio: float, max_ratio: float) -> None:
        """Take the band [min_ratio, max_ratio] of the reference's weighted letters."""
        self._min_ratio, self._max_ratio = min_ratio, max_ratio

    def is_open(self, reading: Reading) -> bool:
        """Return whether the reasoning's weighted letters lie in the band and the response is within the limits.

        With an empty reference, or one of formulas alone, there is no ratio of letters and only the limits apply.
        """
        if len(reading.text) > MAX_CHARACTERS or not _is_dense(reading.text):
            return False
        task = reading.task
        symbols = num_symbols(reading.text, task.language)
        if symbols > MAX_SYMBOLS_RATIO * num_symbols(task.reference, PIVOT_LANGUAGE) + SYMBOLS_ALLOWANCE:
            return False
        reference = weigh(task.reference_reasoning, PIVOT_LANGUAGE)
        if reference == 0:
            return True
        letters = weigh(reading.reasoning, task.language)
        if letters > self._max_ratio * max(reference, MIN_REFERENCE_LETTERS):
            return False
        return letters >= self._min_ratio * reference or step_share(reading) >= MIN_STEP_NUMBERS


def step_share(reading: Reading) -> float:
    """Return the share of the numbers worked out in the reference that the response has; 0 where there are none."""
    task = reading.task
    given = set(find_text_numbers(task.question_en, PIVOT_LANGUAGE).digits)
    worked_out = set(find_text_numbers(task.reference_reasoning, PIVOT_LANGUAGE).digits) - given
    found = find_text_numbers(reading.reasoning, task.language)
    return len(worked_out & (set(found.digits) | set(found.words))) / len(worked_out) if worked_out else 0.0


def _behind_sentence(tail: str, language: str) -> str:
    """Return a tail without the rest of the sentence around a box, in which numbers are allowed: "18 in 4 weeks".

    A number behind a word such as "or" stays.
    """
    folded, known = fold(tail), known_language(language)
    end = sentence_end(known).search(folded)
    rest = folded if end is None else folded[: end.start()]
    if any(follows_choice_word(rest, number, known) for number in find_numbers(rest, known)):
        return tail
    return tail[len(rest) :]


def has_other_number(tail: str, answer: DeclaredAnswer, language: str) -> bool:
    """Return whether the text after an answer has a number that is not the answer.

    Raises:
        ValueError: the language is unknown.
    """
    rest = fold(tail)
    for found in reversed(find_numbers(rest, known_language(language))):
        if same_answer(number_value(found), answer.value):
            rest = f"{rest[: found.start]} {rest[found.end :]}"
    return _NUMERAL.search(rest) is not None or find_rare_number(rest, 0, len(rest)) is not None


def _is_dense(text: str) -> bool:
    """Return whether a text has at most BLANKS_ALLOWANCE more blanks than other characters."""
    num_others = sum(map(len, text.split()))
    return len(text) - num_others <= num_others + BLANKS_ALLOWANCE
