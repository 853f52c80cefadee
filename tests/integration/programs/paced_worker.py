"""A Ray actor that is an engine worker but for the model: its steps take a few milliseconds and draw no real token."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Future

import ray

from actors.engine import Outcome as Answer
from actors.engine import as_they_finish
from actors.generation.step_loop import Outcome, Request, StepLoop
from actors.remote.process import ProcessInfo, this_process
from actors.remote.progress import Progress
from contracts.rollouts import Rollout, SamplingRequest
from tests.builders import a_rollout

STEP_S = 0.005


class PacedDecoder:
    """Draw a token of every sample each step; a response names the process."""

    version = 0
    is_paused = False
    is_broken = False

    def __init__(self) -> None:
        self._left: dict[str, int] = {}  # tokens to draw, by sample

    def add(self, sample_id: str, request: Request, *, index: int) -> None:
        assert isinstance(request, SamplingRequest)
        self._left[sample_id] = request.max_tokens

    def step(self) -> list[tuple[str, Outcome | Exception]]:
        time.sleep(STEP_S)
        self._left = {name: left - 1 for name, left in self._left.items()}
        finished = [name for name, left in self._left.items() if left == 0]
        for name in finished:
            del self._left[name]
        return [(name, a_rollout(str(this_process().pid))) for name in finished]

    def drain(self) -> list[tuple[str, Outcome | Exception]]:
        return []

    def abort(self, sample_ids: list[str]) -> None:
        for name in sample_ids:
            self._left.pop(name, None)

    def interrupt(self) -> bool:
        return True

    def close(self) -> None:
        self._left.clear()


class PacedEngine:
    """Take samplings as a generation engine does."""

    def __init__(self, loop: StepLoop[PacedDecoder]) -> None:
        self._loop = loop

    def submit_all(self, requests: Sequence[SamplingRequest]) -> "list[Future[tuple[Rollout, ...]]]":
        return self._loop.submit(requests)


@ray.remote
class PacedWorker:
    """Forward calls to a step loop, as an engine worker does."""

    async def process(self) -> ProcessInfo:
        return this_process()

    async def ready(self) -> ProcessInfo:
        self._loop = StepLoop(PacedDecoder, name="paced-steps")
        return this_process()

    async def heartbeat(self) -> Progress:
        return await asyncio.wrap_future(self._loop.progress())

    async def sample(self, requests: list[SamplingRequest]) -> AsyncIterator[tuple[str, Answer]]:
        async for answer in as_they_finish(PacedEngine(self._loop), requests):
            yield answer
