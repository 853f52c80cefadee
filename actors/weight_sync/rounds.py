"""Who is sent the weights, and again: a push as the driver sees it, attempt by attempt.

Owns what is done about a worker that missed a push, which workers hold the version that was pushed last, and when a
transfer group must be built anew. Knows no Ray and no tensors: the ranks are a function, the fleet a Protocol.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from actors.remote.process import RemoteActor
from actors.weight_sync.sender import PushOutcome
from contracts.batches import PushResult
from contracts.errors import FleetLost

MAX_ATTEMPTS = 6  # at one push: three rounds of workers that miss it, are asked again, and are replaced
NUM_CHANCES = 2  # that a worker has in a push

Workers: TypeAlias = Mapping[str, RemoteActor]
Send: TypeAlias = Callable[[int, Workers], Awaitable[PushOutcome]]
"""One attempt by all ranks: the version, and whom to send it to."""


class PolicyWorkers(Protocol):
    """What a push must know of the policy's fleet, and the fleet of it."""

    def receivers(self) -> Workers:
        """All that are loaded and live, by name, whatever weights they hold."""
        ...

    def received(self, names: Iterable[str], policy_version: int) -> None:
        """These serve that version now."""
        ...

    def missed(self, name: str, why: str) -> None:
        """It did not take a push; the second time in a row the fleet replaces it."""
        ...

    async def wait_receivers(self) -> None:
        """Until there is a receiver.

        Raises:
            FleetLost: there will be none.
        """
        ...


class Membership:
    """Whom a transfer group (nccl) was built for: it can't be changed, nor used again after a failure."""

    def __init__(self) -> None:
        self._members: Workers | None = None

    def fits(self, workers: Workers) -> bool:
        return self._members == dict(workers)

    def built(self, workers: Workers) -> None:
        self._members = dict(workers)

    def broken(self) -> None:
        self._members = None


@dataclass(kw_only=True)
class _Tally:
    """What one push has come to so far."""

    attempts: int = 0
    num_tensors: int = 0
    num_bytes: int = 0
    missed: dict[str, str] = field(default_factory=dict)  # why it last did, by name

    def add(self, outcome: PushOutcome) -> None:
        self.attempts += 1
        self.num_tensors, self.num_bytes = outcome.num_tensors, outcome.num_bytes
        self.missed |= outcome.missed


class PushRounds:
    """Pushes to a fleet whose workers come and go meanwhile."""

    def __init__(self, policy: PolicyWorkers, send: Send) -> None:
        self._policy = policy
        self._send = send
        self._holders: dict[str, RemoteActor] = {}  # of the version that was pushed last

    async def push(self, policy_version: int) -> PushResult:
        """To all workers. One that misses is asked once more, alone; the push is done when the others have it.

        Raises:
            FleetLost: no worker took it, and there are none left or all attempts are used up.
        """
        started = time.monotonic()
        self._holders = {}
        tally = _Tally()
        while not self._holders:
            if tally.attempts >= MAX_ATTEMPTS:
                raise FleetLost(_nobody(policy_version, tally))
            if not self._policy.receivers():
                await self._policy.wait_receivers()
            await self._to(self._policy.receivers(), policy_version, tally)
        return PushResult(
            policy_version=policy_version,
            num_tensors=tally.num_tensors,
            num_bytes=tally.num_bytes,
            seconds=time.monotonic() - started,
            num_workers=len(self._holders),
            missed=tuple(tally.missed),
            attempts=tally.attempts,
        )

    async def bring_up(self, policy_version: int) -> None:
        """The version that was pushed last, to the workers that do not hold it. None may be left without.

        Of those that hold it the fleet is told once more: it may have heard, too late, of the time before.
        """
        present = self._policy.receivers()
        holding = {name: worker for name, worker in present.items() if self._holders.get(name) == worker}
        self._policy.received(tuple(holding), policy_version)
        behind = {name: worker for name, worker in present.items() if name not in holding}
        await self._to(behind, policy_version, _Tally())

    async def _to(self, workers: Workers, policy_version: int, tally: _Tally) -> None:
        """To these, and again to those that missed it, until each has it, was replaced or is gone."""
        misses: Counter[str] = Counter()
        while workers and tally.attempts < MAX_ATTEMPTS:
            outcome = await self._send(policy_version, workers)
            tally.add(outcome)
            self._note(outcome, workers, policy_version, misses)
            present = self._policy.receivers()
            workers = {
                name: present[name]
                for name in workers
                if name in present and self._holders.get(name) != present[name] and misses[name] < NUM_CHANCES
            }

    def _note(self, outcome: PushOutcome, workers: Workers, policy_version: int, misses: Counter[str]) -> None:
        """Tell the fleet. A worker that was replaced during the attempt is neither praised nor blamed for it."""
        present = self._policy.receivers()
        is_same = {name: present.get(name) == worker for name, worker in workers.items()}
        held = {name: workers[name] for name in outcome.taken if is_same[name]}
        self._holders |= held
        self._policy.received(tuple(held), policy_version)
        for name, why in outcome.missed.items():
            if not is_same[name]:
                continue
            # To a process that has ended nothing is sent a second time: the ranks would gather for nobody.
            chances = NUM_CHANCES if name in outcome.gone else 1
            misses[name] += chances
            for _ in range(chances):
                self._policy.missed(name, why)


def _nobody(policy_version: int, tally: _Tally) -> str:
    why = "; ".join(f"{name} {reason}" for name, reason in tally.missed.items())
    return (
        f"no policy worker took the weights of version {policy_version} in {tally.attempts} attempts: "
        f"{why or 'none was there to take them'}; their logs say more"
    )
