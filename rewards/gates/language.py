"""Is a response in the language that was asked for? One gate for its reasoning, one for its answer.

Owns the two gates that keep the policy from collapsing to English. How text is judged is rewards/gates/identify.py.
"""

from rewards.gates.identify import LanguageIdentifier
from rewards.reading import Reading


class LanguageGate:
    """Shut where a sentence of the reasoning, or the whole, is clearly in another language."""

    name = "language"

    def __init__(self, judge: LanguageIdentifier) -> None:
        self._judge = judge

    def is_open(self, reading: Reading) -> bool:
        """Open for formulas alone, which are in no language: whether they are a reasoning, the gate "empty" says."""
        return self._judge.is_in(reading.reasoning, reading.task.language)


class AnswerLanguageGate:
    """Shut where an answer is declared in another language, or what stands around the last one is in another."""

    name = "answer_language"

    def __init__(self, judge: LanguageIdentifier) -> None:
        self._judge = judge

    def is_open(self, reading: Reading) -> bool:
        """Open without a declaration, and for a box or `####`: they have no language, and the gate "format" counts."""
        asked = reading.task.language
        if any(answer.language not in (None, asked) for answer in reading.declared):
            return False
        return self._judge.is_in(reading.closing, asked)
