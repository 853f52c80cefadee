"""Say why two evaluations judge one item in two ways. Whatever is none of the known reasons stays unexplained."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from driver.evaluation.grading import Grade
from rewards.answers.final import plain_answer, same_answer
from rewards.reading import PIVOT_LANGUAGE

NO_MATCH = "[invalid]"
"""What a filter of the package answers where its pattern finds nothing."""
HALF = "\N{REPLACEMENT CHARACTER}"
"""What stands for bytes that are no whole character."""
UNEXPLAINED = "unexplained"
TOLERANCE = 1e-3
"""Largest difference of two log-likelihoods of one text, in nats. What is closer than this counts as equally likely."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Hold why one item is judged in two ways."""

    kind: str
    text: str

    @property
    def is_explained(self) -> bool:
        """Return whether the reason is a known one."""
        return self.kind != UNEXPLAINED


def difference_in_choice(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Difference:
    """Return why the options of one item were scored on other texts, or another one was chosen."""
    for (our_context, our_option), (context, option) in zip(ours["choices"], theirs["choices"], strict=True):
        if our_context != context:
            return Difference(kind="context", text=f"context {_end(our_context)!r}, theirs {_end(context)!r}")
        if our_option != option:
            return Difference(kind="option", text=f"option {our_option!r}, theirs {option!r}")
    first, second = sorted(ours["logprobs"], reverse=True)[:2]
    if first - second <= TOLERANCE:
        return Difference(kind="tie", text=f"two options are equally likely, {first:.4f} and {second:.4f}")
    return Difference(kind=UNEXPLAINED, text=f"log-likelihoods {ours['logprobs']}, theirs {theirs['logprobs']}")


def difference_in_tokens(ours: str, theirs: str, *, gap: float) -> Difference:
    """Return why two greedy responses to one prompt part.

    Args:
        ours: our response.
        theirs: the package's.
        gap: how much likelier the package's next token is than ours where they part, in nats.
    """
    if theirs.strip().rstrip(HALF).strip() == ours.strip():
        return Difference(
            kind="half a character", text="the limit of tokens cut a character; ours leaves its bytes out"
        )
    pairs = enumerate(zip(ours, theirs, strict=False))
    same = next((place for place, (one, other) in pairs if one != other), min(len(ours), len(theirs)))
    where = f"after {same} characters ours has {ours[same : same + 20]!r}, theirs {theirs[same : same + 20]!r}"
    if abs(gap) <= TOLERANCE:
        return Difference(kind="tie", text=f"{where}; the two tokens are equally likely, within {abs(gap):.0e} nats")
    return Difference(kind=UNEXPLAINED, text=f"{where}; the package's token is likelier by {gap:.4f} nats")


def difference_in_grade(ours: Grade, theirs: Mapping[str, Any], *, gold: str) -> Difference:
    """Return why the package's filter and our grading judge one response in two ways.

    Args:
        ours: our grade.
        theirs: `answer`, what the filter found, and `is_correct`.
        gold: the right answer, canonical.
    """
    read, answer = str(theirs["answer"]), ours.answer or "none"
    value = plain_answer(read.strip("$ ").rstrip(".,"), PIVOT_LANGUAGE)
    if read == NO_MATCH:
        how = (
            "declared in other words than its pattern has" if ours.is_declared else "the last number; none is declared"
        )
        return Difference(kind="pattern", text=f"its pattern finds nothing; ours reads {answer}, {how}")
    if ours.is_correct and value is not None and same_answer(value, gold):
        return Difference(kind="compared as text", text=f"it reads {read!r} and compares it with {gold!r} as text")
    if value is None or not same_answer(value, ours.answer or ""):
        if ours.is_declared:
            return Difference(kind="declared", text=f"ours reads {answer}, which is declared; theirs {read!r}")
        if not ours.answer or _parts(read) != _parts(answer):
            return Difference(kind="last number", text=f"ours reads {answer} as the last number, theirs {read!r}")
    return Difference(kind=UNEXPLAINED, text=f"ours reads {answer}, theirs {read!r}, gold {gold!r}")


def _parts(number: str) -> list[str]:
    """Return the groups of digits of a number."""
    return re.findall(r"\d+", number)


def _end(text: str) -> str:
    return text[-40:]
