"""Run a whole training on fakes that lose their learner and their driver at any moment, and keep its record.

Nothing is on a disk: a checkpoint is what the buffer and the loop would write. The driver's own parts are real.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from contracts.batches import PushResult, StepResult, TokenMeasures, TrainBatch
from contracts.config.learning import GrpoConfig
from contracts.config.reward import RewardConfig
from contracts.errors import LearnerLost
from contracts.rollouts import (
    DroppedGroup,
    PromptDraw,
    Rollout,
    SamplingRequest,
    Score,
    ScoredGroup,
    ScoreRequest,
    Unscored,
)
from driver.problems.draws import Draws, OpenDraws
from driver.problems.sources import ListSource
from driver.problems.stream import ProblemStream
from driver.recipes.grpo import train_grpo
from driver.recipes.loop import Loop
from driver.recipes.recovery import Recovery
from driver.rollouts.buffer import RolloutBuffer
from driver.rollouts.pipeline import Sampling, Stages
from driver.rollouts.selection import BufferRules
from driver.run_state.checkpoints import FoundCheckpoint
from driver.run_state.state import RunPosition, RunState
from driver.tracking.step_record import StepRecord
from tests.builders import a_problem, a_score
from tests.fakes.ports import FakeGenerator, FakeLearner, FakeScorer, policy_prompt
from tests.runs.recipe import references, settings

PROBLEMS = [a_problem(f"i{index}", language) for index in range(7) for language in ("de", "sw")]


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Say what happens to a run, and how probable it is."""

    lost: float  # probability that a call of the learner loses it
    dull: float  # probability that a group's rewards are equal
    num_crashes: int  # of the driver


