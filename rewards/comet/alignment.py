"""Align the sentences of two texts, in order and without any model.

The alignment is by length, after Gale and Church (1993, "A program for aligning sentences in bilingual corpora"), with
two changes for texts that are no translations of each other: the numbers that two sides share count too, and a sentence
without a counterpart costs the same however long it is.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from languages.facts import known_language
from languages.language import Language
from rewards.answers.numbers import find_numbers, fold

_VARIANCE = 6.8  # of the length difference, per character: Gale and Church 1993, section 3.2
_MOST_TOGETHER = 8
_MERGED = -math.log(0.089)
_CLAUSE_MERGED = 0.3
_CLAUSE_WORD = 5
"""Thai marks only the ends of clauses, by a space. There clauses are aligned instead of sentences: each begins with a
word of at least this many characters, and taking clauses together costs next to nothing."""

_MOST_COST = 30.0
_NUMBER_COST = 3.0
"""Sharing all numbers saves this cost, sharing none adds it: more than a doubtful length costs, less than a hopeless
one."""
_MOST_UNITS = 100
"""Most units of a side. The time grows with the product of both sides' units, so above this number neighbouring
sentences are taken together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TextPair:
    """Hold an English text and what should say the same in another language; one of them may be empty."""

    english: str
    native: str
    language: str  # ISO 639-1, of `native`

    @property
    def size(self) -> float:
        """Return the length of both sides, in characters of English."""
        return len(self.english) + len(self.native) / known_language(self.language).characters_per_english


@dataclass(frozen=True, kw_only=True, slots=True)
class _Unit:
    """Hold a sentence or clause of one side."""

    text: str
    size: float  # in characters of English
    numbers: frozenset[str]


def align(english: Sequence[str], native: Sequence[str], *, language: str) -> list[TextPair]:
    """Return the sentences of both sides as pairs, in order.

    No sentence is lost: one without a counterpart is a pair with an empty side. `language` is the ISO 639-1 code of
    `native`.
    """
    ours, theirs = known_language("en"), known_language(language)
    is_unmarked = not theirs.marks_sentence_ends
    left = [_unit(text, ours) for text in _bundled(english, ours)]
    right = [_unit(text, theirs) for text in _bundled(_clauses(native) if is_unmarked else native, theirs)]
    shapes = _shapes(merged=_CLAUSE_MERGED if is_unmarked else _MERGED)
    return [
        TextPair(
            english=_joined([unit.text for unit in left[i:k]], ours),
            native=_joined([unit.text for unit in right[j:m]], theirs),
            language=language,
        )
        for (i, j), (k, m) in pairwise(_cheapest_path(left, right, shapes))
    ]


def _shapes(*, merged: float) -> dict[tuple[int, int], float]:
    """Return the costs of alignments: (number of English units, number of native units) -> cost.

    The cost is -log of the share among the hand-aligned sentences of Gale and Church (table 5). Each unit above two
    costs what the second one does, as some people write without full stops; `merged` is that cost on the native side.
    """
    shapes = {(1, 1): -math.log(0.89), (1, 0): -math.log(0.0099), (0, 1): -math.log(0.0099), (2, 2): -math.log(0.011)}
    for num in range(2, _MOST_TOGETHER + 1):
        shapes |= {(num, 1): (num - 1) * _MERGED, (1, num): (num - 1) * merged}
    return shapes


def _cheapest_path(
    left: Sequence[_Unit], right: Sequence[_Unit], shapes: Mapping[tuple[int, int], float]
) -> list[tuple[int, int]]:
    """Return the cheapest alignment as a path from (0, 0) to the end of both sides.

    A point (i, j) of the path means that the first i units of `left` and the first j of `right` are aligned.
    """
    best: dict[tuple[int, int], float] = {(0, 0): 0.0}
    came_from: dict[tuple[int, int], tuple[int, int]] = {}
    for i in range(len(left) + 1):
        for j in range(len(right) + 1):
            for (taken, given), share in shapes.items():
                before = (i - taken, j - given)
                if before not in best:
                    continue
                cost = best[before] + share + _match_cost(left[i - taken : i], right[j - given : j])
                if cost < best.get((i, j), math.inf):
                    best[i, j], came_from[i, j] = cost, before
    corner = (len(left), len(right))
    path = [corner]
    while corner != (0, 0):
        corner = came_from[corner]
        path.append(corner)
    return path[::-1]


def _match_cost(left: Sequence[_Unit], right: Sequence[_Unit]) -> float:
    """Return how unlikely it is that these units say the same.

    The cost is -log P(a length difference of this size or more) (Gale and Church 1993, section 3.2) plus the cost of
    the numbers that are not shared. An empty side costs nothing here.
    """
    if not left or not right:
        return 0.0
    ours, theirs = sum(unit.size for unit in left), sum(unit.size for unit in right)
    deviation = abs(ours - theirs) / math.sqrt(max(1.0, (ours + theirs) / 2) * _VARIANCE)
    tail = math.erfc(deviation / math.sqrt(2))  # 2 (1 - Φ(d))
    length_cost = min(_MOST_COST, -math.log(tail)) if tail > 0 else _MOST_COST
    return length_cost + _NUMBER_COST * (1 - 2 * _shared_numbers(left, right))


def _shared_numbers(left: Sequence[_Unit], right: Sequence[_Unit]) -> float:
    """Return the share of all numbers that both sides have; 0.5, which is neutral, where there are no numbers."""
    ours = frozenset().union(*(unit.numbers for unit in left))
    theirs = frozenset().union(*(unit.numbers for unit in right))
    either = len(ours | theirs)
    return len(ours & theirs) / either if either else 0.5


def _unit(text: str, language: Language) -> _Unit:
    return _Unit(
        text=text,
        size=len(text) / language.characters_per_english,
        numbers=frozenset(span.value for span in find_numbers(fold(text), language)),
    )


def _clauses(lines: Sequence[str]) -> list[str]:
    """Cut each line before its long words.

    Numbers, signs and the short words that count things stay with what is before them.
    """
    clauses: list[str] = []
    for line in lines:
        start = len(clauses)
        for word in line.split():
            begins = len(word) >= _CLAUSE_WORD and word[0].isalpha()
            if len(clauses) > start and not (begins and len(clauses[-1]) >= _CLAUSE_WORD):
                clauses[-1] += f" {word}"
            else:
                clauses.append(word)
    return clauses


def _bundled(sentences: Sequence[str], language: Language) -> list[str]:
    """Join neighbouring sentences so that at most _MOST_UNITS are left; drop sentences without a character."""
    kept = [sentence for sentence in sentences if sentence.strip()]
    step = math.ceil(len(kept) / _MOST_UNITS) or 1
    return [_joined(kept[start : start + step], language) for start in range(0, len(kept), step)]


def _joined(sentences: Sequence[str], language: Language) -> str:
    return ("" if language.has_han else " ").join(sentence.strip() for sentence in sentences)
