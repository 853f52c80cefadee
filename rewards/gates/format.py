"""Does a response have the form that was asked for: exactly one final answer, and nothing much behind it?

Owns that gate. The pay-off of gaming it is closed by counting: two declarations shut it, even of the same answer, and
so does a second number or a long text behind the answer. Knows text only.
"""

from rewards.gates.scripts import num_letters
from rewards.reading import Reading

MAX_TAIL_LETTERS = 40
"""Most letters behind the answer: room for a unit ("dollars a day", "個です"), not for more sentences."""
MAX_TAIL_CHARACTERS = 400


class FormatGate:
    """Open for one declared answer with at most a unit behind it."""

    name = "format"

    def is_open(self, reading: Reading) -> bool:
        if len(reading.declared) != 1:
            return False
        tail = reading.text[reading.declared[0].end :].strip()
        if len(tail) > MAX_TAIL_CHARACTERS or any(character.isdecimal() for character in tail):
            return False
        return num_letters(tail) <= MAX_TAIL_LETTERS
