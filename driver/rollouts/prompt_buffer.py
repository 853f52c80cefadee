"""The draws of a recipe that generates nothing: the next ones for each step, each settled exactly once.

Owns which draws a step has, and which come up again where the learner steps back; for groups,
driver/rollouts/buffer.py does.
"""

from collections.abc import Sequence

from contracts.errors import RunFailed
from contracts.rollouts import DroppedGroup, PromptDraw, ScoredGroup
from driver.problems.draws import Draws, OpenDraws


class PromptBuffer:
    """Hands out draws; they are settled when their step is finished."""

    def __init__(self, draws: Draws, *, per_step: int, step: int = 0) -> None:
        """`step` is the last that is finished."""
        self._draws = draws
        self._per_step = per_step
        self._step = self._kept_step = step  # under way, or finished; of the last checkpoint
        self._handed: list[PromptDraw] = []
        self._settled: list[tuple[int, PromptDraw]] = []  # by which step since then

    def next_draws(self, step: int) -> list[PromptDraw]:
        """Those of a step."""
        self._step = step
        self._handed = [self._draws.next() for _ in range(self._per_step)]
        return list(self._handed)

    def release(self) -> None:
        """The step has learned from what it was handed."""
        self._settled += [(self._step, draw) for draw in self._handed]
        self._handed = []

    def state(self) -> tuple[OpenDraws, list[tuple[PromptDraw, ScoredGroup]]]:
        """What a checkpoint keeps; never a group."""
        return self._draws.open(self._handed), []

    def checkpointed(self) -> None:
        """A checkpoint holds all that was settled: no step back goes behind it."""
        self._kept_step, self._settled = self._step, []

    def step_back(self, *, step: int, version: int) -> None:
        """The learner stands after `step` again: what came since comes up again.

        Raises:
            RunFailed: a checkpoint after `step` was made, and is gone: what it settled is not known here any more.
        """
        check_step_back(step, kept_step=self._kept_step)
        for draw in [*(draw for at, draw in self._settled if at > step), *self._handed]:
            self._draws.again(draw)
        self._step = self._kept_step = step
        self._settled, self._handed = [], []

    async def close(self) -> Sequence[DroppedGroup]:
        """Nothing is ever under way."""
        return ()


def check_step_back(step: int, *, kept_step: int) -> None:
    """A feed knows what was settled since the last checkpoint, `kept_step`, and nothing before."""
    if step < kept_step:
        raise RunFailed(
            f"the checkpoint of step {kept_step} can't be used any more, and a run under way can't go back to step "
            f"{step}: start it again with the same command, and it goes on from there"
        )
