"""Score pairs of whole texts with COMET: texts that are too long are split, and none is truncated.

A pair of texts that the metric can't read at once is split into aligned pieces, whose scores become one. A text without
a counterpart is scored against a fixed sentence.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from languages.facts import LANGUAGES
from rewards.comet.alignment import TextPair, align
from rewards.comet.feeding import CometInput, Feeding, SegmentMetric
from rewards.texts.chunks import split_sentences


class PairScorer:
    """Compute raw scores of pairs of texts of any length."""

    def __init__(self, metric: SegmentMetric, feeding: Feeding) -> None:
        self._metric = metric
        self._feeding = feeding

    @property
    def fingerprint(self) -> str:
        """Return the fingerprints of metric and feeding, and the version of this way to split."""
        return f"{self._metric.fingerprint}/{self._feeding.fingerprint}/pairs-1"

    def score(self, pairs: Sequence[TextPair]) -> NDArray[np.float64]:
        """Return the raw scores [N] in order; NaN where both sides are empty or the translator returned nothing.

        A pair that is too long is cut in two at the border of aligned sentences next to its middle, and each half again
        if needed; its score is the mean over the pieces, weighted by their length. An empty side is replaced by a
        sentence that has nothing to do with any text (`against_nothing`): COMET knows no empty translations.

        Raises:
            ValueError: a text of one character is too long for the metric.
        """
        filled = [(place, pair) for place, pair in enumerate(pairs) if pair.english.strip() or pair.native.strip()]
        scores = np.full(len(pairs), np.nan)
        if not filled:
            return scores
        pieces, lost = self._fitting(filled)
        if not pieces:
            return scores
        raw = self._metric.score([piece.fed for piece in pieces])
        owners = np.array([piece.owner for piece in pieces])
        means = weighted_means(raw, np.array([piece.size for piece in pieces]), owners)
        scores[: len(means)] = means
        scores[sorted(lost)] = np.nan
        return scores

    def _fitting(self, filled: Sequence[tuple[int, TextPair]]) -> tuple[list["_Piece"], set[int]]:
        """Return pieces of the pairs that the metric can read, and the indices of pairs without a translation.

        Each piece names the index of the pair that it belongs to. A pair whose translation is empty is left out: a text
        that is missing must not be scored as if it were there.
        """
        waiting = list(filled)
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
    """Hold one input of the metric and the pair that it belongs to."""

    owner: int  # index of the pair
    size: float  # in characters of English
    fed: CometInput


def against_nothing(pair: TextPair) -> TextPair:
    """Return the pair with an empty side filled by a fixed sentence of that side's language.

    A text without a counterpart then earns what any unrelated text would earn, on the metric's own scale.
    """
    return TextPair(
        english=pair.english.strip() or LANGUAGES["en"].instruction,
        native=pair.native.strip() or LANGUAGES[pair.language].instruction,
        language=pair.language,
    )


def halves(pair: TextPair) -> list[TextPair]:
    """Return two pieces that together are the pair: cut between aligned sentences, or inside the only one at a space.

    Raises:
        ValueError: both sides have at most one character.
    """
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
    """Return the weighted mean of each owner's values, [max owner + 1]; NaN for an owner without values.

    `values`, `weights` and `owners` are [N]; an owner is an index from 0.
    """
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
    """Return the text in two parts, cut at the space next to its middle, or at the middle where there is no space."""
    middle = len(text) // 2
    before, after = text.rfind(" ", 0, middle), text.find(" ", middle)
    spaces = [place for place in (before, after) if place > 0]
    place = min(spaces, key=lambda place: abs(place - middle)) if spaces else middle
    return text[:place].strip(), text[place:].strip()
