"""Read the final answer that a response declares, and compare two answers.

The content of a declaration is a number, an option letter, an expression or a few words. Each answer has one canonical
spelling; "7,425" in a language with a decimal comma has two readings, "7.425|7425". Text that is not declared is never
the final answer. A text may declare several times: the last declaration counts, with those close before it.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from languages.facts import known_language
from languages.language import Language
from rewards.answers.declarations import MAX_CONTENT, Mark, find_marks, sentence_end, whole_text
from rewards.answers.declared_numbers import declared_numbers, has_words, is_emphasised
from rewards.answers.hedges import follows_choice_word, is_hedged, other_choice
from rewards.answers.numbers import NumberSpan, find_numbers, find_numbers_from, fold, nfc
from rewards.answers.options import LETTERS, find_options
from rewards.answers.symbolic import as_expression, same_expression
from rewards.texts.scripts import weigh

Kind = Literal["number", "option", "expression", "text"]

MAX_LEAD_IN = 40
"""Most characters of a sentence before its closing phrase that belong to the closing: "Therefore, the final answer"."""
MAX_BETWEEN = 60
"""Most letters, weighted by script, between declarations that are close to each other. Those close to the last one
count with it; earlier ones are intermediate results, or say the answer before the reasoning."""
MIN_STEPS = 2
"""Least number of different numbers behind a label with which its sentence works the answer out."""
MAX_WORDS = 60
"""Longest answer in words, in characters: a name or a short phrase, not a sentence of reasoning."""

_MATHEMATICS = re.compile(r"[\s:*_]{0,9}(?:\$\$?([^$\n]{1,99})\$|\\\(([^\n]{1,99}?)\\\)|\\\[([^$]{1,99}?)\\\])")
_MARKUP = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mbox)\{([^{}]*)\}|\\[()\[\]]|[*_$`\"«»“”„「」{}<>]")
_LIST = re.compile(r"[\s:*_$]{0,9}((?:\\left)?[(\[][^()\[\]\n]{1,60},[^()\[\]\n]{1,60}[)\]])")
_AMOUNT = re.compile(r"[\s:*_]{0,9}\\?[$€£¥]\s?\d[\d.,]{0,19}[kKMmB](?!\w)")  # "$5k" is no product
_BRACKETED = str.maketrans("", "", "()[]")
_EDGES = " \t\r\n.,;:!?。।、，'’‘"
_RATIO = re.compile(r"\d{1,9}(?:\s?:\s?\d{1,9}){1,3}")
_NUMBER = re.compile(r"(-?\d{1,199}(?:\.\d{1,199}|/0{0,9}[1-9]\d{0,199})?)(%?)", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeclaredAnswer:
    """Hold one declaration. Offsets hold in the NFC text."""

    value: str  # canonical: "18", "1/3", "50%", "7.425|7425", "B", "2\\sqrt{3}", "Paris"
    kind: Kind
    language: str | None  # of the closing phrase; None for \boxed{} and ####
    start: int  # of the phrase, box or hashes; of the number itself, where the sentence behind a label works it out
    end: int  # after the answer, or after the closing brace
    is_marked: bool = False  # in a box, or in a sentence that emphasises it: other numbers may follow in the sentence
    is_direct: bool = True  # False where words of its sentence stand between the phrase and the number
    is_clear: bool = True  # False where it is hedged ("not 18"), or one of several in one declaration ("18 or 20")


def declared_answers(text: str, language: str) -> list[DeclaredAnswer]:
    """Return the answers with which the text declares its final answer, in order of place.

    These are the last declaration and those close before it. "The answer is \\boxed{18}" is one declaration: phrase and
    box share their number. So are declarations of the same answer close to each other ("The answer is 18.", a new line,
    "\\boxed{18}"), unless their phrases are in two languages. Several numbers in a box, numbers with "or" between them
    and sides of a false equation ("12 = 11") are several.

    A phrase that no answer follows declares nothing, nor does a box that is not closed. Expressions behind
    a phrase and words count only where nothing else is declared, and then only the last of them: reasoning is full of
    "the answer is found by ...".

    Raises:
        ValueError: the language is unknown.
    """
    folded = fold(text)
    marks = find_marks(folded, language)
    if not marks:
        return []
    exact: dict[int, DeclaredAnswer] = {}
    for mark in marks:
        for found, value_end in _exact_answers(folded, mark, known_language(language)):
            earlier = exact.get(value_end)
            exact[value_end] = found if earlier is None else _merge(earlier, found)
    if exact:
        return _merge_repeated(_close_to_last(sorted(exact.values(), key=_place), folded, language), folded)
    return _last_in_words(nfc(text), folded, marks, language)


def answer_of(declared: Sequence[DeclaredAnswer]) -> str | None:
    """Return the final answer of a text's declarations in its canonical spelling; None without any.

    Several numbers in one declaration are words ("18 or 20"), and so is a hedged number ("not 18"): neither is equal to
    a number.
    """
    if not declared:
        return None
    last = declared[-1]
    if last.is_clear or last.kind == "text":
        return last.value
    return " or ".join(answer.value for answer in declared if not answer.is_clear and answer.start == last.start)


def final_answer(text: str, language: str) -> str | None:
    """Return the last declared answer in its canonical spelling; None where none is declared.

    Raises:
        ValueError: the language is unknown.
    """
    return answer_of(declared_answers(text, language))


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
    """Return the last number of the text, declared or not; None without one, and where it is hedged ("or 20").

    Use it for evaluation only: as a reward it would pay for chance.

    Raises:
        ValueError: the language is unknown.
    """
    folded, known = fold(text), known_language(language)
    numbers = list(find_numbers(folded, known))
    if not numbers or is_hedged(folded, numbers[-1], known):
        return None
    if len(numbers) > 1 and other_choice(folded, numbers[-2], known, len(folded)) == numbers[-1]:
        return None
    return number_value(numbers[-1])


@lru_cache(maxsize=4096)
def same_answer(a: str, b: str) -> bool:
    """Return whether two canonical answers are the same; symmetric, and never raises.

    - Numbers are compared exactly: "18" is "18.0" but not "18.01". "50%" is "0.5" and also "50", as both are written
      for it. But "0.5%" is only "0.005": to take "0.5" for it would accept half of everything. Of an answer with two
      readings ("7.425|7425") either may be the other answer's.
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


