"""COMET of whole texts: cut where they are too long, never short.

Owns how a pair of texts that the metric can't read at once is split into aligned pieces, how the pieces' scores become
one, and what a text without a counterpart earns. Must not know where the texts come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from languages.facts import LANGUAGES
from rewards.comet.alignment import TextPair, align
from rewards.comet.feeding import Feeding
from rewards.comet.inputs import CometInput, SegmentMetric
from rewards.texts.chunks import split_sentences


class PairScorer:
    """Raw scores of pairs of texts of any length."""

    def __init__(self, metric: SegmentMetric, feeding: Feeding) -> None:
        self._metric = metric
        self._feeding = feeding

    @property
    def fingerprint(self) -> str:
        return f"{self._metric.fingerprint}/{self._feeding.fingerprint}/pairs-1"

    def score(self, pairs: Sequence[TextPair]) -> NDArray[np.float64]:
        """[N] raw scores in order; NaN where both sides are empty, and where the translator gave nothing.

        A pair that is too long is cut into two at the border of aligned sentences next to its middle, each half
        likewise if need be; its score is the mean over the pieces, weighted by their length. An empty side is replaced
        by a sentence that has nothing to do with any text (`against_nothing`): COMET knows no empty translations.
        """
        told = [(place, pair) for place, pair in enumerate(pairs) if pair.english.strip() or pair.native.strip()]
        scores = np.full(len(pairs), np.nan)
        if not told:
            return scores
        pieces, lost = self._fitting(told)
        if not pieces:
            return scores
        raw = self._metric.score([piece.fed for piece in pieces])
        owners = np.array([piece.owner for piece in pieces])
        means = weighted_means(raw, np.array([piece.size for piece in pieces]), owners)
        scores[: len(means)] = means
        scores[sorted(lost)] = np.nan
        return scores

    def _fitting(self, told: Sequence[tuple[int, TextPair]]) -> tuple[list["_Piece"], set[int]]:
        """Pieces of the pairs that the metric can read, each with the place of the pair that it is part of, and the
        places of pairs that were fed an empty translation: a text left out must not be scored as if it were there."""
        waiting = list(told)
        fitting: list[_Piece] = []
        lost: set[int] = set()
        while waiting:
            fed = self._feeding.feed([against_nothing(pair) for _, pair in waiting])
            too_long: list[tuple[int, TextPair]] = []
            for (owner, pair), one, is_short in zip(waiting, fed, self._metric.fits(fed), strict=True):
                if not self._is_complete(one):
                    lost.add(owner)
                elif is_short:
                    fitting.append(_Piece(owner=owner, size=pair.size, fed=one))
                else:
                    too_long += [(owner, half) for half in halves(pair)]
            waiting = too_long
        return fitting, lost

    def _is_complete(self, one: CometInput) -> bool:
        needed = (one.source, one.translation, *((one.reference,) if self._metric.needs_reference else ()))
        return all(text.strip() for text in needed)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Piece:
    owner: int
    size: float
    fed: CometInput


def against_nothing(pair: TextPair) -> TextPair:
    """The pair, with an empty side filled by a fixed sentence of that side's language: what is said with no counterpart
    earns what any unrelated text would earn, on the metric's own scale."""
    return TextPair(
        english=pair.english.strip() or LANGUAGES["en"].instruction,
        native=pair.native.strip() or LANGUAGES[pair.language].instruction,
        language=pair.language,
    )


def halves(pair: TextPair) -> list[TextPair]:
    """Two pieces that together are the pair: cut between aligned sentences, or inside the only one at a space."""
    aligned = align(split_sentences(pair.english), split_sentences(pair.native), language=pair.language)
    if len(aligned) < 2:
        lefts, rights = _cut(pair.english), _cut(pair.native)
        if max(len(pair.english), len(pair.native)) < 2:
            raise ValueError("a text of one character is too long for the metric; check comet.encoder")
        parts = zip(lefts, rights, strict=True)
        return [TextPair(english=left, native=right, language=pair.language) for left, right in parts if left or right]
    ends = list(accumulate(piece.size for piece in aligned))
    middle = min(range(1, len(aligned)), key=lambda place: abs(ends[place - 1] - ends[-1] / 2))
    return [_together(aligned[:middle]), _together(aligned[middle:])]


def weighted_means(
    values: NDArray[np.float64], weights: NDArray[np.float64], owners: NDArray[np.int64]
) -> NDArray[np.float64]:
    """[max owner + 1] mean of each owner's values [N], weighted; NaN for one that owns none."""
    num = int(owners.max()) + 1 if len(owners) else 0
    totals = np.bincount(owners, weights=weights, minlength=num)
    sums = np.bincount(owners, weights=weights * values, minlength=num)
    return np.divide(sums, totals, out=np.full(num, np.nan), where=totals > 0)


def _together(pieces: Sequence[TextPair]) -> TextPair:
    return TextPair(
        english=" ".join(piece.english for piece in pieces if piece.english),
        native=" ".join(piece.native for piece in pieces if piece.native),
        language=pieces[0].language,
    )


def _cut(text: str) -> tuple[str, str]:
    """The text in two, at the space next to its middle, or anywhere where there is none."""
    middle = len(text) // 2
    before, after = text.rfind(" ", 0, middle), text.find(" ", middle)
    spaces = [place for place in (before, after) if place > 0]
    place = min(spaces, key=lambda place: abs(place - middle)) if spaces else middle
    return text[:place].strip(), text[place:].strip()
