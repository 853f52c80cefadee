"""Ray actors as a driver sees them, simulated in its own process: handles that answer after a moment, without work.

Owns what stands for a worker of each kind. What a driver sends is pickled and thrown away, and what it gets is
unpickled for it, as Ray does in the driver's process; Ray's own work beyond that is left out. Knows no fleet and no
buffer.
"""

import asyncio
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from actors.remote.process import ProcessInfo, RemoteActor, this_process
from actors.weight_sync.sender import PushOrder, PushOutcome
from contracts.batches import PackedRow, StepResult
from contracts.rollouts import Rollout, SamplingRequest, Score, ScoreRequest

MOMENT_S = 0.05
"""From a request to its answer, of every worker."""
_PROTOCOL = 5
_VARIANTS = 4
"""Different groups of responses; the driver does not look at how often one comes."""
_TEXT = "Hence 17 boxes of 12 pens are 204 pens, of which every fifth is given away; 163 are sold. "
_CHARACTERS_PER_TOKEN = 4

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Method:
    """A remote method as a handle offers it: `.remote(...)`, after `.options(...)` or not."""

    remote: Callable[..., object]

    def options(self, **_: object) -> "Method":
        return self


@dataclass(kw_only=True)
class Responses:
    """What policy and pivot answer: ready-made bytes, new ones for every version of the weights."""

    num_samples: int  # of a request
    mean_tokens: int  # half as many to half as many more
    version: int = 0  # that the workers serve
    _packed: dict[tuple[int, int], bytes] = field(default_factory=dict)  # by version and variant

    def answer(self, request: SamplingRequest) -> tuple[Rollout, ...]:
        """A new copy, as a message brings one."""
        key = (self.version, request.seeds[0] % _VARIANTS)
        if key not in self._packed:
            self._packed = {known: packed for known, packed in self._packed.items() if known[0] == self.version}
            self._packed[key] = pickle.dumps(self._group(*key), _PROTOCOL)
        return pickle.loads(self._packed[key])

    def _group(self, version: int, variant: int) -> tuple[Rollout, ...]:
        random = Random(variant)
        return tuple(self._rollout(version, random) for _ in range(self.num_samples))

    def _rollout(self, version: int, random: Random) -> Rollout:
        num_tokens = random.randint(self.mean_tokens // 2, self.mean_tokens + self.mean_tokens // 2)
        num_characters = _CHARACTERS_PER_TOKEN * num_tokens
        return Rollout(
            token_ids=tuple(random.randrange(1, 150_000) for _ in range(num_tokens)),
            logprobs=tuple(-random.random() for _ in range(num_tokens)),
            text=(_TEXT * (1 + num_characters // len(_TEXT)))[:num_characters] + "\nThe answer is 163.",
            finish_reason="stop",
            token_versions=(version,) * num_tokens,
        )


class _Worker:
    """What every worker answers."""

    @property
    def process(self) -> Method:
        return Method(self._process)

    @property
    def ready(self) -> Method:
        return Method(self._process)

    @property
    def heartbeat(self) -> Method:
        return Method(self._beat)

    async def _process(self) -> ProcessInfo:
        return this_process()

    async def _beat(self) -> None:
        await asyncio.sleep(MOMENT_S)


@dataclass(eq=False)
class SimulatedGenerator(_Worker):
    """A policy worker or one of the pivot: all groups of a message are finished together."""

    responses: Responses

    @property
    def sample(self) -> Method:
        return Method(self._sample)

    def _sample(self, requests: list[SamplingRequest]) -> AsyncIterator[Awaitable[object]]:
        _sent(requests)
        return self._stream(requests)

    async def _stream(self, requests: list[SamplingRequest]) -> AsyncIterator[Awaitable[object]]:
        await asyncio.sleep(MOMENT_S)
        for request in requests:
            yield self._answer(request)

    async def _answer(self, request: SamplingRequest) -> tuple[str, tuple[Rollout, ...]]:
        return request.request_id, self.responses.answer(request)


@dataclass(eq=False)
class SimulatedScorer(_Worker):
    """Scores that differ inside a group, with all parts and gates that the semantic reward records."""

    num_groups: int = 0
    _packed: dict[int, bytes] = field(default_factory=dict)  # scores by number of responses

    @property
    def score(self) -> Method:
        return Method(self._score)

    @property
    def stats(self) -> Method:
        return Method(self._stats)

    def _score(self, request: ScoreRequest, *, within_s: float) -> Awaitable[tuple[Score, ...]]:
        _sent((request, within_s))
        return self._answer(len(request.responses))

    async def _answer(self, num: int) -> tuple[Score, ...]:
        await asyncio.sleep(MOMENT_S)
        self.num_groups += 1
        if num not in self._packed:
            self._packed[num] = pickle.dumps(tuple(_a_score(index / num) for index in range(num)), _PROTOCOL)
        return pickle.loads(self._packed[num])

    async def _stats(self) -> dict[str, float]:
        return {
            "groups": float(self.num_groups),
            "texts": float(self.num_groups),
            "batches": float(self.num_groups),
            "encoded": float(self.num_groups),
            "busy_s": MOMENT_S * self.num_groups,
            "latency_s": MOMENT_S * self.num_groups,
            "queue_depth": 0.0,
            "queue_depth_max": 1.0,
        }


@dataclass(eq=False)
class SimulatedRank(_Worker):
    """A rank of the learner that takes its rows and learns nothing."""

    responses: Responses  # of the policy workers, which serve what was pushed
    stepped: Callable[[], None]  # told of every optimiser step

    @property
    def address(self) -> Method:
        return Method(self._address)

    @property
    def setup(self) -> Method:
        return Method(self._setup)

    @property
    def step(self) -> Method:
        return Method(self._step)

    @property
    def push(self) -> Method:
        return Method(self._push)

    async def _address(self) -> tuple[str, int]:
        return "here", 1

    async def _setup(self, arguments: object, *, master: tuple[str, int]) -> None:
        pass

    def _step(self, rows: tuple[PackedRow, ...], num_loss_tokens: int, num_sequences: int) -> Awaitable[StepResult]:
        _sent(rows)
        self.stepped()
        return self._later(StepResult(metrics={"policy/loss": 0.5}, num_tokens=num_loss_tokens, seconds=MOMENT_S))

    def _push(self, order: PushOrder, workers: dict[str, RemoteActor]) -> Awaitable[PushOutcome]:
        _sent(order)
        self.responses.version = order.policy_version
        return self._later(PushOutcome(taken=tuple(workers), missed={}, dead=frozenset(), num_tensors=1, num_bytes=1))

    async def _later(self, answer: Answer) -> Answer:
        await asyncio.sleep(MOMENT_S)
        return answer


def _sent(message: object) -> None:
    """A message on its way to another process."""
    pickle.dumps(message, _PROTOCOL)


def _a_score(answer: float) -> Score:
    return Score(
        reward=0.7 * answer + 0.15,
        parts={"answer": answer, "reasoning": 0.4, "numbers": 0.6},
        gates={"language": True, "answer_language": True, "format": True, "repetition": True, "length": True},
        answer="163",
    )
