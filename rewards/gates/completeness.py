"""Is there a response at all, and all of it? The gates for cut-off responses and for empty or tiny reasoning.

Owns both. Knows text only.
"""

from rewards.reading import Reading
from rewards.texts.scripts import weigh

MIN_REASONING_LETTERS = 8
"""Least reasoning, in letters of English. The shortest of 3,000 built-in solutions and MGSM's exemplars has 15 to 25 in
each of 12 languages: one short equation in words is enough. A formula alone is not: it is in no language, so a policy
that writes nothing else has left the asked one."""
READ_CHARACTERS = 2_000
"""What is looked at: that much text is not tiny unless it has hardly any words."""


class TruncationGate:
    """Shut where the response was cut off at its token limit."""

    name = "truncation"

    def is_open(self, reading: Reading) -> bool:
        return not reading.is_truncated


class EmptyGate:
    """Shut where hardly a word of reasoning stands before the answer."""

    name = "empty"

    def is_open(self, reading: Reading) -> bool:
        return weigh(reading.reasoning[:READ_CHARACTERS], reading.task.language) >= MIN_REASONING_LETTERS