class RandomEngine(FakeGenerator):
    """Answer after a random time, with weights that change while a response is drawn."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.random = random
        self.serves = 0
        self.running: set[str] = set()

    async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
        assert request.request_id not in self.running, "an engine refuses the name of a running request"
        self.running.add(request.request_id)
        for _ in range(self.random.randrange(12)):
            await asyncio.sleep(0)
        versions = [self.serves]
        for _ in range(2):
            await asyncio.sleep(0)
            versions.append(self.serves)
        # A cancelled request runs to its end: the engine does not notice that it was cancelled.
        self.running.discard(request.request_id)
        return tuple(
            Rollout(
                token_ids=(seed % 1000,) * 3,
                logprobs=(-1.0,) * 3,
                text="x",
                finish_reason="stop",
                token_versions=tuple(versions),
            )
            for seed in request.seeds
        )


class RandomScorer(FakeScorer):
    """Give some groups equal rewards, from which nothing can be learned."""

    def __init__(self, random: Random, *, dull: float) -> None:
        super().__init__()
        self.random, self.dull = random, dull

    async def score(self, request: ScoreRequest) -> tuple[Score | Unscored, ...]:
        await asyncio.sleep(0)
        is_dull = self.random.random() < self.dull
        return tuple(a_score(0.5 if is_dull else index / 10) for index in range(len(request.responses)))


@dataclass(kw_only=True)
class FaultyLearner(FakeLearner):
    """Get lost at a random call, and fail at every call until it is restarted."""

    engine: RandomEngine
    random: Random
    risk: float  # probability that it is lost at a call, or between two calls
    is_lost: bool = False

    async def _survive(self) -> None:
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)
        self.is_lost = self.is_lost or self.random.random() < self.risk
        if self.is_lost:
            raise LearnerLost("learner-0 died")

    async def until_lost(self) -> LearnerLost:
        for _ in range(self.random.randrange(8)):
            await asyncio.sleep(0)
        self.is_lost = self.is_lost or self.random.random() < self.risk
        if not self.is_lost:
            await asyncio.Event().wait()
        return LearnerLost("learner-0 was found dead")

    async def measure(self, batch: TrainBatch) -> tuple[TokenMeasures, ...]:
        await self._survive()
        return await super().measure(batch)

    async def step(self, batch: TrainBatch) -> StepResult:
        await self._survive()
        return await super().step(batch)

    async def push_weights(self, policy_version: int) -> PushResult:
        assert policy_version >= self.engine.serves, "versions must not fall"
        if self.random.random() < 0.5:
            self.engine.serves = policy_version  # the workers had it before the learner was lost
        await self._survive()
        self.engine.serves = policy_version
        return await super().push_weights(policy_version)

    async def save(self, folder: str, *, policy: str) -> None:
        await self._survive()

    async def load(self, folder: str) -> None:
        await self._survive()


@dataclass
class RunRecord:
    """Keep the record of a run: what a run folder holds."""

    steps: list[StepRecord] = field(default_factory=list)
    late: list[DroppedGroup] = field(default_factory=list)  # by the end of the run
    kept: tuple[RunState, Sequence[tuple[PromptDraw, ScoredGroup]]] | None = None  # the last checkpoint

    def begin(self, step: int) -> None:
        pass

    def record(self, step: StepRecord) -> None:
        self.steps.append(step)

    def waiting(self, what: str) -> None:
        pass

    def event(self, kind: str, reason: str, detail: str = "") -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def cut_back(self, step: int) -> None:
        self.steps = [record for record in self.steps if record.step <= step]

    def found(self) -> FoundCheckpoint | None:
        return FoundCheckpoint(path=Path("kept"), state=self.kept[0]) if self.kept else None

    @property
    def learned(self) -> list[tuple[ScoredGroup, int]]:
        """Return every group that was learned from, with the version that learned."""
        return [
            (group, record.policy_version)
            for record in self.steps
            for group in record.groups
            if isinstance(group, ScoredGroup)
            and group.group.group_id not in {dropped.group_id for dropped in record.dropped}
        ]

    @property
    def dropped(self) -> list[DroppedGroup]:
        return [dropped for record in self.steps for dropped in record.dropped] + self.late


@dataclass
class Checkpoints:
    """Save checkpoints for the recipe."""

    kept_record: RunRecord
    buffer: RolloutBuffer
    learner: FaultyLearner
    every_steps: int

    async def after_step(self, position: RunPosition) -> None:
        if position.step % self.every_steps:
            return
        open_draws, kept = self.buffer.state()
        as_text = json.dumps(open_draws)
        await self.learner.save("kept", policy="policy")
        self.kept_record.kept = (state_of(position, json.loads(as_text)), kept)
        self.buffer.checkpointed(position.step)

    async def settle(self) -> None:
        """Do nothing: what is kept is kept at once."""


def state_of(position: RunPosition, open_draws: OpenDraws) -> RunState:
    return RunState(
        step=position.step,
        policy_version=position.policy_version,
        optimizer_steps=position.optimizer_steps,
        skipped_in_a_row=position.skipped_in_a_row,
        open=open_draws,
        num_ranks=1,
        seed=1,
    )


class Driver:
    """Run one process of a run, from where the record ends."""

    def __init__(
        self, kept_record: RunRecord, algorithm: GrpoConfig, *, faults: Faults, every: int, random: Random
    ) -> None:
        self.kept_record, self.algorithm = kept_record, algorithm
        self.random = random
        self.engine = RandomEngine(random)
        self.learner = FaultyLearner(engine=self.engine, random=random, risk=faults.lost)
        self.most_in_flight = 0
        found = kept_record.found()
        position = found.state.position if found else RunPosition()
        kept_record.cut_back(position.step)
        self.engine.serves = position.policy_version
        self.stream = ProblemStream(ListSource(PROBLEMS, name="problems"), languages=("de", "sw"), seed=5)
        draws = Draws(self.stream)
        if found is not None:
            draws.restore(found.state.open)
        configured = settings(algorithm)
        self.loop = Loop(learner=self.learner, recorder=kept_record, settings=configured, position=position)
        self.buffer = RolloutBuffer(
            draws,
            stages=Stages(
                policy=self.engine,
                references=references(FakeGenerator()),
                scorer=RandomScorer(random, dull=faults.dull),
                prompt=policy_prompt,
                sampling=Sampling(group_size=2, max_tokens=8, temperature=1.0, run_seed=1),
            ),
            rules=BufferRules(algorithm=algorithm, reward=RewardConfig()),
            clock=self.loop.clock,
            step=position.step,
            version=position.policy_version,
        )
        if kept_record.kept is not None:
            self.buffer.restore(kept_record.kept[1])
        self.loop.checkpointer = Checkpoints(kept_record, self.buffer, self.learner, every)
        self.recovery = Recovery(
            loop=self.loop,
            buffer=self.buffer,
            record=kept_record,
            next_wait_s=lambda: 0.0,
            restart=self.restart,
            last_checkpoint=kept_record.found,
        )

    async def restart(self) -> None:
        self.learner.is_lost = False

    async def to_the_end(self) -> None:
        await self.recovery.train(lambda: train_grpo(self.buffer, loop=self.loop))
        self.kept_record.late = await self.buffer.close()


async def run_with_faults(
    algorithm: GrpoConfig, *, faults: Faults, every: int, seed: int
) -> tuple[RunRecord, ProblemStream]:
    """Run to the end, with a driver that is killed on the way; return the record and the stream."""
    random, kept_record = Random(seed), RunRecord()
    for _ in range(faults.num_crashes):
        driver = Driver(kept_record, algorithm, faults=faults, every=every, random=random)
        process = asyncio.ensure_future(driver.to_the_end())
        for _ in range(random.randrange(400)):
            await asyncio.sleep(0)
        if process.done():
            await process
            return kept_record, driver.stream
        process.cancel()
        await asyncio.gather(process, return_exceptions=True)
        await driver.buffer.close()  # ends its tasks; the groups that it returns are lost with the killed driver
        kept_record.late = []
    driver = Driver(kept_record, algorithm, faults=replace(faults), every=every, random=random)
    await driver.to_the_end()
    return kept_record, driver.stream
