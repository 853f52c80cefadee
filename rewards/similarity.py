"""How close a reasoning is to the pivot's, as a number in [0, 1].

Owns the Protocols of an encoder and of a reasoning judge, and the simplest judge: one embedding a text, cosine, linear
map. Pure numpy: the encoder itself is rewards/encoder.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Encoder(Protocol):
    """Turns texts into vectors of length 1."""

    def encode(self, texts: Sequence[str], *, remember: bool = False) -> NDArray[np.float32]:
        """[N, D], one row per text in order; each row of length 1. What is remembered is not encoded again."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class ReasoningPair:
    """A response's reasoning and the pivot's, of one problem."""

    language: str  # of the response; the pivot's is English
    reasoning: str
    reference: str


class ReasoningJudge(Protocol):
    """Anything that says how close the two reasonings of a pair are."""

    def judge(self, pairs: Sequence[ReasoningPair]) -> NDArray[np.float64]:
        """[N] in [0, 1], in order; all pairs of a batch at once, so that encoders see full batches."""
        ...


class WholeTextSimilarity:
    """Cosine of the whole texts, mapped linearly from [low, high] to [0, 1].

    An encoder reads about 512 tokens: of a longer text only the head counts. One [low, high] serves every language.
    """

    def __init__(self, encoder: Encoder, *, low: float, high: float) -> None:
        if low >= high:
            raise ValueError(f"similarity low {low:g} must be below high {high:g}")
        self._encoder = encoder
        self._low, self._high = low, high

    def judge(self, pairs: Sequence[ReasoningPair]) -> NDArray[np.float64]:
        if not pairs:
            return np.zeros(0)
        # Apart, and only references are remembered: which texts share a batch, and with it their last digits, then
        # depends on the pairs alone and not on what was scored before.
        references = self._encode([pair.reference for pair in pairs], remember=True)
        reasonings = self._encode([pair.reasoning for pair in pairs], remember=False)
        cosines = row_cosines(reasonings, references)
        return rescale(cosines, low=self._low, high=self._high)

    def _encode(self, texts: Sequence[str], *, remember: bool) -> NDArray[np.float32]:
        vectors = self._encoder.encode(texts, remember=remember)
        if len(vectors) != len(texts):
            raise ValueError(f"the encoder gave {len(vectors)} vectors for {len(texts)} texts")
        return vectors


def row_cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """[N] cosine of row i of a [N, D] with row i of b [N, D], both of length 1. A NaN is an error, never a score."""
    cosines = np.einsum("nd,nd->n", a.astype(np.float64), b.astype(np.float64))
    if not np.isfinite(cosines).all():
        raise ValueError(
            f"{int((~np.isfinite(cosines)).sum())} of {len(cosines)} cosines are not finite; the encoder is broken"
        )
    return np.clip(cosines, -1.0, 1.0)


def rescale(values: NDArray[np.float64], *, low: float, high: float) -> NDArray[np.float64]:
    """(v - low) / (high - low), cut to [0, 1]."""
    return np.clip((values - low) / (high - low), 0.0, 1.0)
