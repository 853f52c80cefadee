"""Put policy workers and learner ranks that share GPUs behind the driver's ports: every call waits for its turn."""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from actors.fleets.policy import PolicyPool
from actors.fleets.turns import Turns
from actors.fleets.worker import Worker
from actors.remote.calls import ProcessLost, Unreachable, WorkerRaised, answer
from actors.remote.process import RemoteActor
from contracts.batches import PushResult, StepResult, TokenMeasures, TrainBatch
from contracts.errors import LearnerLost
from contracts.ports import AnswerLikelihood, Generator, Learner
from contracts.rollouts import AnswerProbabilityRequest, Rollout, SamplingRequest
from contracts.sealed_folder import FileSum


class Engines(Generator, AnswerLikelihood, Protocol):
    """The policy's engines, as the driver asks them."""


class ColocatedPolicy:
    """Sample and evaluate answers in the policy's turn."""

    def __init__(self, pool: Engines, turns: Turns) -> None:
        self._pool = pool
        self._turns = turns

    async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
        """Return one rollout per seed. Raises what the engines raise."""
        async with self._turns.sampling():
            return await self._pool.sample(request)

    async def answer_probabilities(self, request: AnswerProbabilityRequest) -> tuple[float, ...]:
        """Return [N] one value per prompt. Raises what the engines raise."""
        async with self._turns.sampling():
            return await self._pool.answer_probabilities(request)


class ColocatedLearner:
    """Learn in the learner's turn."""

    def __init__(self, ranks: Learner, turns: Turns) -> None:
        self._ranks = ranks
        self._turns = turns

    async def measure(self, batch: TrainBatch) -> tuple[TokenMeasures, ...]:
        """Return [num_sequences] the models' measures of each sequence."""
        return await self._turns.learning(lambda: self._ranks.measure(batch))

    async def step(self, batch: TrainBatch) -> StepResult:
        """Take one optimizer step on all ranks."""
        return await self._turns.learning(lambda: self._ranks.step(batch))

    async def push_weights(self, policy_version: int) -> PushResult:
        """Send the current weights to every policy worker; then it is the policy's turn."""
        return await self._turns.pushing(lambda: self._ranks.push_weights(policy_version))

    async def until_lost(self) -> LearnerLost:
        """Wait until a call finds a rank lost, and return the error."""
        return await self._ranks.until_lost()

    async def save(self, folder: str, *, policy: str) -> None:
        """Write a checkpoint and the policy into empty folders. Samples that run wait, and go on afterwards.

        The learner gives up its memory only when the files are written, so nothing is left for `saved` to wait for.
        """
        await self._turns.interrupting(lambda: self._ranks.save(folder, policy=policy))

    async def saved(self) -> Mapping[str, FileSum]:
        """Return the checksums of the large files. Raises CheckpointFailed if one could not be written."""
        return await self._ranks.saved()

    async def load(self, folder: str) -> None:
        """Load what `save` wrote."""
        await self._turns.learning(lambda: self._ranks.load(folder))

    async def export(self, folder: str) -> Mapping[str, FileSum]:
        """Write the current weights as a Hugging Face folder, and return the checksums of its weight files."""
        return await self._turns.learning(lambda: self._ranks.export(folder))


class SleepingWorkers:
    """Have all policy workers sleep and wake. A worker that can't is replaced: it may still hold its memory."""

    def __init__(self, pool: PolicyPool) -> None:
        self._supervisor = pool.supervisor
        self.lacks_weights = False

    async def sleep(self) -> None:
        """Have every loaded worker give up its GPU memory."""
        kept = await self._ask("give up its GPU", {w: w.handle.sleep.remote() for w in self._supervisor.loaded()})
        self.lacks_weights = self.lacks_weights or not all(kept)

    async def wake_weights(self) -> None:
        """Have every loaded worker take memory for its weights."""
        await self._ask("take back its weights", {w: w.handle.wake_weights.remote() for w in self._supervisor.loaded()})

    async def wake_cache(self) -> None:
        """Have every loaded worker take memory for its cache."""
        await self._ask("take back its cache", {w: w.handle.wake_cache.remote() for w in self._supervisor.loaded()})
        self.lacks_weights = False

    async def _ask(self, what: str, calls: Mapping[Worker, "asyncio.Future[bool]"]) -> list[bool]:
        """Return the answers of those that answered."""

        async def ask(worker: Worker, handle: RemoteActor, call: "asyncio.Future[bool]") -> list[bool]:
            try:
                return [await answer(call)]
            except (Unreachable, ProcessLost, WorkerRaised) as failure:
                self._supervisor.mark_dead(worker, f"could not {what}: {failure}", handle=handle)
                return []

        answered = await asyncio.gather(*(ask(worker, worker.handle, call) for worker, call in calls.items()))
        return [value for values in answered for value in values]


class LendingWorkers:
    """Be the policy's fleet for a weight push: where no worker is left, new ones load while the learner sleeps."""

    def __init__(self, pool: PolicyPool, turns: Turns) -> None:
        self._pool = pool
        self._turns = turns

    def receivers(self) -> Mapping[str, RemoteActor]:
        """Return all workers that are loaded and alive, by name."""
        return self._pool.receivers()

    def sending(self, names: Iterable[str]) -> AbstractContextManager[None]:
        """Return a context in which these workers may be silent, because weights are sent to them."""
        return self._pool.sending(names)

    def received(self, names: Iterable[str], policy_version: int) -> None:
        """Note that these workers serve that version now."""
        self._pool.received(names, policy_version)

    def missed(self, name: str, why: str) -> None:
        """Note that a worker missed a push."""
        self._pool.missed(name, why)

    async def wait_receivers(self) -> None:
        """Wait until there is a receiver. Raises as `PolicyPool.wait_receivers`."""
        await self._turns.lending(self._pool.wait_receivers)
