"""Who is asked next: what must be asked again first, then the stream.

Owns the draws that were handed out in vain: by a start of the run that was cut off, or before a learner that went back
to a checkpoint. They come up again under their own numbers, so that every draw ends in one group, learned from or
dropped. Knows the stream only.
"""

import heapq
from collections.abc import Sequence
from typing import Protocol, TypedDict

from contracts.rollouts import PromptDraw
from driver.problems.stream import DrawState, StreamState, state_of


class Stream(Protocol):
    """driver/problems/stream.py, as it is used here."""

    def draw(self, language: str = "") -> PromptDraw: ...

    def again(self, state: DrawState) -> PromptDraw: ...

    def saw(self, draw: PromptDraw, success_rate: float) -> None: ...

    def take_passed_over(self) -> int: ...

    def state(self) -> StreamState: ...

    def restore(self, state: StreamState) -> None: ...


class OpenDraws(TypedDict):
    """What a checkpoint keeps of the draws; plain JSON."""

    stream: StreamState
    again: list[DrawState]  # drawn from it, and neither learned from nor dropped


class Draws:
    """A stream, and before it whatever has to be asked again."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._again: list[tuple[int, PromptDraw]] = []  # a heap, by number

    def next(self, *, language: str = "") -> PromptDraw:
        """The next draw; `language` asks for one of that language, where nothing has to be asked again."""
        if self._again:
            return heapq.heappop(self._again)[1]
        return self._stream.draw(language)

    def again(self, draw: PromptDraw) -> None:
        """The draw has to be asked again."""
        heapq.heappush(self._again, (draw.number, draw))

    def waiting(self) -> list[PromptDraw]:
        """What has to be asked again and was not yet, in order."""
        return [draw for _, draw in sorted(self._again, key=lambda pair: pair[0])]

    def saw(self, draw: PromptDraw, success_rate: float) -> None:
        """How often a draw's responses agreed with the pivot's answer: what a curriculum goes by."""
        self._stream.saw(draw, success_rate)

    def take_passed_over(self) -> int:
        """Problems that the curriculum passed over since this was last asked."""
        return self._stream.take_passed_over()

    def open(self, in_hand: Sequence[PromptDraw]) -> OpenDraws:
        """Where the draws stand; `in_hand` are those that whoever asked has not settled."""
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
