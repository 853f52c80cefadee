"""What a sentence encoder is asked for, and cosines of what it gives.

Owns the Protocol of an encoder. Pure numpy: the encoder itself is rewards/models/encoder.py.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Encoder(Protocol):
    """Turns texts into vectors of length 1."""

    @property
    def fingerprint(self) -> str:
        """Changes with everything that its vectors depend on: weights, prefix, precision, longest text."""
        ...

    @property
    def max_tokens(self) -> int:
        """Longest text that is read whole, in tokens with what every text costs; 0: any."""
        ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """[N] tokens of each text, prefix and special tokens included, also of what is not read any more."""
        ...

    def encode(self, texts: Sequence[str], *, remember: bool = False) -> NDArray[np.float32]:
        """[N, D], one row per text in order; each row of length 1. What is remembered is not encoded again."""
        ...


def all_cosines(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """[N, M] cosine of every row of a [N, D] with every row of b [M, D]; NaN where a vector is not finite."""
    with np.errstate(invalid="ignore"):
        return _finite(a.astype(np.float64) @ b.astype(np.float64).T)


def _finite(cosines: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut to [-1, 1]; an infinite one says as little as a NaN."""
    return np.where(np.isfinite(cosines), np.clip(cosines, -1.0, 1.0), np.nan)
