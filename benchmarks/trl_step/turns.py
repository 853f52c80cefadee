"""Give the two sides their turns: a recorder of our recipe lets the other side run between two of our steps.

While the other side runs, the event loop of this process is blocked, and every actor of ours sleeps: the groups of our
next step are not requested before it begins.
"""

import time
from dataclasses import dataclass, field

from benchmarks.machine import processor_seconds
from benchmarks.measure import Round, Side, turn
from benchmarks.trl_step.trl_process import Task
from contracts.rollouts import DroppedGroup
from driver.tracking.step_record import StepRecord


@dataclass
class Turns:
    """Be a `Recorder`. The first round warms up; in every second round the other side starts."""

    task: Task
    theirs: Side
    processes: tuple[int, ...]  # ours
    our_rounds: list[Round] = field(default_factory=list)
    their_rounds: list[Round] = field(default_factory=list)
    our_tokens: list[int] = field(default_factory=list)  # learned from in each step, with the prompt of each response
    stages: list[dict[str, float]] = field(default_factory=list)  # our seconds by stage, of each step
    _started: float = 0.0
    _busy_before: float = 0.0

    def begin(self, step: int) -> None:
        """Let the other side run if it starts this round, then begin to measure ours."""
        if self._they_start(step):
            self.their_rounds.append(turn(self.theirs, step))
        self._busy_before = processor_seconds(self.processes)
        self._started = time.perf_counter()

    def record(self, step: StepRecord) -> None:
        """Keep what our step did, and let the other side run if it has not."""
        seconds = time.perf_counter() - self._started
        busy = processor_seconds(self.processes) - self._busy_before
        self.our_rounds.append(Round(work=float(response_tokens(step)), seconds=seconds, busy_s=busy))
        self.our_tokens.append(step.update.step.num_tokens if step.update else 0)
        self.stages.append(dict(step.stage_seconds))
        if not self._they_start(step.step):
            self.their_rounds.append(turn(self.theirs, step.step))

    def waiting(self, what: str) -> None:
        """Do nothing: every wait of the recipe has a deadline of its own."""

    def check(self, their_tokens: list[int]) -> None:
        """Check that both sides did the same in every round.

        The sum of prompt and response tokens differs if one side has other prompts. Both sides count the tokens that
        they learned from, a prompt once for each of its responses; our learner computes it once for all of them.

        Raises:
            RuntimeError: the sides made or learned from different numbers of tokens.
        """
        want = float(self.task.tokens_per_step)
        for name, rounds in (("ours", self.our_rounds), ("TRL", self.their_rounds)):
            if wrong := [one.work for one in rounds if one.work != want]:
                raise RuntimeError(
                    f"{name} made {wrong[0]:g} response tokens in a step, and not {want:g}; run it again"
                )
        if self.our_tokens != their_tokens:
            raise RuntimeError(f"the sides learned from other tokens: ours {self.our_tokens}, TRL {their_tokens}")

    @staticmethod
    def _they_start(step: int) -> bool:
        return step % 2 == 0


def response_tokens(step: StepRecord) -> int:
    """Return the response tokens drawn in a step.

    Raises:
        RuntimeError: not all of them were learned from.
    """
    groups = [group for group in step.groups if not isinstance(group, DroppedGroup)]
    rollouts = [rollout for group in groups for rollout in group.group.rollouts]
    if step.dropped or step.num_samples != len(rollouts):
        raise RuntimeError(
            f"step {step.step} learned from {step.num_samples} of {len(rollouts)} responses: {step.dropped}"
        )
    return sum(len(rollout.token_ids) for rollout in rollouts)
