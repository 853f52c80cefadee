"""Every gate, in the order in which they are reported.

Owns that list. Must not know which of them a run has switched on.
"""

from collections.abc import Sequence

from rewards.gates.completeness import EmptyGate, TruncationGate
from rewards.gates.copying import CopyingGate
from rewards.gates.format import FormatGate
from rewards.gates.gate import Gate
from rewards.gates.identify import LanguageIdentifier
from rewards.gates.language import AnswerLanguageGate, LanguageGate
from rewards.gates.length import LengthGate
from rewards.gates.repetition import RepetitionGate


def build_gates(languages: Sequence[str], *, min_length_ratio: float, max_length_ratio: float) -> tuple[Gate, ...]:
    """All eight gates for responses in any of `languages`.

    Raises ValueError for a language that languages/facts.py doesn't have.
    """
    judge = LanguageIdentifier(languages)
    return (
        LanguageGate(judge),
        AnswerLanguageGate(judge),
        FormatGate(),
        TruncationGate(),
        EmptyGate(),
        RepetitionGate(),
        CopyingGate(),
        LengthGate(min_ratio=min_length_ratio, max_ratio=max_length_ratio),
    )
