"""Who runs when: our recipe's recorder, which lets the other side have its turn between two of our steps.

Owns the order of turns and the check that both sides did the same. While the other side has its turn this process's
event loop stands still, and every actor of ours sleeps: the groups of our next step are not asked for before it begins.
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
    """A `Recorder`. The first round warms up; in every second one the other side starts."""

    task: Task
    theirs: Side
    processes: tuple[int, ...]  # ours
    our_rounds: list[Round] = field(default_factory=list)
    their_rounds: list[Round] = field(default_factory=list)
    our_tokens: list[int] = field(default_factory=list)  # learned from in each step, each response's prompt counted
    stages: list[dict[str, float]] = field(default_factory=list)  # seconds of ours, of each step
    _started: float = 0.0
    _busy_before: float = 0.0

    def begin(self, step: int) -> None:
        if self._they_start(step):
            self.their_rounds.append(turn(self.theirs, step))
        self._busy_before = processor_seconds(self.processes)
        self._started = time.perf_counter()

    def record(self, step: StepRecord) -> None:
        seconds = time.perf_counter() - self._started
        busy = processor_seconds(self.processes) - self._busy_before
        self.our_rounds.append(Round(work=float(response_tokens(step)), seconds=seconds, busy_s=busy))
        self.our_tokens.append(step.update.step.num_tokens if step.update else 0)
        self.stages.append(dict(step.stage_seconds))
        if not self._they_start(step.step):
            self.their_rounds.append(turn(self.theirs, step.step))

    def waiting(self, what: str) -> None:
        """Every wait of the recipe has its own deadline."""

    def check(self, their_tokens: list[int]) -> None:
        """Raise RuntimeError where the sides did not do the same in every round.

        Prompt and response tokens together differ as soon as one side has other prompts. Counted are the tokens that
        were learned from, a prompt once for each of its responses, on both sides; ours computes it once for all.
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
    """Drawn in a step; all of them must have been learned from."""
    groups = [group for group in step.groups if not isinstance(group, DroppedGroup)]
    rollouts = [rollout for group in groups for rollout in group.group.rollouts]
    if step.dropped or step.num_samples != len(rollouts):
        raise RuntimeError(
            f"step {step.step} learned from {step.num_samples} of {len(rollouts)} responses: {step.dropped}"
        )
    return sum(len(rollout.token_ids) for rollout in rollouts)
