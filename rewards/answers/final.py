"""Read the final answer that a response declares, and compare two answers.

The content of a declaration is a number, an option letter, an expression or a few words. Each answer has one canonical
spelling. Text that is not declared is never the final answer.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from languages.facts import known_language
from languages.language import Language
from rewards.answers.declarations import SENTENCE_END, Mark, find_marks, whole_text
from rewards.answers.declared_numbers import declared_numbers
from rewards.answers.numbers import find_numbers, fold, nfc
from rewards.answers.options import LETTERS, find_options
from rewards.answers.symbolic import as_expression, same_expression

Kind = Literal["number", "option", "expression", "text"]

MAX_LEAD_IN = 40
"""Most characters of a sentence before its closing phrase that belong to the closing: "Therefore, the final answer"."""
MAX_WORDS = 60
"""Longest answer in words, in characters: a name or a short phrase, not a sentence of reasoning."""

_MATHEMATICS = re.compile(r"[\s:*_]{0,9}(?:\$\$?([^$\n]{1,99})\$|\\\(([^\n]{1,99}?)\\\)|\\\[([^$]{1,99}?)\\\])")
_MARKUP = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox)\{([^{}]*)\}|\\[()\[\]]|[*_$`\"«»“”„「」{}<>]")
_BRACKETED = str.maketrans("", "", "()[]")
_EDGES = " \t\r\n.,;:!?。।、，'’‘"
_RATIO = re.compile(r"\d{1,9}(?:\s?:\s?\d{1,9}){1,3}")
_NUMBER = re.compile(r"(-?\d{1,199}(?:\.\d{1,199}|/0{0,9}[1-9]\d{0,199})?)(%?)", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeclaredAnswer:
    """Hold one declaration. Offsets hold in the NFC text."""

    value: str  # canonical: "18", "1/3", "50%", "B", "2\\sqrt{3}", "Paris"
    kind: Kind
    language: str | None  # of the closing phrase; None for \boxed{} and ####
    start: int  # of the phrase, box or hashes
    end: int  # after the answer, or after the closing brace


def declared_answers(text: str, language: str) -> list[DeclaredAnswer]:
    """Return the answers that the text declares to be final, in order of place.

    "The answer is \\boxed{18}" is one declaration: phrase and box share their number. So are two of the same answer in
    a row, with neither a letter nor a digit between them ("The answer is 18.", a new line, "\\boxed{18}"); elsewhere
    two are two, even of one answer. Several numbers in a box, and sides of a false equation ("12 = 11"), are several.

    A phrase that no answer follows declares nothing, nor does a box that is not closed. Expressions and words count
    only where no number and no option is declared anywhere, and then only the last of them: reasoning is full of "the
    answer is found by ...".

    Raises:
        ValueError: the language is unknown.
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
        return _merge_repeated(sorted(exact.values(), key=lambda answer: answer.start), folded)
    return _last_in_words(nfc(text), folded, marks, language)


def final_answer(text: str, language: str) -> str | None:
    """Return the last declared answer in its canonical spelling; None where none is declared.

    Raises:
        ValueError: the language is unknown.
    """
    answers = declared_answers(text, language)
    return answers[-1].value if answers else None


def plain_answer(text: str, language: str) -> str | None:
    """Return the canonical spelling of a text that is nothing but an answer, such as a data set's column: "1,234".

    Raises:
        ValueError: the language is unknown.
    """
    folded = fold(text)
    mark = whole_text(folded)
    found = [answer for answer, _ in _exact_answers(folded, mark, known_language(language))]
    found = found or _last_in_words(nfc(text), folded, [mark], language)
    return found[-1].value if found else None


def last_number(text: str, language: str) -> str | None:
    """Return the last number of the text, declared or not; None without one.

    Use it for evaluation only: as a reward it would pay for chance.

    Raises:
        ValueError: the language is unknown.
    """
    numbers = find_numbers(fold(text), known_language(language))
    return numbers[-1].value if numbers else None


