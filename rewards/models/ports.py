"""Define what a sentence encoder and a translator are asked for, and compute cosines of an encoder's vectors.

Imports no heavy library: the models themselves implement these Protocols elsewhere.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Encoder(Protocol):
    """Turn texts into vectors of length 1."""

    @property
    def fingerprint(self) -> str:
        """Return a text that changes with all that the vectors depend on: weights, prefix, precision, longest text."""
        ...

    @property
    def max_tokens(self) -> int:
        """Return the longest text that is read whole, in tokens, prefix and special tokens included; 0 is no limit."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens [N] of each text, prefix and special tokens included, even beyond what is read."""
        ...

    def encode(self, texts: Sequence[str], *, remember: bool = False) -> NDArray[np.float32]:
        """Return [N, D]: one row of length 1 per text, in order. `remember` keeps the vectors for later calls."""
        ...


class Translator(Protocol):
    """Translate texts from one language into another."""

    @property
    def fingerprint(self) -> str:
        """Return a text that changes with all that the translations depend on."""
        ...

    def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
        """Return one translation per text, in order, with nothing left out. Languages are ISO 639-1 codes."""
        ...


def all_cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the cosines [N, M] of every row of `a` [N, D] with every row of `b` [M, D].

    Rows have length 1. A cosine is NaN where a vector is not finite.
    """
    with np.errstate(invalid="ignore"):
        return _finite(a.astype(np.float64) @ b.astype(np.float64).T)


def _finite(cosines: NDArray[np.float64]) -> NDArray[np.float64]:
    """Clip to [-1, 1]; an infinite value becomes NaN, as it says just as little."""
    return np.where(np.isfinite(cosines), np.clip(cosines, -1.0, 1.0), np.nan)
