"""Decide which draw comes next: first those that must be drawn again, then the stream's.

A draw has to be repeated if the run was stopped before its group was used, or if the learner went back to an earlier
checkpoint. It keeps its number, so that every draw ends in exactly one group, learned from or dropped.
"""

import heapq
from collections.abc import Sequence
from typing import Protocol, TypedDict

from contracts.rollouts import PromptDraw
from driver.problems.stream import DrawState, StreamState, state_of


class Stream(Protocol):
    """The methods of a problem stream that are used here."""

    def draw(self, language: str = "") -> PromptDraw: ...

    def again(self, state: DrawState) -> PromptDraw: ...

    def saw(self, draw: PromptDraw, success_rate: float) -> None: ...

    def take_passed_over(self) -> int: ...

    def state(self) -> StreamState: ...

    def restore(self, state: StreamState) -> None: ...


class OpenDraws(TypedDict):
    """The state of the draws that a checkpoint keeps, as plain JSON."""

    stream: StreamState
    again: list[DrawState]  # drawn from it, and neither learned from nor dropped


class Draws:
    """Hand out draws: those that have to be repeated, then those of a stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._again: list[tuple[int, PromptDraw]] = []  # a heap, by number

    def next(self, *, language: str = "") -> PromptDraw:
        """Return the next draw; `language` asks for one of that language if no draw has to be repeated."""
        if self._again:
            return heapq.heappop(self._again)[1]
        return self._stream.draw(language)

    def again(self, draw: PromptDraw) -> None:
        """Note that the draw has to be repeated."""
        heapq.heappush(self._again, (draw.number, draw))

    def waiting(self) -> list[PromptDraw]:
        """Return the draws that still have to be repeated, in order of their numbers."""
        return [draw for _, draw in sorted(self._again, key=lambda pair: pair[0])]

    def saw(self, draw: PromptDraw, success_rate: float) -> None:
        """Tell the curriculum how often a draw's responses agreed with the pivot's answer."""
        self._stream.saw(draw, success_rate)

    def take_passed_over(self) -> int:
        """Return how many problems the curriculum passed over since the last call."""
        return self._stream.take_passed_over()

    def open(self, in_hand: Sequence[PromptDraw]) -> OpenDraws:
        """Return the state of the draws; `in_hand` are those that were handed out and are not finished."""
        unsettled = sorted([*in_hand, *self.waiting()], key=lambda draw: draw.number)
        return {"stream": self._stream.state(), "again": [state_of(draw) for draw in unsettled]}

    def restore(self, state: OpenDraws) -> None:
        """Go on where `state` was taken.

        Raises:
            BadInput: the stream's order has changed since.
        """
        self._stream.restore(state["stream"])
        self._again = []
        for draw in state["again"]:
            self.again(self._stream.again(draw))
