"""Keep groups in flight ahead of the learner: start them, and give each step its batch of finished groups.

    draws ─> running (generated, referenced, scored) ─> ready ─> taken by a step ─> finished
                          └──────── replaced by another draw: no use to a step, or too old ────────┘

The buffer decides how many groups are in flight and in which order they start. A group takes a slot when it starts, and
gives it back when its step has learned (`finish`). At most (max_staleness + 1) x groups_per_step groups are in flight,
so no queue can grow, and the choice by deadline keeps every group fresh enough. With max_staleness 0 the groups of a
step start together, in the order of their draws, and are taken when all are ready: the same run, repeated, asks the
same engines the same requests in the same order. Must not import Ray or an engine.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from contracts.rollouts import DroppedGroup, PromptDraw, ScoredGroup
from driver.learning.samples import oldest_version
from driver.problems.curriculum import success_rate
from driver.problems.draws import Draws, OpenDraws
from driver.rollouts.pipeline import Stages, score_draw
from driver.rollouts.prompt_buffer import check_step_back
from driver.rollouts.selection import Batch, BufferRules, FinishedGroup, ReplacedGroup, choose
from driver.rollouts.stage_clock import StageClock


@dataclass(frozen=True, kw_only=True)
class _RunningGroup:
    """Hold a group that is in the stages."""

    draw: PromptDraw
    version: int  # of the policy when the group was started
    task: "asyncio.Task[None]"


class RolloutBuffer:
    """Start groups, and give them to one step after the other. A closed buffer is not started again."""

    def __init__(
        self, draws: Draws, *, stages: Stages, rules: BufferRules, clock: StageClock, step: int = 0, version: int = 0
    ) -> None:
        """Create the buffer of a run whose last finished step is `step` and whose policy is at `version`."""
        self.version = version
        self.stages = stages
        self._draws = draws
        self._rules = rules
        self._clock = clock
        self._step = step + 1  # the current step, or the next one
        self._running: dict[int, _RunningGroup] = {}  # by number of the draw
        self._ready: list[FinishedGroup] = []
        self._taken: list[FinishedGroup] = []  # by the current step
        self._replaced: list[ReplacedGroup] = []  # not yet in any step's batch
        self._checkpoint_step = step
        self._finished: list[tuple[int, FinishedGroup]] = []  # since the checkpoint, with their step
        self._attempts: dict[int, int] = {}  # by number of the draw, of draws that were started more than once
        self._replacements_left = rules.algorithm.max_replacements
        self._useful: set[int] = set()  # numbers of the draws that were found learnable in this step and are kept
        self._changed = asyncio.Event()
        self._finished_tokens = self._finished_texts = 0  # since the last batch
        self._failure: BaseException | None = None
        self._is_closed = False

    # --- what a recipe calls ------------------------------------------------------------------------------------------

    async def take_batch(self, step: int) -> Batch:
        """Return the groups of a step as soon as enough are ready. They belong to the step until `finish`.

        Raises:
            RunFailed: a stage can't go on.
        """
        self._step = step
        self._fill()
        while (chosen := self._choose()) is None:
            self._changed.clear()
            await self._changed.wait()
        metrics = {
            "queue/in_flight": float(len(self._running) + len(self._ready)),
            "queue/ready": float(len(self._ready)),
            "group/replaced": float(len(self._replaced)),
            "group/finished_tokens": float(self._finished_tokens),
            "group/finished_texts": float(self._finished_texts),
            "curriculum/passed_over": float(self._draws.take_passed_over()),
        }
        self._finished_tokens = self._finished_texts = 0
        self._taken = sorted((self._ready[index] for index in chosen), key=lambda group: group.draw.number)
        taken = set(chosen)
        self._ready = [group for index, group in enumerate(self._ready) if index not in taken]
        replaced, self._replaced = self._replaced, []
        self._finished += [(step, one.finished) for one in replaced]
        return Batch(groups=[group.outcome for group in self._taken], replaced=replaced, metrics=metrics)

    def finish(self, version: int) -> None:
        """Give the slots of the step's groups to new ones: the step has learned, and the policy is at `version`."""
        self.version = version
        self._finished = [(step, self._without_responses(group)) for step, group in self._finished]
        self._finished += [(self._step, self._without_responses(group)) for group in self._taken]
        self._taken = []
        self._replacements_left, self._useful = self._rules.algorithm.max_replacements, set()
        self._step += 1
        self._fill()
        self.stages.references.cache.save()

    # --- checkpoints and steps back -----------------------------------------------------------------------------------

    def state(self) -> tuple[OpenDraws, list[tuple[PromptDraw, ScoredGroup]]]:
        """Return what a checkpoint keeps: the draws, with those that must be started again, and the ready groups.

        Call it between two steps, after `finish`.
        """
        ready = [*self._ready, *self._taken]  # a step that failed before it learned still has its groups
        scored = [(group.draw, group.outcome) for group in ready if isinstance(group.outcome, ScoredGroup)]
        lost = [group.draw for group in ready if not isinstance(group.outcome, ScoredGroup)]
        again = [*(running.draw for running in self._running.values()), *lost]
        again += [replaced.finished.draw for replaced in self._replaced]
        again += [group.draw for step, group in self._finished if step == self._step]  # replaced ones of its batch
        return self._draws.open(again), scored

    def restore(self, groups: Sequence[tuple[PromptDraw, ScoredGroup]]) -> None:
        """Take over the ready groups of a checkpoint. Those that are too old are drawn again."""
        for draw, group in groups:
            self._reuse(FinishedGroup(draw=draw, outcome=group, version=oldest_version(group)))

    def checkpointed(self, step: int) -> None:
        """Forget the groups that were finished up to `step`: it has a checkpoint, and no step back goes behind it."""
        self._checkpoint_step = step
        self._finished = [(at, group) for at, group in self._finished if at > step]

    def step_back(self, *, step: int, version: int) -> None:
        """Go back to the end of `step`: the learner has its weights again, and the policy got them as `version`.

        Every group that was learned from or dropped since then is used again: from here if it is fresh enough, else
        from the engines.

        Raises:
            RunFailed: a checkpoint after `step` was made and is lost; its finished groups are not known any more.
        """
        check_step_back(step, checkpoint_step=self._checkpoint_step)
        # Engines that were paused for the lost learner's push may have failed; any other failure will come again.
        self._failure = None
        self.version, self._step, self._checkpoint_step = version, step + 1, step
        self._replacements_left, self._useful = self._rules.algorithm.max_replacements, set()
        # A finished group of `step` or before is part of the checkpoint, even if `checkpointed` was not called.
        finished = [group for at, group in self._finished if at > step]
        groups = [*finished, *self._taken, *(replaced.finished for replaced in self._replaced), *self._ready]
        self._finished, self._taken, self._replaced, self._ready = [], [], [], []
        for group in sorted(groups, key=lambda group: group.draw.number):
            self._reuse(group)
        for running in list(self._running.values()):
            if self._is_too_old(running.version) or running.task.done():  # a failed task leaves its group running
                self._restart(running)
        self._fill()

    async def close(self) -> list[DroppedGroup]:
        """Cancel the running groups, and return all groups that no step will learn from. A second call does nothing."""
        if self._is_closed:
            return []
        self._is_closed = True
        running = list(self._running.values())
        for group in running:
            group.task.cancel()
        await asyncio.gather(*(group.task for group in running), return_exceptions=True)
        self.stages.references.cache.save()
        never_used = [group.draw for group in [*running, *self._ready]] + self._draws.waiting()
        dropped = [
            DroppedGroup(group_id=draw.group_id, problem=draw.problem, reason="run_ended") for draw in never_used
        ]
        return [*dropped, *(replaced.dropped for replaced in self._replaced)]

    # --- slots --------------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Start groups while slots are free and steps are left that need them."""
        algorithm = self._rules.algorithm
        if self._max_staleness > 0:
            self._replace_useless()  # the step's budget also covers what was ready before it
        needed = (algorithm.steps - self._step + 1) * algorithm.groups_per_step
        while len(self._running) + len(self._ready) + len(self._taken) < min(algorithm.groups_in_flight, needed):
            self._start(self._draws.next())

    def _start(self, draw: PromptDraw) -> None:
        attempt = self._attempts.get(draw.number, 0)
        task = asyncio.ensure_future(self._run(draw, attempt=attempt, version=self.version))
        self._running[draw.number] = _RunningGroup(draw=draw, version=self.version, task=task)

    async def _run(self, draw: PromptDraw, *, attempt: int, version: int) -> None:
        """Bring a group through the stages. A failure is raised by `take_batch`, for it ends the run."""
        try:
            outcome = await score_draw(draw, step=self._step, attempt=attempt, stages=self.stages, clock=self._clock)
            if self._is_wanted(draw, attempt):
                oldest = oldest_version(outcome) if isinstance(outcome, ScoredGroup) else version
                self._add_ready(FinishedGroup(draw=draw, outcome=outcome, version=oldest))
        except Exception as failure:  # noqa: BLE001 - raised by take_batch
            if self._is_wanted(draw, attempt):
                self._failure = failure
        self._changed.set()

    def _is_wanted(self, draw: PromptDraw, attempt: int) -> bool:
        """Return whether this attempt was not cancelled.

        Its task may not have noticed: `asyncio.wait_for` of Python 3.11 loses a cancellation that comes in the turn of
        the event loop in which its future is done.
        """
        return not self._is_closed and attempt == self._attempts.get(draw.number, 0)

    def _add_ready(self, group: FinishedGroup) -> None:
        del self._running[group.draw.number]
        self._ready.append(group)
        if isinstance(group.outcome, ScoredGroup):
            self._count(group.draw, group.outcome)
        # On-policy, replacements start together when all others are ready: nothing may depend on which came first.
        if self._max_staleness > 0 or not self._running:
            self._replace_useless()

    def _count(self, draw: PromptDraw, scored: ScoredGroup) -> None:
        self._finished_tokens += sum(len(rollout.token_ids) for rollout in scored.group.rollouts)
        self._finished_texts += len(scored.scores)
        if (rate := success_rate(scored)) is not None:
            self._draws.saw(draw, rate)

    def _replace_useless(self) -> None:
        """Replace ready groups that can't be learned from by draws of the same language (dynamic sampling)."""
        ready = self._ready if self._replacements_left else []
        unjudged = [group for group in ready if group.draw.number not in self._useful]
        for group in sorted(unjudged, key=lambda group: group.draw.number):
            dropped = self._rules.dropped(group.outcome, version=group.version, step=self._step)
            if dropped is None:
                self._useful.add(group.draw.number)
            elif self._replacements_left:
                self._replacements_left -= 1
                self._replace(group, dropped)

    def _replace(self, group: FinishedGroup, dropped: DroppedGroup) -> None:
        self._ready.remove(group)
        self._replaced.append(ReplacedGroup(finished=group, dropped=dropped))
        self._start(self._draws.next(language=group.draw.problem.language))

    # --- age ----------------------------------------------------------------------------------------------------------

    def _choose(self) -> list[int] | None:
        """Return the indices of the ready groups that the step takes, or None while it must wait.

        Raises:
            Exception: what made a stage fail.
        """
        if self._failure is not None:
            raise self._failure
        for group in [group for group in self._ready if self._is_too_old(group.version)]:
            dropped = self._rules.dropped(group.outcome, version=self.version, step=self._step)
            assert dropped is not None, "a group that is too old can't be learned from"
            self._replace(group, dropped)
        self._ready.sort(key=lambda group: group.draw.number)
        staleness = self._max_staleness
        return choose(
            [group.version + staleness for group in self._ready],
            [running.version + staleness for running in self._running.values()],
            version=self.version,
            size=self._rules.algorithm.groups_per_step,
        )

    def _is_too_old(self, version: int) -> bool:
        return self.version - version > self._max_staleness

    @property
    def _max_staleness(self) -> int:
        return self._rules.algorithm.max_staleness

    def _without_responses(self, group: FinishedGroup) -> FinishedGroup:
        """Return the group without its responses if a step back could not use them any more.

        A step back pushes the old weights as a version above the current one, so the group would be one version older.
        """
        if isinstance(group.outcome, DroppedGroup) or self.version + 1 - group.version <= self._max_staleness:
            return group
        draw = group.draw
        return replace(group, outcome=DroppedGroup(group_id=draw.group_id, problem=draw.problem, reason="finished"))

    def _reuse(self, group: FinishedGroup) -> None:
        """Make a group ready again if it is fresh enough, else draw it again."""
        if isinstance(group.outcome, ScoredGroup) and not self._is_too_old(group.version):
            self._ready.append(group)
        else:
            self._draw_again(group.draw)

    def _restart(self, running: _RunningGroup) -> None:
        running.task.cancel()
        del self._running[running.draw.number]
        self._draw_again(running.draw)

    def _draw_again(self, draw: PromptDraw) -> None:
        self._attempts[draw.number] = self._attempts.get(draw.number, 0) + 1
        self._draws.again(draw)
