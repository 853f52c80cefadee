"""The groups on their way to the learner: started ahead of it, never too many, each handed over exactly once.

    draws ─> under way (generated, referenced, scored) ─> ready ─> handed to a step ─> settled
                          └──────── set aside: replaced by another draw, or too old ─────────┘

Owns the slots and the order. A slot is taken when a group is started and free again when its step has learned
(`release`): at most (max_staleness + 1) x groups_per_step groups are in flight, so no queue can grow, and
driver/rollouts/selection.py picks so that none gets too old. With max_staleness 0 a step's groups start together, in
the order of their draws, and are handed over when all are there: the same run again asks the same engines the same
things in the same order. Knows the stages, no Ray and no engine.
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
from driver.rollouts.selection import Batch, FeedRules, Finished, Outcome, SetAside, choose
from driver.rollouts.stage_clock import StageClock


@dataclass(frozen=True, kw_only=True)
class _UnderWay:
    draw: PromptDraw
    version: int  # of the policy when it was started
    task: "asyncio.Task[None]"


class RolloutBuffer:
    """Starts groups, and hands them to one step after the other. Not started again after `close`."""

    def __init__(
        self, draws: Draws, *, stages: Stages, rules: FeedRules, clock: StageClock, step: int = 0, version: int = 0
    ) -> None:
        """`step` is the last that is finished, `version` the policy's: where the run stands."""
        self.version = version
        self.stages = stages
        self._draws = draws
        self._rules = rules
        self._clock = clock
        self._step = step + 1  # that is under way, or next
        self._under_way: dict[int, _UnderWay] = {}
        self._ready: list[Finished] = []
        self._handed: list[Finished] = []  # to the step under way
        self._set_aside: list[SetAside] = []  # that no step has reported yet
        self._kept_step = step  # of the last checkpoint
        self._settled: list[tuple[int, Finished]] = []  # by which step since then: what a step back asks for again
        self._attempts: dict[int, int] = {}  # of draws that were asked more than once
        self._replacements_left = rules.algorithm.max_replacements
        self._useful: set[int] = set()  # draws that were judged in this step, and keep their place: by number
        self._changed = asyncio.Event()
        self._finished_tokens = self._finished_texts = 0  # since the batch before
        self._failure: BaseException | None = None
        self._is_closed = False

    # --- what a recipe calls ------------------------------------------------------------------------------------------

    async def next_batch(self, step: int) -> Batch:
        """The groups of a step, as soon as enough are finished; they are in the step's hands until `release`.

        Raises:
            RunFailed: a stage can't go on.
        """
        self._step = step
        self._fill()
        while (chosen := self._choose()) is None:
            self._changed.clear()
            await self._changed.wait()
        metrics = {
            "queue/in_flight": float(len(self._under_way) + len(self._ready)),
            "queue/ready": float(len(self._ready)),
            "group/replaced": float(len(self._set_aside)),
            "group/finished_tokens": float(self._finished_tokens),
            "group/finished_texts": float(self._finished_texts),
            "curriculum/passed_over": float(self._draws.take_passed_over()),
        }
        self._finished_tokens = self._finished_texts = 0
        self._handed = sorted((self._ready[index] for index in chosen), key=lambda finished: finished.draw.number)
        taken = set(chosen)
        self._ready = [finished for index, finished in enumerate(self._ready) if index not in taken]
        reported, self._set_aside = self._set_aside, []
        self._settled += [(step, aside.finished) for aside in reported]
        return Batch(groups=[finished.outcome for finished in self._handed], set_aside=reported, metrics=metrics)

    def release(self, version: int) -> None:
        """The step has learned, and the policy is at `version` now: its groups' slots go to new ones."""
        self.version = version
        self._settled = [(step, self._in_brief(done)) for step, done in self._settled]
        self._settled += [(self._step, self._in_brief(done)) for done in self._handed]
        self._handed = []
        self._replacements_left, self._useful = self._rules.algorithm.max_replacements, set()
        self._step += 1
        self._fill()
        self.stages.references.cache.save()

    # --- checkpoints and steps back -----------------------------------------------------------------------------------

    def state(self) -> tuple[OpenDraws, list[tuple[PromptDraw, ScoredGroup]]]:
        """What a checkpoint keeps: where the draws stand, with those that must be asked again, and groups that are
        ready to be learned from. To be taken between two steps, after `release`."""
        ready = [*self._ready, *self._handed]  # a step that failed before it learned still has its own in hand
        kept = [(done.draw, done.outcome) for done in ready if isinstance(done.outcome, ScoredGroup)]
        lost = [done.draw for done in ready if not isinstance(done.outcome, ScoredGroup)]
        again = [*(running.draw for running in self._under_way.values()), *lost]
        again += [aside.finished.draw for aside in self._set_aside]
        again += [done.draw for at, done in self._settled if at == self._step]  # handed over to it as set aside
        return self._draws.open(again), kept

    def keep(self, kept: Sequence[tuple[PromptDraw, ScoredGroup]]) -> None:
        """Groups of a checkpoint are ready, those that are still fresh; the others are asked again."""
        for draw, group in kept:
            self._take_back(Finished(draw=draw, outcome=group, version=oldest_version(group)))

    def checkpointed(self) -> None:
        """A checkpoint holds all that was settled: no step back goes behind it."""
        self._kept_step, self._settled = self._step - 1, []

    def step_back(self, *, step: int, version: int) -> None:
        """The learner stands after `step` again, and the policy got its weights as `version`: everything that was
        learned from or dropped since comes up again, from here where it is fresh enough, else from the engines.

        Raises:
            RunFailed: a checkpoint after `step` was made, and is gone: what it settled is not known here any more.
        """
        check_step_back(step, kept_step=self._kept_step)
        self._failure = None  # engines that were paused for the lost learner's push; if it was more it comes again
        self.version, self._step, self._kept_step = version, step + 1, step
        self._replacements_left, self._useful = self._rules.algorithm.max_replacements, set()
        settled = [done for at, done in self._settled if at > step]  # the others' checkpoint was whole after all
        finished = [*settled, *self._handed, *(aside.finished for aside in self._set_aside), *self._ready]
        self._settled, self._handed, self._set_aside, self._ready = [], [], [], []
        for done in sorted(finished, key=lambda done: done.draw.number):
            self._take_back(done)
        for running in list(self._under_way.values()):
            if self._is_too_old(running.version) or running.task.done():  # a task that failed leaves its group
                self._ask_again(running)
        self._fill()

    async def close(self) -> list[DroppedGroup]:
        """End what is under way. What no step will learn from any more, dropped. A second call does nothing."""
        if self._is_closed:
            return []
        self._is_closed = True
        running = list(self._under_way.values())
        for one in running:
            one.task.cancel()
        await asyncio.gather(*(one.task for one in running), return_exceptions=True)
        self.stages.references.cache.save()
        never_used = [one.draw for one in running] + [done.draw for done in self._ready] + self._draws.waiting()
        dropped = [
            DroppedGroup(group_id=draw.group_id, problem=draw.problem, reason="run_ended") for draw in never_used
        ]
        return [*dropped, *(aside.dropped for aside in self._set_aside)]

    # --- slots --------------------------------------------------------------------------------------------------------

    def _fill(self) -> None:
        """Start groups while there are slots, and steps that will need them."""
        algorithm = self._rules.algorithm
        if self._max_staleness > 0:
            self._replace()  # what was ready before this step is judged by its budget
        needed = (algorithm.steps - self._step + 1) * algorithm.groups_per_step
        while len(self._under_way) + len(self._ready) + len(self._handed) < min(algorithm.groups_in_flight, needed):
            self._start(self._draws.next())

    def _start(self, draw: PromptDraw) -> None:
        attempt = self._attempts.get(draw.number, 0)
        task = asyncio.ensure_future(self._follow(draw, attempt=attempt, version=self.version))
        self._under_way[draw.number] = _UnderWay(draw=draw, version=self.version, task=task)

    async def _follow(self, draw: PromptDraw, *, attempt: int, version: int) -> None:
        """A group through the stages; a failure is the run's, and whoever waits for a batch hears of it."""
        try:
            outcome = await score_draw(draw, step=self._step, attempt=attempt, stages=self.stages, clock=self._clock)
            if self._is_wanted(draw, attempt):
                self._finish(Finished(draw=draw, outcome=outcome, version=_version(outcome, started=version)))
        except Exception as failure:  # noqa: BLE001 - raised by next_batch
            if self._is_wanted(draw, attempt):
                self._failure = failure
        self._changed.set()

    def _is_wanted(self, draw: PromptDraw, attempt: int) -> bool:
        """Whether nobody has cancelled this attempt. Its task need not have noticed: Python 3.11's `asyncio.wait_for`
        loses a cancellation that comes in the turn of the event loop in which its future is done."""
        return not self._is_closed and attempt == self._attempts.get(draw.number, 0)

    def _finish(self, done: Finished) -> None:
        del self._under_way[done.draw.number]
        self._ready.append(done)
        if isinstance(done.outcome, ScoredGroup):
            self._count(done.draw, done.outcome)
        # On-policy, replacements start together when the others are finished: nothing may depend on who was first.
        if self._max_staleness > 0 or not self._under_way:
            self._replace()

    def _count(self, draw: PromptDraw, scored: ScoredGroup) -> None:
        self._finished_tokens += sum(len(rollout.token_ids) for rollout in scored.group.rollouts)
        self._finished_texts += len(scored.scores)
        if (rate := success_rate(scored)) is not None:
            self._draws.saw(draw, rate)

    def _replace(self) -> None:
        """Dynamic sampling: the place of a group that teaches nothing goes to another of its language."""
        ready = self._ready if self._replacements_left else []
        unjudged = [done for done in ready if done.draw.number not in self._useful]
        for done in sorted(unjudged, key=lambda done: done.draw.number):
            dropped = self._rules.dropped(done.outcome, version=done.version, step=self._step)
            if dropped is None:
                self._useful.add(done.draw.number)
            elif self._replacements_left:
                self._replacements_left -= 1
                self._give_place(done, dropped)

    def _give_place(self, done: Finished, dropped: DroppedGroup) -> None:
        self._ready.remove(done)
        self._set_aside.append(SetAside(finished=done, dropped=dropped))
        self._start(self._draws.next(language=done.draw.problem.language))

    # --- age ----------------------------------------------------------------------------------------------------------

    def _choose(self) -> list[int] | None:
        """Indices of the ready groups that the step gets; None while it must wait."""
        if self._failure is not None:
            raise self._failure
        for done in [done for done in self._ready if self._is_too_old(done.version)]:
            dropped = self._rules.dropped(done.outcome, version=self.version, step=self._step)
            assert dropped is not None, "what is too old can't be learned from"
            self._give_place(done, dropped)
        self._ready.sort(key=lambda done: done.draw.number)
        staleness = self._max_staleness
        return choose(
            [done.version + staleness for done in self._ready],
            [running.version + staleness for running in self._under_way.values()],
            version=self.version,
            size=self._rules.algorithm.groups_per_step,
        )

    def _is_too_old(self, version: int) -> bool:
        return self.version - version > self._max_staleness

    @property
    def _max_staleness(self) -> int:
        return self._rules.algorithm.max_staleness

    def _in_brief(self, done: Finished) -> Finished:
        """Without its responses, where a step back would draw them again anyway: it makes a version above this one."""
        if isinstance(done.outcome, DroppedGroup) or self.version + 1 - done.version <= self._max_staleness:
            return done
        problem = done.draw.problem
        return replace(done, outcome=DroppedGroup(group_id=done.draw.group_id, problem=problem, reason="settled"))

    def _take_back(self, done: Finished) -> None:
        if isinstance(done.outcome, ScoredGroup) and not self._is_too_old(done.version):
            self._ready.append(done)
        else:
            self._attempts[done.draw.number] = self._attempts.get(done.draw.number, 0) + 1
            self._draws.again(done.draw)

    def _ask_again(self, running: _UnderWay) -> None:
        running.task.cancel()
        del self._under_way[running.draw.number]
        self._attempts[running.draw.number] = self._attempts.get(running.draw.number, 0) + 1
        self._draws.again(running.draw)


def _version(outcome: Outcome, *, started: int) -> int:
    return oldest_version(outcome) if isinstance(outcome, ScoredGroup) else started
