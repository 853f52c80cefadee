"""All learner ranks behind the driver's `Learner` port, as one that works or is lost.

Owns who is called when: every call goes to all ranks at once, because they meet in collectives, and one call at a time.
One rank's death, silence or exception is the group's: from then on every call is refused until other ranks were put in
and set up. Knows neither Ray nor what ranks compute; watching a call is actors/fleets/rank_calls.py, who is sent
weights again actors/weight_sync/rounds.py.
"""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from actors.fleets.rank_calls import RankLost, all_answers
from actors.learner import RankArguments
from actors.remote.process import RemoteActor
from actors.weight_sync.rounds import PolicyWorkers, PushRounds, TransferGroup, Workers
from actors.weight_sync.sender import PushOrder, PushOutcome
from contracts.batches import PushResult, StepResult, TokenMeasures, TrainBatch
from contracts.config.fleet import FleetConfig
from contracts.errors import LearnerLost

Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


class LearnerRanks:
    """The ranks of one run, in whatever processes they live at the moment.

    Every method raises LearnerLost where a rank died, was silent for fleet.dead_after_s or raised, or all ranks took
    longer than learner.timeout_s; and from then on at once, until `exchange` and `setup`.
    """

    def __init__(
        self, ranks: Sequence[RemoteActor], *, timeout_s: float, rules: FleetConfig, policy: PolicyWorkers | None
    ) -> None:
        """`policy`: who takes the weights; None where nobody does. May be set later."""
        self.ranks = tuple(ranks)
        self._timeout_s = timeout_s
        self._rules = rules
        self._lock = asyncio.Lock()
        self._arguments: RankArguments | None = None
        self._why_lost = ""  # empty: not lost
        self._was_lost = asyncio.Event()
        self._transfer_group = TransferGroup()
        self._attempts = itertools.count(1)
        self._last_version: int | None = None  # that a push was begun for
        self._version_of_now: int | None = None  # under which the weights of now were sent; None: they never were
        self.policy = policy

    @property
    def policy(self) -> PolicyWorkers | None:
        """Who takes the weights."""
        return self._policy

    @policy.setter
    def policy(self, policy: PolicyWorkers | None) -> None:
        self._policy = policy
        self._rounds = PushRounds(policy, self._send) if policy is not None else None

    @property
    def is_lost(self) -> bool:
        return bool(self._why_lost)

    async def until_lost(self) -> LearnerLost:
        """Waits until a call finds a rank lost, also one that nobody waits for (`bring_up`)."""
        await self._was_lost.wait()
        return LearnerLost(f"the learner is lost: {self._why_lost}")

    def exchange(self, ranks: Sequence[RemoteActor]) -> None:
        """New processes, not set up yet, in the place of those that are lost."""
        self.ranks = tuple(ranks)
        self._why_lost = "its ranks were started again and have not loaded yet"
        self._transfer_group.mark_broken()

    async def setup(self, arguments: RankArguments) -> None:
        """Have all ranks load the model and meet each other; for the first time, or after `exchange`.

        Raises:
            BadInput: a rank can't use the model or the settings.
        """
        async with self._lock:
            self._arguments, self._version_of_now = arguments, None
            (master,) = await self._ask("give its address", [self.ranks[0].address.remote()])
            calls = [rank.setup.remote(arguments, master=master) for rank in self.ranks]
            await self._ask("load the model", calls)
            self._why_lost = ""
            self._was_lost.clear()

    async def measure(self, batch: TrainBatch) -> tuple[TokenMeasures, ...]:
        async with self._lock:
            self._refuse_if_lost()
            calls = [rank.measure.remote(rows) for rank, rows in zip(self.ranks, batch.rows, strict=True)]
            answers = await self._ask("measure a batch", calls)
        by_sequence = dict(pair for pairs in answers for pair in pairs)
        return tuple(by_sequence[sequence] for sequence in range(batch.num_sequences))

    async def step(self, batch: TrainBatch) -> StepResult:
        async with self._lock:
            self._refuse_if_lost()
            before, self._version_of_now = self._version_of_now, None  # also after a step that nobody waited for
            calls = [
                rank.step.remote(rows, batch.num_loss_tokens, batch.num_sequences)
                for rank, rows in zip(self.ranks, batch.rows, strict=True)
            ]
            report = (await self._ask("take a step", calls))[0]
            if report.is_skipped:
                self._version_of_now = before
            return report

    async def push_weights(self, policy_version: int) -> PushResult:
        """Send the weights of now to every policy worker, under this version. Returns when those have it that can.

        Raises:
            ValueError: the version is below the last one, or the same for other weights.
            FleetLost: no policy worker took it.
        """
        async with self._lock:
            self._refuse_if_lost()
            self._check_version(policy_version)
            self._last_version = self._version_of_now = policy_version
            if self._rounds is None:  # imitating references without an evaluation: there is nobody to push to
                return PushResult(policy_version=policy_version, num_tensors=0, num_bytes=0, seconds=0.0, num_workers=0)
            return await self._rounds.push(policy_version)

    async def bring_up(self) -> None:
        """Send the version of now to policy workers that lack it, if the weights are still those of that version.

        Otherwise nothing: the next push is about to reach them. A learner that is lost before or meanwhile is not
        raised here, but at the next call of those that need it.
        """
        async with self._lock:
            if self.is_lost or self._version_of_now is None or self._rounds is None:
                return
            try:
                await self._rounds.update_stale(self._version_of_now)
            except LearnerLost as failure:
                logger.warning("policy workers stay without weights: %s", failure)

    async def checksums(self) -> dict[str, str]:
        async with self._lock:
            self._refuse_if_lost()
            return (await self._ask("checksum weights", [rank.checksums.remote() for rank in self.ranks]))[0]

    async def save(self, folder: str) -> None:
        async with self._lock:
            self._refuse_if_lost()
            await self._ask("write a checkpoint", [rank.save.remote(folder) for rank in self.ranks])

    async def load(self, folder: str) -> None:
        async with self._lock:
            self._refuse_if_lost()
            self._version_of_now = None
            await self._ask("load a checkpoint", [rank.load.remote(folder) for rank in self.ranks])

    async def export(self, folder: str) -> None:
        async with self._lock:
            self._refuse_if_lost()
            await self._ask("export the model", [rank.export.remote(folder) for rank in self.ranks])

    async def _send(self, policy_version: int, workers: Workers) -> PushOutcome:
        """One attempt by all ranks."""
        order = PushOrder(
            policy_version=policy_version,
            update=(policy_version, next(self._attempts)),
            names=tuple(workers),
            rendezvous=await self._rendezvous(workers),
        )
        self._transfer_group.mark_broken()  # unless it is heard that the attempt went well
        outcome = (await self._ask("push weights", [rank.push.remote(order, dict(workers)) for rank in self.ranks]))[0]
        if set(outcome.taken) == set(workers):
            self._transfer_group.mark_built(workers)
        return outcome

    async def _rendezvous(self, workers: Workers) -> tuple[str, int] | None:
        """Where rank 0 and these workers are to build a transfer group, if they need one that they don't have."""
        assert self._arguments is not None
        if self._arguments.weight_backend != "nccl" or self._transfer_group.is_for(workers):
            return None
        return (await self._ask("give its address", [self.ranks[0].address.remote()]))[0]

    def _check_version(self, policy_version: int) -> None:
        last = self._last_version
        if last is None or policy_version > last:
            return
        if policy_version < last:
            raise ValueError(f"version {policy_version} can't be pushed after version {last}: versions only go up")
        if self._version_of_now != policy_version:
            raise ValueError(f"version {policy_version} was pushed with other weights than those of now; take the next")

    def _refuse_if_lost(self) -> None:
        if self._why_lost:
            raise LearnerLost(f"the learner is lost and must be started again: {self._why_lost}")

    async def _ask(self, what: str, calls: "Sequence[Awaitable[Answer]]") -> list[Answer]:
        """The answers of the first so many ranks, or of all."""
        names = [f"learner-{index}" for index in range(len(self.ranks))]
        try:
            return await all_answers(
                dict(zip(names, self.ranks, strict=True)),
                dict(zip(names, calls, strict=False)),
                rules=self._rules,
                timeout_s=self._timeout_s,
            )
        except RankLost as failure:
            self._why_lost = f"it could not {what}: {failure}"
            self._was_lost.set()
            raise LearnerLost(f"the learner could not {what}: {failure}") from failure