def has_two_readings(value: str) -> bool:
    """Return whether a canonical answer may be two numbers: "7.425|7425"."""
    return "|" in value and kind_of(value) == "number"


@lru_cache(maxsize=4096)
def kind_of(value: str) -> Kind:
    """Return the kind of a canonical answer, which its spelling alone decides."""
    if all(map(_NUMBER.fullmatch, value.split("|"))):
        return "number"
    if len(value) == 1 and value in LETTERS:
        return "option"
    return "text" if as_expression(value) is None else "expression"


def number_value(number: NumberSpan) -> str:
    """Return the canonical spelling of a number, with both readings and the percent sign."""
    readings = (number.value,) if number.other is None else (number.value, number.other)
    return "|".join(f"{reading}%" if number.is_percent else reading for reading in readings)


def split_reasoning(text: str, answers: Sequence[DeclaredAnswer], language: str) -> tuple[str, str]:
    """Return (reasoning, closing): the text before the sentence that declares the final answer, and the rest.

    `answers` are those that `declared_answers` found in the same text. Where that sentence also reasons (it has a
    number before the phrase, or is long, as in Thai, which marks no ends of sentences), the cut is at the phrase. Text
    behind the sentence that explains the answer is reasoning too. Without a declaration the whole text is reasoning.
    """
    composed = nfc(text)
    if not answers:
        return composed.strip(), ""
    cut, end = answers[0].start, closing_end(composed, answers[-1], language)
    nearest = max(0, cut - MAX_LEAD_IN - 1)
    ends = [match.end() for match in sentence_end(known_language(language)).finditer(composed, nearest, cut)]
    lead_in = composed[ends[-1] if ends else nearest : cut]
    if len(lead_in) <= MAX_LEAD_IN and not any(character.isdecimal() for character in lead_in):
        cut -= len(lead_in)
    reasoning = (composed[:cut].strip(), composed[end:].strip())
    return "\n".join(part for part in reasoning if part), composed[cut:end].strip()


