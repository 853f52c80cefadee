"""Which final answer a response declares, and whether two answers are the same number.

Owns declarations: the closing phrase of the response's language (or of English), `\\boxed{N}` and `#### N`. A number
that is not declared is never the final answer. Reads numbers through rewards/numbers.py; knows no reward.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

from rewards.languages import LANGUAGES, Language
from rewards.numbers import NumberSpan, find_number, find_numbers, fold, nfc

MAX_GAP = 40
"""Most characters between a closing phrase and its number: "The answer is that she makes 18 dollars"."""
MAX_LEAD_IN = 40
"""Most characters of a sentence before its closing phrase that go with it: "Therefore, the final answer is ..."."""

_OPENING = re.compile(r"[\s:*_$\\(\[{}«»„“”\"'「`]*")
_SENTENCE_END = re.compile(r"\n|[!?。।]|(?<!\brs)(?<!\bca)\.(?!\d)", re.IGNORECASE)
# An operator and another number after the first one: "12 + 3 = 15". The answer is behind the last equals sign.
_EXPRESSION = re.compile(r"\s*[^\W\d]{0,12}\s*[-+*/×x÷·=−–]\s*[($€£]*\d")
_EQUALS = re.compile(r"[=≈]")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
_HASHES = re.compile(r"####")


@dataclass(frozen=True, kw_only=True, slots=True)
class DeclaredAnswer:
    """One declaration. Offsets hold in the NFC text."""

    value: str  # canonical number
    language: str | None  # of the closing phrase; None for \boxed{} and ####
    start: int  # of the phrase, box or hashes
    end: int  # behind the number, or behind the closing brace


def declared_answers(text: str, language: str) -> list[DeclaredAnswer]:
    """Every number that the text declares to be its final answer, in order.

    "The answer is \\boxed{18}" is one declaration: phrase and box share their number. A phrase without a number behind
    it declares nothing.
    """
    folded = fold(text)
    by_number: dict[int, DeclaredAnswer] = {}
    for start, opened, stop, code in _markers(folded, language):
        number = _declared_number(folded, opened, stop, known_language(code or language))
        if number is None:
            continue
        # A box closes behind its brace.
        end = stop + 1 if code is None and stop < len(folded) and folded[stop] == "}" else number.end
        found = DeclaredAnswer(value=number.value, language=code, start=start, end=end)
        earlier = by_number.get(number.end)
        by_number[number.end] = found if earlier is None else _merge(earlier, found)
    return sorted(by_number.values(), key=lambda answer: answer.start)


def final_answer(text: str, language: str) -> str | None:
    """The last declared answer as a canonical number; None where none is declared. Never just any number."""
    answers = declared_answers(text, language)
    return answers[-1].value if answers else None


def last_number(text: str, language: str) -> str | None:
    """The last number of the text, declared or not. For evaluation only: as a reward it would pay for chance."""
    numbers = find_numbers(fold(text), known_language(language))
    return numbers[-1].value if numbers else None


def same_answer(a: str, b: str) -> bool:
    """Exact equality of two canonical (or plain) numbers: "18" and "18.0" are the same, "18" and "18.01" are not."""
    return Fraction(a) == Fraction(b)


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
    ends = [match.end() for match in _SENTENCE_END.finditer(composed, 0, cut)]
    lead_in = composed[ends[-1] if ends else 0 : cut]
    if len(lead_in) <= MAX_LEAD_IN and not any(character.isdecimal() for character in lead_in):
        cut -= len(lead_in)
    return composed[:cut].strip(), composed[cut:].strip()


def known_language(code: str) -> Language:
    """The facts of a language, or a ValueError that names those there are."""
    if code not in LANGUAGES:
        raise ValueError(f"unknown language {code!r}; known are {', '.join(LANGUAGES)}")
    return LANGUAGES[code]


def _markers(folded: str, language: str) -> list[tuple[int, int, int, str | None]]:
    """(start, where the number may begin, where it must have ended, language) of everything that looks declared."""
    found: list[tuple[int, int, int, str | None]] = []
    for code in dict.fromkeys((language, "en")):
        for pattern in _closing_patterns(code):
            for match in pattern.finditer(folded):
                opened = _skip_opening(folded, match.end())
                found.append((match.start(), opened, _sentence_end(folded, opened), code))
    for match in _BOXED.finditer(folded):
        found.append((match.start(), match.end(), _closing_brace(folded, match.end()), None))
    for match in _HASHES.finditer(folded):
        newline = folded.find("\n", match.end())
        found.append((match.start(), match.end(), newline if newline >= 0 else len(folded), None))
    return found


@cache
def _closing_patterns(code: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(nfc(pattern), re.IGNORECASE) for pattern in known_language(code).closing_patterns)


def _skip_opening(folded: str, position: int) -> int:
    """Past line breaks, colons, emphasis and the dollar signs of LaTeX, but not past a currency sign's number."""
    match = _OPENING.match(folded, position)
    return match.end() if match else position


def _sentence_end(folded: str, position: int) -> int:
    match = _SENTENCE_END.search(folded, position)
    return match.start() if match else len(folded)


def _closing_brace(folded: str, position: int) -> int:
    """Where the brace that is open at `position` closes; the text's end where it never does."""
    depth = 1
    for index in range(position, len(folded)):
        depth += {"{": 1, "}": -1}.get(folded[index], 0)
        if depth == 0:
            return index
    return len(folded)


def _declared_number(folded: str, start: int, end: int, language: Language) -> NumberSpan | None:
    """The number of one declaration; of an expression, what stands behind its last equals sign."""
    number = find_number(folded, language, start, end)
    if number is None or number.start - start > MAX_GAP:
        return None
    if not _EXPRESSION.match(folded, number.end, end):
        return number
    signs = list(_EQUALS.finditer(folded, number.end, end))
    return find_number(folded, language, signs[-1].end(), end) if signs else None


def _merge(a: DeclaredAnswer, b: DeclaredAnswer) -> DeclaredAnswer:
    """Two marks of one declaration: the phrase tells the language, the box may close later."""
    return DeclaredAnswer(
        value=a.value, language=a.language or b.language, start=min(a.start, b.start), end=max(a.end, b.end)
    )
