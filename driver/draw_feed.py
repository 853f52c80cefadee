"""The draws of a recipe that generates nothing: the next ones for each step, each settled exactly once.

Owns which draws a step has, and which come up again where the learner steps back; for groups, driver/feed.py does.
"""

from collections.abc import Sequence

from driver.problems.draws import Draws, OpenDraws
from driver.schema import Draw, DroppedGroup, ScoredGroup


class DrawFeed:
    """Hands out draws; they are settled when their step is finished."""

    def __init__(self, draws: Draws, *, per_step: int) -> None:
        self._draws = draws
        self._per_step = per_step
        self._handed: list[Draw] = []
        self._settled: list[Draw] = []  # since the last checkpoint

    def next_draws(self) -> list[Draw]:
        """Those of the next step."""
        self._handed = [self._draws.next() for _ in range(self._per_step)]
        return list(self._handed)

    def release(self) -> None:
        """The step has learned from what it was handed."""
        self._settled += self._handed
        self._handed = []

    def state(self) -> tuple[OpenDraws, list[tuple[Draw, ScoredGroup]]]:
        """What a checkpoint keeps; never a group."""
        return self._draws.open(self._handed), []

    def checkpointed(self) -> None:
        """A checkpoint holds all that was settled: no step back goes behind it."""
        self._settled = []

    def step_back(self, *, step: int, version: int) -> None:
        """The learner stands where the last checkpoint was made: what came since comes up again."""
        for draw in [*self._settled, *self._handed]:
            self._draws.again(draw)
        self._settled, self._handed = [], []

    async def close(self) -> Sequence[DroppedGroup]:
        """Nothing is ever under way."""
        return ()
