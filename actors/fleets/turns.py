"""Let policy workers and learner ranks use the same GPUs in turns.

    the policy's turn    weights and cache of the engines are on the GPUs, the learner's states are in host memory
    the learner's turn   its states are on the GPUs, and the engines hold neither weights nor cache there
    a weight push        the learner's states, and the engines' weights without their cache: weights pass on the GPU

One side has given up its memory before the other takes it. Must not import Ray: both sides are ports.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Literal, Protocol, TypeVar

Result = TypeVar("Result")

Turn = Literal["policy", "learner"]


class SleepingPolicy(Protocol):
    """All policy workers, as one side of the turns. A worker that fails is the fleet's matter and raises nothing."""

    @property
    def lacks_weights(self) -> bool:
        """Return whether a worker gave up its weights without a copy: it must be sent them before it can sample."""
        ...

    async def sleep(self) -> None:
        """Give up the GPUs' memory, all or what is left of it. Samples that run go on after `wake_cache`."""
        ...

    async def wake_weights(self) -> None:
        """Take memory for the weights, which can be updated then."""
        ...

    async def wake_cache(self) -> None:
        """Take memory for the cache, and go on sampling."""
        ...


class SleepingLearner(Protocol):
    """All learner ranks, as the other side."""

    async def sleep(self) -> None:
        """Move all states to host memory.

        Raises:
            LearnerLost: a rank was lost.
        """
        ...

    async def wake(self) -> None:
        """Move all states back to the GPUs. Raises as `sleep`."""
        ...


class Turns:
    """Change turns. It is the policy's turn at first, with no learner loaded."""

    def __init__(
        self, policy: SleepingPolicy, learner: SleepingLearner, *, send_again: Callable[[], Awaitable[object]]
    ) -> None:
        """Take both sides; `send_again` sends the current weights to all policy workers, under their version."""
        self._policy = policy
        self._learner = learner
        self._send_again = send_again
        self._turn: Turn = "policy"
        self._lock = asyncio.Lock()
        self._num_sampling = 0
        self._idle = asyncio.Event()  # no sample runs
        self._idle.set()
        self._num_loading = 0  # policy workers that load their model
        self._may_load = asyncio.Event()
        self._may_load.set()
        self._loaded = asyncio.Event()
        self._loaded.set()

    @asynccontextmanager
    async def sampling(self) -> AsyncIterator[None]:
        """Let a sample run in the policy's turn, which comes after the learner's work."""
        async with self._lock:
            if self._turn == "learner":
                await self._to_policy()
            self._num_sampling += 1
            self._idle.clear()
        try:
            yield
        finally:
            self._num_sampling -= 1
            if self._num_sampling == 0:
                self._idle.set()

    async def learning(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Return the result of the learner's work, which is done in its turn: when no sample runs any more."""
        async with self._lock:
            if self._turn == "policy":
                await self._idle.wait()
            await self._to_learner()
            return await work()

    async def interrupting(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Return the result of the learner's work, and give the turn back if it was the policy's: samples may run."""
        async with self._lock:
            was_sampling = self._turn == "policy"
            await self._to_learner()
            result = await work()
            if was_sampling:
                await self._to_policy()
            return result

    async def pushing(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Return the result of a weight push. The policy's turn follows, unless the learner was lost."""
        async with self._lock:
            await self._to_learner()
            return await self._push(work)

    async def bringing_up(self, work: Callable[[], Awaitable[object]]) -> None:
        """Send the current weights to workers that lack them, which `work` does. The policy's turn follows."""
        async with self._lock:
            await self._to_learner()
            await self._push(self._send_again if self._policy.lacks_weights else work)

    async def restarting(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Return the result of loading the learner anew: its old processes have ended. The learner's turn follows."""
        async with self._lock:
            await self._end_sampling()  # also where a push was broken off, and weights are on the GPUs
            return await work()

    @asynccontextmanager
    async def loading(self) -> AsyncIterator[None]:
        """Let a policy worker load its model, which needs the memory that the learner has in its turn."""
        while not self._may_load.is_set():  # it may be cleared again before this task gets its turn
            await self._may_load.wait()
        self._num_loading += 1
        self._loaded.clear()
        try:
            yield
        finally:
            self._num_loading -= 1
            if self._num_loading == 0:
                self._loaded.set()

    async def lending(self, wait: Callable[[], Awaitable[None]]) -> None:
        """Give the policy the GPUs within a push while `wait` lasts: no worker is left, and new ones must load."""
        await self._learner.sleep()
        self._may_load.set()
        try:
            await wait()
        finally:
            await self._end_sampling()
        await self._learner.wake()
        await self._policy.wake_weights()

    async def _to_learner(self) -> None:
        if self._turn == "policy":
            await self._end_sampling()
            await self._learner.wake()

    async def _to_policy(self) -> None:
        if self._policy.lacks_weights:
            await self._push(self._send_again)
        else:
            await self._learner.sleep()
            await self._policy.wake_weights()
            await self._begin_sampling()

    async def _end_sampling(self) -> None:
        self._may_load.clear()
        await self._loaded.wait()
        await self._policy.sleep()
        self._turn = "learner"

    async def _push(self, work: Callable[[], Awaitable[Result]]) -> Result:
        await self._policy.wake_weights()
        result = await work()
        await self._learner.sleep()
        await self._begin_sampling()
        return result

    async def _begin_sampling(self) -> None:
        await self._policy.wake_cache()
        self._turn = "policy"
        self._may_load.set()
