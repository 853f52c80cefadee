"""Which final answer a response declares, and whether two answers are the same.

Owns the reading of a declaration's content as a number, an option letter, an expression or a few words, one canonical
string per answer, and their comparison. What is not declared is never the final answer. Knows no reward.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from rewards.closings import SENTENCE_END, Mark, find_marks, known_language, whole_text
from rewards.languages import Language
from rewards.numbers import NumberSpan, find_number, find_numbers, fold, nfc
from rewards.options import LETTERS, find_options
from rewards.symbolic import as_expression, same_expression

Kind = Literal["number", "option", "expression", "text"]

MAX_GAP = 40
"""Most characters between a closing phrase and its number: "The answer is that she makes 18 dollars"."""
MAX_LEAD_IN = 40
"""Most characters of a sentence before its closing phrase that go with it: "Therefore, the final answer is ..."."""
MAX_WORDS = 60
"""Longest answer in words, in characters: a name or a short phrase, not a sentence of reasoning."""

# An operator and another number after the first one: "12 + 3 = 15". The answer is behind the last equals sign.
_COMPUTATION = re.compile(r"\s{0,3}[^\W\d]{0,12}\s{0,3}[-+*/×x÷·=−–]\s{0,3}[($€£]{0,3}\d")
_EQUALS = re.compile(r"[=≈]")
# Behind a number's digits: it is a factor ("2x", "3\sqrt{2}", "2^5") or a side of a ratio ("3:2"), not the answer.
_GOES_ON = re.compile(
    r"\s?(?:\\(?:sqrt|pi|times|cdot|log|ln|sin|cos|tan)|[√π]|\^(?!\{?\\circ)|:\s?\d)|[abcinpqrtu-z](?![^\W\d_])"
)
_MATHEMATICS = re.compile(r"[\s:*_]{0,9}(?:\$\$?([^$\n]{1,99})\$|\\\(([^\n]{1,99}?)\\\)|\\\[([^$]{1,99}?)\\\])")
_MARKUP = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox)\{([^{}]*)\}|\\[()\[\]]|[*_$`\"«»“”„「」{}<>]")
_BRACKETED = str.maketrans("", "", "()[]")
_EDGES = " \t\r\n.,;:!?。।、，'’‘"
_RATIO = re.compile(r"\d{1,9}(?:\s?:\s?\d{1,9}){1,3}")
_NUMBER = re.compile(r"(-?\d{1,199}(?:\.\d{1,199}|/0{0,9}[1-9]\d{0,199})?)(%?)", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeclaredAnswer:
    """One declaration. Offsets hold in the NFC text."""

    value: str  # canonical: "18", "1/3", "50%", "B", "2\\sqrt{3}", "Paris"
    kind: Kind
    language: str | None  # of the closing phrase; None for \boxed{} and ####
    start: int  # of the phrase, box or hashes
    end: int  # behind the answer, or behind the closing brace


def declared_answers(text: str, language: str) -> list[DeclaredAnswer]:
    """What the text declares to be its final answer, in order of place; two declarations are two, even of one answer.

    "The answer is \\boxed{18}" is one: phrase and box share their number. A phrase without an answer behind it declares
    nothing. Expressions and words count only where no number and no option is declared anywhere, and only the last of
    them: reasoning is full of "the answer is found by ...".
    """
    folded = fold(text)
    marks = find_marks(folded, language)
    if not marks:
        return []
    exact: dict[int, DeclaredAnswer] = {}
    for mark in marks:
        for found, value_end in _exact_answers(folded, mark, known_language(mark.language or language)):
            earlier = exact.get(value_end)
            exact[value_end] = found if earlier is None else _merge(earlier, found)
    if exact:
        return sorted(exact.values(), key=lambda answer: answer.start)
    return _last_in_words(nfc(text), folded, marks, language)


def final_answer(text: str, language: str) -> str | None:
    """The last declared answer in its canonical spelling; None where none is declared. Never just any number."""
    answers = declared_answers(text, language)
    return answers[-1].value if answers else None


def plain_answer(text: str, language: str) -> str | None:
    """The canonical spelling of a text that is nothing but an answer, such as a data set's column: "1,234", "B"."""
    folded = fold(text)
    mark = whole_text(folded)
    found = [answer for answer, _ in _exact_answers(folded, mark, known_language(language))]
    found = found or _last_in_words(nfc(text), folded, [mark], language)
    return found[-1].value if found else None


def last_number(text: str, language: str) -> str | None:
    """The last number of the text, declared or not. For evaluation only: as a reward it would pay for chance."""
    numbers = find_numbers(fold(text), known_language(language))
    return numbers[-1].value if numbers else None


@lru_cache(maxsize=4096)
def same_answer(a: str, b: str) -> bool:
    """Whether two canonical answers are the same; symmetric, and never raises.

    Numbers exactly: "18" and "18.0" are, "18" and "18.01" are not; "50%" is "50" and also "0.5", as either is written
    for it. Option letters exactly. Expressions mathematically, also against a number. Words without regard to case,
    width, spaces and punctuation. Different kinds are never the same.
    """
    if a == b:
        return True
    kinds = {kind_of(a), kind_of(b)}
    if kinds == {"number"}:
        return _same_number(a, b)
    if kinds <= {"number", "expression"}:
        return any(same_expression(x, y) for x in _readings(a) for y in _readings(b))
    return kinds == {"text"} and _bare(a) == _bare(b)


