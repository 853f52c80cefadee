"""Is the reasoning about as long as the reference's?

Owns that gate: letters of both, weighed by script, within a band; caps on symbols and on white space, which would be
read for nothing; and a cap on the characters of any response, which lets the other gates look at the head of a text
alone. Knows text only.
"""

from rewards.gates.identify import MAX_CHARACTERS
from rewards.reading import PIVOT_LANGUAGE, Reading
from rewards.texts.scripts import num_symbols, weigh

MIN_REFERENCE_LETTERS = 100
"""A shorter reference counts as this long at the band's upper end: one line may be answered by the question quoted and
four lines, which is no padding yet."""
MAX_SYMBOLS_RATIO, SYMBOLS_ALLOWANCE = 4, 100
"""Most digits, signs and other characters that are no letters: so many times the reference's, and some more for LaTeX
and tables. Measured: at most 1.22 times in built-in solutions of 12 languages and MGSM's exemplars."""
BLANKS_ALLOWANCE = 100
"""White space beyond one for every other character."""


class LengthGate:
    """Open within [min_ratio, max_ratio] of the reference's weighed letters."""

    name = "length"

    def __init__(self, *, min_ratio: float, max_ratio: float) -> None:
        self._min_ratio, self._max_ratio = min_ratio, max_ratio

    def is_open(self, reading: Reading) -> bool:
        """With an empty reference, or one of formulas alone, there is no ratio of letters: only the caps hold."""
        if len(reading.text) > MAX_CHARACTERS or not _is_dense(reading.text):
            return False
        task = reading.task
        symbols = num_symbols(reading.text, task.language)
        if symbols > MAX_SYMBOLS_RATIO * num_symbols(task.reference, PIVOT_LANGUAGE) + SYMBOLS_ALLOWANCE:
            return False
        reference = weigh(task.reference_reasoning, PIVOT_LANGUAGE)
        if reference == 0:
            return True
        letters = weigh(reading.reasoning, task.language)
        return self._min_ratio * reference <= letters <= self._max_ratio * max(reference, MIN_REFERENCE_LETTERS)


def _is_dense(text: str) -> bool:
    num_others = sum(map(len, text.split()))
    return len(text) - num_others <= num_others + BLANKS_ALLOWANCE
