"""Is the reasoning about as long as the reference's?

Owns that gate: letters of both, weighed by script, within a band, and a cap on characters of any response. The cap is
what lets the other gates look at the head of a text alone. Knows text only.
"""

from rewards.gates.identify import MAX_CHARACTERS
from rewards.gates.scripts import weigh
from rewards.reading import PIVOT_LANGUAGE, Reading

MIN_REFERENCE_LETTERS = 100
"""A shorter reference counts as this long at the band's upper end: one line may be answered by the question quoted and
four lines, which is no padding yet."""


class LengthGate:
    """Open within [min_ratio, max_ratio] of the reference's weighed letters."""

    name = "length"

    def __init__(self, *, min_ratio: float, max_ratio: float) -> None:
        self._min_ratio, self._max_ratio = min_ratio, max_ratio

    def is_open(self, reading: Reading) -> bool:
        """With an empty reference, or one of formulas alone, there is no ratio: only the cap holds."""
        if len(reading.text) > MAX_CHARACTERS:
            return False
        reference = weigh(reading.task.reference_reasoning, PIVOT_LANGUAGE)
        if reference == 0:
            return True
        letters = weigh(reading.reasoning, reading.task.language)
        return self._min_ratio * reference <= letters <= self._max_ratio * max(reference, MIN_REFERENCE_LETTERS)