@lru_cache(maxsize=4096)
def kind_of(value: str) -> Kind:
    """What a canonical answer is, told from its spelling alone."""
    if _NUMBER.fullmatch(value):
        return "number"
    if len(value) == 1 and value in LETTERS:
        return "option"
    return "text" if as_expression(value) is None else "expression"


def split_reasoning(text: str, answers: Sequence[DeclaredAnswer]) -> tuple[str, str]:
    """(reasoning, closing): the text before the sentence that declares the final answer, and the rest.

    `answers` are what `declared_answers` found in the same text.

    Where that sentence also reasons (it has a number before the phrase, or is long, as in Thai, which ends no sentence)
    the cut is at the phrase. Without a declaration all of it is reasoning.
    """
    composed = nfc(text)
    if not answers:
        return composed.strip(), ""
    cut = answers[-1].start
    nearest = max(0, cut - MAX_LEAD_IN - 1)
    ends = [match.end() for match in SENTENCE_END.finditer(composed, nearest, cut)]
    lead_in = composed[ends[-1] if ends else nearest : cut]
    if len(lead_in) <= MAX_LEAD_IN and not any(character.isdecimal() for character in lead_in):
        cut -= len(lead_in)
    return composed[:cut].strip(), composed[cut:].strip()


def _exact_answers(folded: str, mark: Mark, language: Language) -> list[tuple[DeclaredAnswer, int]]:
    """The options or the number that a mark declares, each with where it ends; empty for anything else."""
    options = find_options(folded, mark.content, mark.stop)
    if options:
        return [(_declared(mark, span.value, "option", span.end), span.end) for span in options]
    if _expression(folded, mark) is not None:
        return []
    number = _declared_number(folded, mark.opened, mark.stop, language)
    if number is None:
        return []
    value = f"{number.value}%" if number.is_percent else number.value
    return [(_declared(mark, value, "number", number.end), number.end)]


def _declared(mark: Mark, value: str, kind: Kind, end: int) -> DeclaredAnswer:
    return DeclaredAnswer(value=value, kind=kind, language=mark.language, start=mark.start, end=mark.end or end)


def _declared_number(folded: str, start: int, end: int, language: Language) -> NumberSpan | None:
    """The number of one declaration; of a computation, what stands behind its last equals sign."""
    number = find_number(folded, language, start, end)
    if number is None or number.start - start > MAX_GAP:
        return None
    if _COMPUTATION.match(folded, number.end, end):
        signs = list(_EQUALS.finditer(folded, number.end, end))
        number = find_number(folded, language, signs[-1].end(), end) if signs else None
    return None if number is None or _GOES_ON.match(folded, number.end, end) else number


def _expression(folded: str, mark: Mark) -> str | None:
    """The symbolic answer that a mark declares: what stands in LaTeX's dollars, else the whole content."""
    inline = _MATHEMATICS.match(folded, mark.content, mark.stop)
    if inline is not None:
        return as_expression(next(group for group in inline.groups() if group).strip(_EDGES))
    content = folded[mark.content : mark.stop].strip(_EDGES + "*_$") if mark.stop - mark.content <= 99 else ""
    return as_expression(content) if content else None


def _last_in_words(composed: str, folded: str, marks: Sequence[Mark], language: str) -> list[DeclaredAnswer]:
    """The last expression or few words that are declared, as a list of one; empty without any."""
    for mark in sorted(marks, key=lambda mark: (mark.stop, mark.content, mark.language is not None), reverse=True):
        value = _expression(folded, mark) or _words(composed, mark, known_language(mark.language or language))
        # A letter that was not read as an option belongs to something else, such as "A.I.".
        if value is not None and kind_of(value) != "option":
            return [_declared(mark, value, kind_of(value), mark.stop)]
    return []


def _words(composed: str, mark: Mark, language: Language) -> str | None:
    """A short answer in words. Behind a phrase it must end the text: what goes on is reasoning, not an answer."""
    if mark.is_phrase and (len(composed) - mark.stop > MAX_WORDS or any(map(str.isalnum, composed[mark.stop :]))):
        return None
    content = composed[mark.opened : mark.stop]
    if len(content) > 2 * MAX_WORDS:
        return None
    words = " ".join(_MARKUP.sub(r" \1", content).split()).strip(_EDGES)
    if words.count("(") != words.count(")") or words.count("[") != words.count("]"):
        words = words.translate(_BRACKETED)
    words = words.removesuffix(language.closing.partition("{answer}")[2].strip(_EDGES) or "\n").strip(_EDGES)
    is_answer = any(map(str.isalpha, words)) or _RATIO.fullmatch(words)
    return words if is_answer and len(words) <= MAX_WORDS else None


def _merge(a: DeclaredAnswer, b: DeclaredAnswer) -> DeclaredAnswer:
    """Two marks of one declaration: the phrase tells the language, the box may close later."""
    return DeclaredAnswer(
        value=a.value,
        kind=a.kind,
        language=a.language or b.language,
        start=min(a.start, b.start),
        end=max(a.end, b.end),
    )


def _same_number(a: str, b: str) -> bool:
    return not {Fraction(value) for value in _readings(a)}.isdisjoint(Fraction(value) for value in _readings(b))


def _readings(value: str) -> tuple[str, ...]:
    """An answer's values: a percent's are the number before the sign and its hundredth."""
    match = _NUMBER.fullmatch(value)
    if match is None or not match[2]:
        return (value,)
    share = Fraction(match[1]) / 100
    return (match[1], f"{share.numerator}/{share.denominator}")


def _bare(words: str) -> str:
    """Words as letters, marks and digits only, in one case and width."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", words).casefold())
    return "".join(character for character in folded if unicodedata.category(character)[0] in "LMN")
