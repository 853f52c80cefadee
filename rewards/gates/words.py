"""Read the Latin words of a sentence, and what each says about its language.

A capitalised word that the asked language does not have may be a name, so it says nothing by itself. A word alone
behind a number, as a unit stands, or alone in parentheses, as a gloss stands, says little: it counts in the whole text
only. Words of other languages in a row are neither names nor loan words.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from languages.frequent_words import frequent_words, own_words, shared_words, telling_words
from languages.language import Language
from rewards.texts.scripts import MARKS, letter_range

MIN_FOREIGN_RUN = 3
"""Least number of frequent words of other languages in a row, in small letters or capitals, that are no names."""
MIN_CAPITAL_RUN = 5
"""Least number of capitalised words in a row that are checked as a sentence: names have fewer."""
MAX_GLOSS_WORDS = 2
"""Most words of a gloss: "(apples)"."""

_UNITS = """
    cm dm mm km nm kg mg ml cl dl lb lbs oz ft in mi mph kmh hr hrs min sec yd gal pt qt kw kwh mb gb tb hz khz mhz ghz
    rpm psi kcal cal kj atm ppm bpm usd eur gbp pcs
"""
UNITS = frozenset(_UNITS.split())
"""Written the same in every language, so they are words of none."""

# Between two words in a row are blanks and numbers only.
_IN_A_ROW = re.compile(r"[\s\d]*")
_BEFORE_UNIT = re.compile(r"[\d%)½¼¾][\s{}\\~*_]*$")
_PER = re.compile(r"\w/$")  # "pieds/mile"
_BEHIND_UNIT = re.compile(rf"[\s{{}}\\~*_]*(?![\d{letter_range(('Latin',))}])")
_OPENED = re.compile(r"[(（]\s*$")
_CLOSED = re.compile(r"\s*[)）]")
_HYPHENS = re.compile("[-‐‑]")


@dataclass(frozen=True, slots=True)
class Word:
    """Hold one word in Latin letters."""

    text: str  # as written; parts of a compound keep their hyphens
    is_own: bool  # frequent in the asked language
    is_telling: bool  # and in no other one
    is_strange: bool  # frequent in another language, and not usual in the asked one
    is_weak: bool  # stands as a unit or a gloss stands
    in_a_row: bool  # only blanks and numbers stand between the word before and this one

    @property
    def is_name(self) -> bool:
        """Return whether the word may be a name: it has a capital and the asked language does not have it."""
        return not self.is_own and not self.text.islower()


def read_words(sentence: str, language: Language) -> list[Word]:
    """Return the words in Latin letters, in order."""
    own, others, shared = own_words(language), frequent_words(), shared_words(language)
    telling = telling_words(language)
    found = list(_word().finditer(sentence))
    weak = _weak_positions(sentence, found)
    words: list[Word] = []
    end = -1
    for position, match in enumerate(found):
        parts = _HYPHENS.split(match[0].lower())
        is_own = all(part in own for part in parts)
        is_strange = not is_own and all(len(part) > 1 and part in others for part in parts)
        words.append(
            Word(
                text=match[0],
                is_own=is_own,
                is_telling=is_own and all(part in telling for part in parts),
                is_strange=is_strange and not any(part in own or part in shared for part in parts),
                is_weak=position in weak,
                in_a_row=end >= 0 and _IN_A_ROW.fullmatch(sentence, end, match.start()) is not None,
            )
        )
        end = match.end()
    return words


def has_foreign_run(words: Sequence[Word]) -> bool:
    """Return whether MIN_FOREIGN_RUN frequent words of other languages stand in a row."""
    return any(len(run) >= MIN_FOREIGN_RUN for run in _runs(words, [word.is_strange for word in words]))


def capital_runs(words: Sequence[Word]) -> list[list[Word]]:
    """Return the rows of at least MIN_CAPITAL_RUN words that may be names: too many for names."""
    return [run for run in _runs(words, [word.is_name for word in words]) if len(run) >= MIN_CAPITAL_RUN]


def longest_row(words: Sequence[Word]) -> int:
    """Return the number of words in the longest row of words in small letters."""
    return max(map(len, _runs(words, [word.text.islower() for word in words])), default=0)


def _runs(words: Sequence[Word], belongs: Sequence[bool]) -> list[list[Word]]:
    runs: list[list[Word]] = []
    is_open = False
    for word, is_part in zip(words, belongs, strict=True):
        if not is_part:
            is_open = False
            continue
        if not (is_open and word.in_a_row):
            runs.append([])
        runs[-1].append(word)
        is_open = True
    return runs


def _weak_positions(sentence: str, found: Sequence[re.Match[str]]) -> set[int]:
    """Return which words stand alone behind a number or a stroke, or with at most one other in parentheses."""
    weak: set[int] = set()
    for position, word in enumerate(found):
        start = word.start()
        is_behind_unit = _PER.search(sentence, max(0, start - 2), start) is not None
        is_behind_number = _BEFORE_UNIT.search(sentence, max(0, start - 8), start) is not None
        if (is_behind_unit or is_behind_number) and _BEHIND_UNIT.match(sentence, word.end()):
            weak.add(position)
        elif _OPENED.search(sentence, max(0, start - 3), start):
            for last in range(position, min(position + MAX_GLOSS_WORDS, len(found))):
                if _CLOSED.match(sentence, found[last].end()):
                    weak.update(range(position, last + 1))
                    break
    return weak


@cache
def _word() -> re.Pattern[str]:
    """Return the pattern of a word, with apostrophes and marks inside, or of a compound of up to three of them."""
    latin = letter_range(("Latin",))
    word = rf"[{latin}][{latin}{MARKS}]*(?:['’][{latin}][{latin}{MARKS}]*)*"
    return re.compile(rf"{word}(?:[-‐‑]{word}){{0,2}}")
