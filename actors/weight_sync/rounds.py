"""Repeat the attempts of a weight push until every policy worker has the weights, was replaced, or is gone.

Keeps which workers hold the last pushed version, and when a transfer group must be built anew. The ranks are a
function and the fleet is a Protocol: no Ray and no tensors here.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from actors.remote.process import RemoteActor
from actors.weight_sync.sender import PushOutcome
from contracts.batches import PushResult
from contracts.errors import FleetLost

MAX_ATTEMPTS = 6  # of one push: three rounds of workers that miss it, are tried again, and are replaced
NUM_CHANCES = 2  # of each worker in one push

Workers: TypeAlias = Mapping[str, RemoteActor]
Send: TypeAlias = Callable[[int, Workers], Awaitable[PushOutcome]]
"""Make one attempt on all ranks: send the policy version to the workers."""


class PolicyWorkers(Protocol):
    """The policy's fleet, as a push uses it."""

    def receivers(self) -> Workers:
        """Return all workers that are loaded and alive, by name, whatever weights they hold."""
        ...

    def sending(self, names: Iterable[str]) -> AbstractContextManager[None]:
        """Return a context in which these workers may be silent, because weights are sent to them."""
        ...

    def received(self, names: Iterable[str], policy_version: int) -> None:
        """Note that these workers serve that version now."""
        ...

    def missed(self, name: str, why: str) -> None:
        """Note that a worker missed a push; after the second time in a row the fleet replaces it."""
        ...

    async def wait_receivers(self) -> None:
        """Wait until there is a receiver.

        Raises:
            FleetLost: there will never be one.
        """
        ...


class TransferGroup:
    """Keep the workers of a transfer group (nccl). A group can't be changed, nor used again after a failure."""

    def __init__(self) -> None:
        self._workers: Workers | None = None

    def is_for(self, workers: Workers) -> bool:
        """Return whether the group can be used for exactly these workers."""
        return self._workers == dict(workers)

    def mark_built(self, workers: Workers) -> None:
        """Note that the group was built for these workers, and that it works."""
        self._workers = dict(workers)

    def mark_broken(self) -> None:
        """Note that the group can't be used any more."""
        self._workers = None


@dataclass(kw_only=True)
class _Attempts:
    """Sum up the attempts of one push so far."""

    number: int = 0
    num_tensors: int = 0
    num_bytes: int = 0
    missed: dict[str, str] = field(default_factory=dict)  # name of a worker -> why it missed the last time

    def add(self, outcome: PushOutcome) -> None:
        self.number += 1
        self.num_tensors, self.num_bytes = outcome.num_tensors, outcome.num_bytes
        self.missed |= outcome.missed


class PushRounds:
    """Push to a fleet whose workers may be added and removed meanwhile."""

    def __init__(self, policy: PolicyWorkers, send: Send) -> None:
        self._policy = policy
        self._send = send
        self._holders: dict[str, RemoteActor] = {}  # the workers that hold the last pushed version

    async def push(self, policy_version: int) -> PushResult:
        """Push to all workers. A worker that misses it is tried once more, alone.

        Raises:
            FleetLost: no worker took it, and none is left or all attempts are used up.
        """
        started = time.monotonic()
        self._holders = {}
        attempts = _Attempts()
        while not self._holders:
            if attempts.number >= MAX_ATTEMPTS:
                raise FleetLost(_no_worker_message(policy_version, attempts), key="policy")
            if not self._policy.receivers():
                await self._policy.wait_receivers()
            await self._send_to(self._policy.receivers(), policy_version, attempts)
        return PushResult(
            policy_version=policy_version,
            num_tensors=attempts.num_tensors,
            num_bytes=attempts.num_bytes,
            seconds=time.monotonic() - started,
            num_workers=len(self._holders),
            missed=tuple(attempts.missed),
            attempts=attempts.number,
        )

    async def update_stale(self, policy_version: int) -> None:
        """Push the last pushed version to the workers that do not hold it.

        It also reports again to the fleet which workers hold it, because the first report may have come too late.
        """
        present = self._policy.receivers()
        holding = {name: worker for name, worker in present.items() if self._holders.get(name) == worker}
        self._policy.received(tuple(holding), policy_version)
        behind = {name: worker for name, worker in present.items() if name not in holding}
        await self._send_to(behind, policy_version, _Attempts())

    async def _send_to(self, workers: Workers, policy_version: int, attempts: _Attempts) -> None:
        """Push to these workers, and again to those that missed it, until each has it, was replaced or is gone."""
        misses: Counter[str] = Counter()
        while workers and attempts.number < MAX_ATTEMPTS:
            with self._policy.sending(workers):
                outcome = await self._send(policy_version, workers)
            attempts.add(outcome)
            self._note(outcome, workers, policy_version, misses)
            present = self._policy.receivers()
            workers = {
                name: present[name]
                for name in workers
                if name in present and self._holders.get(name) != present[name] and misses[name] < NUM_CHANCES
            }

    def _note(self, outcome: PushOutcome, workers: Workers, policy_version: int, misses: Counter[str]) -> None:
        """Report the outcome to the fleet, except for workers that were replaced during the attempt."""
        present = self._policy.receivers()
        is_same = {name: present.get(name) == worker for name, worker in workers.items()}
        held = {name: workers[name] for name in outcome.taken if is_same[name]}
        self._holders |= held
        self._policy.received(tuple(held), policy_version)
        for name, why in outcome.missed.items():
            if not is_same[name]:
                continue
            # Nothing is sent a second time to a process that has ended: the ranks would gather the weights in vain.
            chances = NUM_CHANCES if name in outcome.dead else 1
            misses[name] += chances
            for _ in range(chances):
                self._policy.missed(name, why)


def _no_worker_message(policy_version: int, attempts: _Attempts) -> str:
    why = "; ".join(f"{name} {reason}" for name, reason in attempts.missed.items())
    return (
        f"no policy worker took the weights of version {policy_version} in {attempts.number} attempts: "
        f"{why or 'no worker was alive'}; see the workers' logs"
    )
