"""Give each step its draws, for a recipe that generates nothing. Each draw is finished exactly once.

Keeps which draws a step has, and which must be used again when the learner steps back.
"""

from collections.abc import Sequence

from contracts.errors import RunFailed
from contracts.rollouts import DroppedGroup, PromptDraw, ScoredGroup
from driver.problems.draws import Draws, OpenDraws


class PromptBuffer:
    """Give out draws, and keep those of unfinished steps."""

    def __init__(self, draws: Draws, *, per_step: int, step: int = 0) -> None:
        """Create the buffer of a run whose last finished step is `step`."""
        self._draws = draws
        self._per_step = per_step
        self._step = self._checkpoint_step = step  # the current or last finished step; that of the last checkpoint
        self._taken: list[PromptDraw] = []  # by the current step
        self._finished: list[tuple[int, PromptDraw]] = []  # since the checkpoint, with their step

    def take_batch(self, step: int) -> list[PromptDraw]:
        """Return the draws of a step."""
        self._step = step
        self._taken = [self._draws.next() for _ in range(self._per_step)]
        return list(self._taken)

    def finish(self) -> None:
        """Note that the step has learned from its draws."""
        self._finished += [(self._step, draw) for draw in self._taken]
        self._taken = []

    def state(self) -> tuple[OpenDraws, list[tuple[PromptDraw, ScoredGroup]]]:
        """Return what a checkpoint keeps: the draws, and no group."""
        return self._draws.open(self._taken), []

    def checkpointed(self, step: int) -> None:
        """Forget the draws that were finished up to `step`: it has a checkpoint, and no step back goes behind it."""
        self._checkpoint_step = step
        self._finished = [(at, draw) for at, draw in self._finished if at > step]

    def step_back(self, *, step: int, version: int) -> None:
        """Go back to the end of `step`: every draw since then is given out again.

        Raises:
            RunFailed: a checkpoint after `step` was made and is lost; its finished draws are not known any more.
        """
        check_step_back(step, checkpoint_step=self._checkpoint_step)
        for draw in [*(draw for at, draw in self._finished if at > step), *self._taken]:
            self._draws.again(draw)
        self._step = self._checkpoint_step = step
        self._finished, self._taken = [], []

    async def close(self) -> Sequence[DroppedGroup]:
        """Return no group: none is ever running."""
        return ()


def check_step_back(step: int, *, checkpoint_step: int) -> None:
    """Refuse to go back behind the last checkpoint: a buffer knows only what was finished since then.

    Raises:
        RunFailed: `step` is before `checkpoint_step`.
    """
    if step < checkpoint_step:
        raise RunFailed(
            f"the checkpoint of step {checkpoint_step} can't be read, and a run in progress can't go back to step "
            f"{step}; start the run again with the same command: it continues from there",
            key="checkpoint",
        )
