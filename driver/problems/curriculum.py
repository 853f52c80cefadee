"""Remember how often each problem was solved, and pass over those that were always or never solved.

One rate is kept for each problem: how often the responses of its last group agreed with the pivot's answer (no gold
answer is used). A problem is named by its position in its language.

A group that is always or never right has little to compare, so a problem whose last rate is outside [low, high] is
drawn with probability `keep` only, and its rate is renewed then. Whether it is drawn follows from a hash of (seed,
language, epoch index): the same run draws the same problems. A problem that was never seen is always drawn.

Cost: 2 bytes a problem of every language that was seen, in memory; packed for a checkpoint 0.7 bytes at most where
groups have 8 responses, so 0.7 MB for a million problems, in some 20 ms. Passing a problem over takes about 7
microseconds, 1 / keep times on average, and reads no file.
"""

import zlib
from base64 import b64decode, b64encode
from collections.abc import Mapping
from hashlib import blake2b
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from contracts.rollouts import Score, ScoredGroup

_STEPS = 1000
"""Rates are kept in steps of a thousandth."""
_KIND = np.dtype("<u2")  # 0: never seen; else 1 + the rate's thousandths


class Curriculum:
    """Hold the success rates by language and position, and decide which problems are drawn."""

    def __init__(self, sizes: Mapping[str, int], *, seed: int, low: float, high: float, keep: float) -> None:
        """Start without any success rates.

        Args:
            sizes: number of problems of each language.
            seed: fixes which problems are skipped.
            low: a success rate below this counts as never solved.
            high: a success rate above this counts as always solved.
            keep: share, in (0, 1], of the problems outside [low, high] that is drawn nevertheless.

        Raises:
            ValueError: the bounds are not in order within [0, 1], or the share is outside (0, 1].
        """
        if not (0 <= low <= high <= 1 and 0 < keep <= 1):
            raise ValueError(f"low {low:g}, high {high:g}, keep {keep:g}: need 0 <= low <= high <= 1 and 0 < keep <= 1")
        self._sizes = sizes
        self._seed = seed
        self._low, self._high, self._keep = low, high, keep
        self._rates: dict[str, NDArray[np.uint16]] = {}

    def saw(self, language: str, position: int, success_rate: float) -> None:
        """Record the success rate of a group of the problem that was scored.

        Raises:
            ValueError: a rate outside [0, 1].
        """
        if not 0 <= success_rate <= 1:
            raise ValueError(f"a success rate must be in [0, 1]; got {success_rate}")
        if language not in self._rates:
            self._rates[language] = np.zeros(self._sizes[language], dtype=_KIND)
        self._rates[language][position] = 1 + round(success_rate * _STEPS)

    def last_rate(self, language: str, position: int) -> float | None:
        """Return the rate of the problem's last group, to three digits; None if no group of it was scored."""
        if language not in self._rates:
            return None
        held = int(self._rates[language][position])
        return (held - 1) / _STEPS if held else None

    def keeps(self, language: str, position: int, *, epoch_index: int) -> bool:
        """Return whether the problem is drawn when its turn `epoch_index` of its language comes."""
        rate = self.last_rate(language, position)
        return (
            rate is None or self._low <= rate <= self._high or _chance(self._seed, language, epoch_index) < self._keep
        )

    def state(self) -> dict[str, str]:
        """Return all rates, packed, as plain JSON."""
        return {
            language: b64encode(zlib.compress(rates.tobytes(), level=1)).decode("ascii")
            for language, rates in self._rates.items()
        }

    def restore(self, state: Mapping[str, str]) -> None:
        """Restore the rates of `state`, which was taken over the same problems."""
        self._rates = {
            language: np.frombuffer(zlib.decompress(b64decode(packed)), dtype=_KIND).copy()
            for language, packed in state.items()
        }


def success_rate(scored: ScoredGroup) -> float | None:
    """Return the mean over the scored responses of how far the answer is the pivot's, in [0, 1].

    None if no response was scored for its answer: nothing was learned about the problem.
    """
    answers = [score.parts["answer"] for score in scored.scores if isinstance(score, Score) and "answer" in score.parts]
    return fmean(answers) if answers else None


def _chance(seed: int, language: str, epoch_index: int) -> float:
    """Return a number that is uniform in [0, 1) over its arguments."""
    digest = blake2b(f"{seed}/{language}/{epoch_index}".encode(), digest_size=8, person=b"curriculum").digest()
    return (int.from_bytes(digest) >> 11) / (1 << 53)
