"""From named parts and gates to one reward.

    R = 0                                          where a gate is shut
    R = weight_answer * A + weight_reasoning * C   otherwise

Pure. With weight_answer above weight_reasoning a wrong answer never outranks a right one, however well it reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import fsum, isclose


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """How much each part counts; they sum to 1, so a reward lies in [0, 1]."""

    answer: float
    reasoning: float

    def __post_init__(self) -> None:
        if min(self.answer, self.reasoning) < 0 or not isclose(self.answer + self.reasoning, 1, abs_tol=1e-6):
            raise ValueError(
                f"reward weights must be >= 0 and sum to 1, got answer {self.answer:g}, reasoning {self.reasoning:g}"
            )


def compose_reward(parts: Mapping[str, float], gates: Mapping[str, bool], weights: Weights) -> float:
    """The weighted sum of the parts "answer" and "reasoning", each in [0, 1]; 0 where any gate is shut (False).

    Other parts are recorded, not paid for.
    """
    if not all(gates.values()):
        return 0.0
    paid = {"answer": weights.answer, "reasoning": weights.reasoning}
    for name in paid:
        if not 0 <= parts[name] <= 1:
            raise ValueError(f"part {name!r} is {parts[name]:g}; a part lies in [0, 1]")
    return fsum(weight * parts[name] for name, weight in paid.items())