def closing_end(composed: str, answer: DeclaredAnswer, language: str) -> int:
    """Return where the closing ends: with the text, or with its sentence where the text behind explains the answer.

    An explanation has further numbers, and its last sentence with numbers states the answer again, unhedged.
    """
    if answer.kind != "number":
        return len(composed)
    folded, known = fold(composed), known_language(language)
    pattern = sentence_end(known)
    ended = pattern.search(folded, answer.end)
    if ended is None:
        return len(composed)
    numbers = find_numbers_from(folded, known, ended.end())
    if all(same_answer(number_value(number), answer.value) for number in numbers):
        return len(composed)
    *_, start = [ended.end(), *(end.end() for end in pattern.finditer(folded, ended.end(), numbers[-1].start))]
    restated = [
        number for number in numbers if number.start >= start and same_answer(number_value(number), answer.value)
    ]
    is_explained = bool(restated) and not any(
        is_hedged(folded, number, known) or follows_choice_word(folded, number, known)
        for number in numbers
        if number.start >= start
    )
    return ended.end() if is_explained else len(composed)


def _exact_answers(folded: str, mark: Mark, language: Language) -> list[tuple[DeclaredAnswer, int]]:
    """Return the options or numbers that a mark declares, or the formula in a box, each with its end.

    The list is empty for anything else.
    """
    options = find_options(folded, mark.content, mark.stop, language)
    if options:
        return [(_declared(mark, span.value, "option", span.end), span.end) for span in options]
    expression = _expression(folded, mark)
    if expression is not None:
        is_formula = mark.is_box and kind_of(expression) == "expression"
        return [(_declared(mark, expression, "expression", mark.stop), mark.stop)] if is_formula else []
    numbers = declared_numbers(folded, mark, language)
    if not numbers:
        return []
    if all(same_answer(number_value(number), number_value(numbers[0])) for number in numbers):
        numbers = numbers[:1]
    mark = _behind_reasoning(folded, _without_foreign_label(folded, mark, numbers[0], language), numbers[0], language)
    is_direct = not (mark.is_phrase and has_words(folded[mark.opened : numbers[0].start], language))
    is_clear = len(numbers) == 1 and not _is_hedged(folded, numbers[0], mark, language)
    if mark.is_box and is_clear:
        is_clear = _stands_alone(folded, mark, numbers[0], language)
    if len(numbers) == 1 and not is_clear:
        hedged = _hedge(folded, mark, numbers[0])
        return [(replace(_declared(mark, hedged, "text", numbers[0].end), is_clear=False), numbers[0].end)]
    return [
        (
            replace(
                _declared(mark, number_value(number), "number", number.end, is_direct=is_direct),
                is_clear=is_clear,
                is_marked=mark.is_box or (not is_direct and is_emphasised(folded, number, mark)),
            ),
            number.end,
        )
        for number in numbers
    ]


def _without_foreign_label(folded: str, mark: Mark, number: NumberSpan, language: Language) -> Mark:
    """Return a mark without the language of an English label above a sentence: the sentence shows its own language."""
    if mark.lead is None or mark.language == language.code:
        return mark
    place = number.start if mark.end is None else folded.rfind("\\", mark.lead, mark.content)
    return replace(mark, language=None) if has_words(folded[mark.lead : place], language) else mark


def _behind_reasoning(folded: str, mark: Mark, number: NumberSpan, language: Language) -> Mark:
    """Return a mark that starts at its number or box where the sentence behind a label works that number out.

    Such a sentence is reasoning: "Answer: 12 baskets of 3 oranges each are 36 oranges."
    """
    if mark.lead is None:
        return mark
    place = number.start if mark.end is None else folded.rfind("\\", mark.lead, mark.content)
    lead = folded[mark.lead : place]
    is_worked_out = len({found.value for found in find_numbers(lead, language)}) >= MIN_STEPS
    return replace(mark, start=place) if is_worked_out and has_words(lead, language) else mark


def _stands_alone(folded: str, mark: Mark, number: NumberSpan, language: Language) -> bool:
    """Return whether nothing around a box hedges its number: "at least \\boxed{18}", "\\boxed{18} or 20"."""
    boxed = replace(
        number,
        start=max(mark.start, folded.rfind("\\", 0, mark.content)),
        end=mark.end or mark.stop,
    )
    limit = min(len(folded), boxed.end + MAX_CONTENT)
    return not _is_hedged(folded, boxed, mark, language) and other_choice(folded, boxed, language, limit) is None


