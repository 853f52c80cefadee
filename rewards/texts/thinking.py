"""Divide what a model wrote into its thinking and its answer.

A thinking model writes its thoughts between two markers, such as `<think>` and `</think>`, and then answers. Some chat
templates write the opening marker into the prompt, so that the text has the closing one only. A text that is cut off
may have only the opening one.

The answer is what follows the last closing marker. Nothing before that is part of it: neither text before the first
marker nor text between two blocks. Where thinking is opened and not closed, there is no answer yet.
"""

from collections.abc import Sequence

Markers = Sequence[tuple[str, str]]
"""Pairs of an opening and a closing marker."""


def answer_start(text: str, markers: Markers, *, starts_inside: bool = False) -> int:
    """Return the place in `text`, in characters, at which the answer starts.

    It is 0 where there is no thinking, and `len(text)` where thinking is opened and not closed.

    Args:
        text: what the model wrote.
        markers: any pair counts; an opening marker of one may be closed by that of another.
        starts_inside: whether the prompt ended with an opening marker.
    """
    closed = max((_end_of_last(text, closing) for _, closing in markers), default=0)
    if any(text.find(opening, closed) >= 0 for opening, _ in markers):
        return len(text)
    return len(text) if starts_inside and not closed else closed


def split_thinking(text: str, markers: Markers, *, starts_inside: bool = False) -> tuple[str, str]:
    """Return (thinking, answer), without markers and without white space around the thinking and before the answer.

    A text without thinking is returned as it is. An empty block of thinking counts as no thinking.
    """
    start = answer_start(text, markers, starts_inside=starts_inside)
    return (without_markers(text[:start], markers), text[start:].lstrip()) if start else ("", text)


def without_markers(thinking: str, markers: Markers) -> str:
    """Return the thinking without its markers and without white space at its ends."""
    for marker in (marker for pair in markers for marker in pair):
        thinking = thinking.replace(marker, "\n")
    return thinking.strip()


def _end_of_last(text: str, marker: str) -> int:
    """Return where the last `marker` ends; 0 where there is none."""
    found = text.rfind(marker)
    return found + len(marker) if found >= 0 else 0
