"""Run a rollout buffer on fakes, whose engine answers when the test says so, with the weights that the test chooses."""

import asyncio
from collections.abc import Mapping, Sequence

from contracts.config.learning import GrpoConfig
from contracts.config.reward import RewardConfig
from contracts.rollouts import Problem, Rollout, SamplingRequest, ScoredGroup
from driver.problems.draws import Draws, OpenDraws
from driver.rollouts.buffer import RolloutBuffer
from driver.rollouts.pipeline import Sampling, Stages
from driver.rollouts.selection import Batch, BufferRules
from driver.rollouts.stage_clock import StageClock
from tests.builders import a_problem, a_score
from tests.fakes.ports import FakeGenerator, FakeScorer, GivenStream, Scores, policy_prompt
from tests.runs.recipe import references

Versions = tuple[int, ...]  # of the tokens of one response
GROUP_SIZE = 2
DULL = (a_score(0.5),) * GROUP_SIZE
PROBLEMS = [a_problem(f"{name}{index}") for index in range(4) for name in "abcdefgh"]


def algorithm(*, size: int = 2, **changed: object) -> GrpoConfig:
    values = {"steps": 9, "groups_per_step": size, "group_size": GROUP_SIZE, **changed}
    return GrpoConfig.model_validate(values)


async def quiet() -> None:
    """Wait until nothing changes without the test: no stage of a fake takes so many turns of the event loop."""
    for _ in range(40):
        await asyncio.sleep(0)


class GatedPolicy:
    """Answer a group when the test calls `finish`."""

    def __init__(self) -> None:
        self.version = 0
        self.requests: list[SamplingRequest] = []
        self.waiting: dict[int, asyncio.Future[list[Versions]]] = {}  # by number of the draw, oldest request first
        self._started: dict[int, int] = {}

    async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
        self.requests.append(request)
        number = number_of(request.request_id)
        self.waiting[number] = answer = asyncio.get_running_loop().create_future()
        self._started[number] = self.version
        try:
            answered = await answer
        finally:
            if self.waiting[number] is answer:  # else it was asked again meanwhile
                del self.waiting[number]
        return tuple(
            Rollout(
                token_ids=(seed % 1000,) * len(versions),
                logprobs=(-1.0,) * len(versions),
                text="x",
                finish_reason="stop",
                token_versions=versions,
            )
            for seed, versions in zip(request.seeds, answered, strict=True)
        )

    def finish(self, *numbers: int, versions: Versions = ()) -> None:
        """Answer these groups. `versions` are those of the tokens; by default the version at the request."""
        for number in numbers:
            self.finish_each(number, *[versions or (self._started[number],)] * GROUP_SIZE)

    def finish_each(self, number: int, *versions: Versions) -> None:
        """Answer a group with token versions for each response."""
        self.waiting[number].set_result(list(versions))

    def fail(self, number: int, failure: Exception) -> None:
        self.waiting[number].set_exception(failure)


class BufferHarness:
    """Run a buffer on fakes. The number of a group is that of its draw, and so the index of its problem."""

    def __init__(
        self,
        rules: GrpoConfig,
        *,
        problems: Sequence[Problem] = PROBLEMS,
        scores: Mapping[int, Scores] | None = None,  # by number of the draw
        draws: Draws | None = None,
        step: int = 0,
        version: int = 0,
    ) -> None:
        self.policy, self.pivot = GatedPolicy(), FakeGenerator()
        self.policy.version = version
        self.stream = GivenStream(problems)
        self.scorer = FakeScorer(scores={problems[at].question: found for at, found in (scores or {}).items()})
        self.buffer = RolloutBuffer(
            draws or Draws(self.stream),
            stages=Stages(
                policy=self.policy,
                references=references(self.pivot),
                scorer=self.scorer,
                prompt=policy_prompt,
                sampling=Sampling(group_size=GROUP_SIZE, max_tokens=8, temperature=1.0, run_seed=1),
            ),
            rules=BufferRules(algorithm=rules, reward=RewardConfig()),
            clock=StageClock(),
            step=step,
            version=version,
        )

    @property
    def asked(self) -> list[int]:
        """Return the draws of running requests, in the order of the requests."""
        return list(self.policy.waiting)

    async def begin(self, step: int) -> "asyncio.Task[Batch]":
        """Ask for a step's groups, and wait until nothing changes any more."""
        waiting = asyncio.ensure_future(self.buffer.take_batch(step))
        await quiet()
        return waiting

    async def finish(self, *numbers: int, versions: Versions = ()) -> None:
        self.policy.finish(*numbers, versions=versions)
        await quiet()

    async def learned(self, version: int) -> None:
        """Finish the step: the workers have its weights."""
        self.policy.version = version
        self.buffer.finish(version)
        await quiet()


def number_of(name: str) -> int:
    """Return the number of the draw from the id of a group or request."""
    return int(name.partition("/")[0])


def numbers(batch: Batch) -> list[int]:
    return [
        number_of(group.group.group_id if isinstance(group, ScoredGroup) else group.group_id) for group in batch.groups
    ]


def replaced(batch: Batch) -> list[tuple[int, str]]:
    return [(number_of(aside.dropped.group_id), aside.dropped.reason) for aside in batch.replaced]


async def one_step(harness: BufferHarness, step: int, *finished: int) -> None:
    """Run a step that learns from the groups that finish, and makes a new version."""
    waiting = await harness.begin(step)
    await harness.finish(*finished)
    await waiting
    await harness.learned(step)


def open_numbers(state: OpenDraws) -> list[int]:
    return [draw["number"] for draw in state["again"]]