@lru_cache(maxsize=4096)
def same_answer(a: str, b: str) -> bool:
    """Return whether two canonical answers are the same; symmetric, and never raises.

    - Numbers are compared exactly: "18" is "18.0" but not "18.01". "50%" is "0.5" and also "50", as both are written
      for it. But "0.5%" is only "0.005": to take "0.5" for it would accept half of everything.
    - Option letters are compared exactly.
    - Expressions are compared mathematically, also with a number.
    - Words are compared without regard to case, width, spaces and punctuation.
    - Answers of different kinds are never the same, except for an expression and a number.
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
    """Return the kind of a canonical answer, which its spelling alone decides."""
    if _NUMBER.fullmatch(value):
        return "number"
    if len(value) == 1 and value in LETTERS:
        return "option"
    return "text" if as_expression(value) is None else "expression"


def split_reasoning(text: str, answers: Sequence[DeclaredAnswer]) -> tuple[str, str]:
    """Return (reasoning, closing): the text before the sentence that declares the final answer, and the rest.

    `answers` are those that `declared_answers` found in the same text. Where that sentence also reasons (it has a
    number before the phrase, or is long, as in Thai, which marks no ends of sentences), the cut is at the phrase.
    Without a declaration the whole text is reasoning.
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
    """Return the options or numbers that a mark declares, each with its end; an empty list for anything else."""
    options = find_options(folded, mark.content, mark.stop, language)
    if options:
        return [(_declared(mark, span.value, "option", span.end), span.end) for span in options]
    if _expression(folded, mark) is not None:
        return []
    numbers = declared_numbers(folded, mark, language)
    values = [f"{number.value}%" if number.is_percent else number.value for number in numbers]
    return [
        (_declared(mark, value, "number", number.end), number.end)
        for value, number in zip(values, numbers, strict=True)
    ]


def _declared(mark: Mark, value: str, kind: Kind, end: int) -> DeclaredAnswer:
    return DeclaredAnswer(value=value, kind=kind, language=mark.language, start=mark.start, end=mark.end or end)


def _expression(folded: str, mark: Mark) -> str | None:
    """Return the symbolic answer that a mark declares: the formula in LaTeX's dollars, else the whole content."""
    inline = _MATHEMATICS.match(folded, mark.content, mark.stop)
    if inline is not None:
        return as_expression(next(group for group in inline.groups() if group).strip(_EDGES))
    content = folded[mark.content : mark.stop].strip(_EDGES + "*_$") if mark.stop - mark.content <= 99 else ""
    return as_expression(content) if content else None


def _last_in_words(composed: str, folded: str, marks: Sequence[Mark], language: str) -> list[DeclaredAnswer]:
    """Return the last declared expression or few words as a list of one; an empty list without any."""
    for mark in sorted(marks, key=lambda mark: (mark.stop, mark.content, mark.language is not None), reverse=True):
        value = _expression(folded, mark) or _words(composed, mark, known_language(mark.language or language))
        # A letter that was not read as an option belongs to something else, such as "A.I.".
        if value is not None and kind_of(value) != "option":
            return [_declared(mark, value, kind_of(value), mark.stop)]
    return []


def _words(composed: str, mark: Mark, language: Language) -> str | None:
    """Return a short answer in words; None for a longer text.

    After a phrase the answer must end the text: a text that goes on is reasoning.
    """
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
    """Merge two marks of one declaration: the phrase gives the language, and the later end counts."""
    return DeclaredAnswer(
        value=a.value,
        kind=a.kind,
        language=a.language or b.language,
        start=min(a.start, b.start),
        end=max(a.end, b.end),
    )


def _merge_repeated(answers: Sequence[DeclaredAnswer], folded: str) -> list[DeclaredAnswer]:
    """Merge declarations that repeat the one just before them. In two languages they stay two declarations."""
    merged = [answers[0]]
    for answer in answers[1:]:
        earlier = merged[-1]
        is_alike = earlier.value == answer.value and len({earlier.language, answer.language} - {None}) <= 1
        if is_alike and earlier.end <= answer.start and not _has_words(folded[earlier.end : answer.start]):
            merged[-1] = _merge(earlier, answer)
        else:
            merged.append(answer)
    return merged


def _has_words(between: str) -> bool:
    return any(unicodedata.category(character)[0] in "LMN" for character in between)


def _same_number(a: str, b: str) -> bool:
    return not {Fraction(value) for value in _readings(a)}.isdisjoint(Fraction(value) for value in _readings(b))


def _readings(value: str) -> tuple[str, ...]:
    """Return an answer's values: a percent has its hundredth and, from 1% on, also the number before the sign."""
    match = _NUMBER.fullmatch(value)
    if match is None or not match[2]:
        return (value,)
    share = Fraction(match[1]) / 100
    hundredth = f"{share.numerator}/{share.denominator}"
    return (hundredth,) if 0 < abs(share) < Fraction(1, 100) else (match[1], hundredth)


def _bare(words: str) -> str:
    """Return the words as letters, marks and digits only, in one case and width."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", words).casefold())
    return "".join(character for character in folded if unicodedata.category(character)[0] in "LMN")