def _is_hedged(folded: str, number: NumberSpan, mark: Mark, language: Language) -> bool:
    """Return whether a number is hedged in the text's language, or in that of the closing phrase."""
    languages = {language, known_language(mark.language or language.code)}
    return any(is_hedged(folded, number, known) for known in languages)


def _hedge(folded: str, mark: Mark, number: NumberSpan) -> str:
    """Return a hedged number with the words before and behind it, as text: it is no number."""
    words = " ".join(_MARKUP.sub(r" \1", folded[mark.content : max(mark.stop, number.end)]).split()).strip(_EDGES)
    words = words[:MAX_WORDS].strip(_EDGES)
    return words if kind_of(words) == "text" else f"? {words}"


def _declared(mark: Mark, value: str, kind: Kind, end: int, *, is_direct: bool = True) -> DeclaredAnswer:
    return DeclaredAnswer(
        value=value,
        kind=kind,
        language=mark.language,
        start=mark.start,
        end=mark.end or end,
        is_marked=mark.is_box,
        is_direct=is_direct,
    )


def _expression(folded: str, mark: Mark) -> str | None:
    """Return the symbolic answer that a mark declares: the formula in LaTeX's dollars, else the whole content."""
    if _AMOUNT.match(folded, mark.content, mark.stop):
        return None
    inline = _MATHEMATICS.match(folded, mark.content, mark.stop)
    if inline is not None:
        return as_expression(next(group for group in inline.groups() if group).strip(_EDGES))
    content = folded[mark.content : mark.stop].strip(_EDGES + "*_$") if mark.stop - mark.content <= 99 else ""
    whole = as_expression(content) if content else None
    if whole is not None and mark.is_box:  # "(1, 2) ∪ (3, 4)" is more than its first pair
        return whole
    listed = _LIST.match(folded, mark.content, mark.stop)
    if listed is not None and (pair := as_expression(listed[1])) is not None:
        return pair
    return whole


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
    return replace(
        a,
        language=a.language or b.language,
        start=min(a.start, b.start),
        end=max(a.end, b.end),
        is_marked=a.is_marked or b.is_marked,
        is_direct=a.is_direct or b.is_direct,
        is_clear=a.is_clear and b.is_clear,
    )


def _place(answer: DeclaredAnswer) -> tuple[int, int]:
    return answer.start, answer.end


def _close_to_last(answers: Sequence[DeclaredAnswer], folded: str, language: str) -> list[DeclaredAnswer]:
    """Return the last answer and those before it that are close to the next one.

    A number inside a sentence ("Answer: She buys 12 eggs") gives way to one that is stated at once or in a box.
    """
    if answers[-1].is_direct:
        answers = [answer for answer in answers if answer.is_direct or same_answer(answer.value, answers[-1].value)]
    first = len(answers) - 1
    while first > 0:
        between = folded[answers[first - 1].end : answers[first].start]
        if len(between) > MAX_CONTENT or weigh(between, language) > MAX_BETWEEN:
            break
        first -= 1
    return list(answers[first:])


def _merge_repeated(answers: Sequence[DeclaredAnswer], folded: str) -> list[DeclaredAnswer]:
    """Merge declarations that repeat the one just before them. In two languages they stay two declarations."""
    merged = [answers[0]]
    for answer in answers[1:]:
        earlier = merged[-1]
        is_alike = earlier.is_clear and answer.is_clear and same_answer(earlier.value, answer.value)
        if is_alike and len({earlier.language, answer.language} - {None}) <= 1 and earlier.end <= answer.start:
            merged[-1] = replace(_merge(earlier, answer), value=answer.value, kind=answer.kind)
        else:
            merged.append(answer)
    return merged


def _same_number(a: str, b: str) -> bool:
    return not {Fraction(value) for value in _readings(a)}.isdisjoint(Fraction(value) for value in _readings(b))


def _readings(value: str) -> tuple[str, ...]:
    """Return an answer's values: a percent has its hundredth and, from 1% on, also the number before the sign."""
    if has_two_readings(value):
        return tuple(reading for style in value.split("|") for reading in _readings(style))
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
