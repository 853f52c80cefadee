"""What a COMET metric is given, and what it is asked. Knows neither torch nor how inputs are made (feeding.py)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class CometInput:
    """One segment and its translation; the reference is in the translation's language."""

    source: str
    translation: str
    reference: str = ""


class SegmentMetric(Protocol):
    """A metric that reads only so much at once."""

    @property
    def fingerprint(self) -> str:
        """Changes with everything that its scores depend on."""
        ...

    @property
    def needs_reference(self) -> bool: ...

    def fits(self, inputs: Sequence[CometInput]) -> list[bool]:
        """Whether the metric can read each of them whole."""
        ...

    def score(self, inputs: Sequence[CometInput]) -> NDArray[np.float64]:
        """[N] raw scores in order, higher is better. Raises ValueError where one doesn't fit."""
        ...
