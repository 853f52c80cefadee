"""Put all learner ranks behind the driver's `Learner` port, as one learner that works or is lost.

Every call goes to all ranks at once, because they meet in collectives, and there is one call at a time. When one rank
dies, is silent or raises, the learner is lost: every call is refused until other ranks were put in and set up.
"""

import asyncio
import itertools
import logging
import secrets
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import TypeVar

from actors.fleets.rank_calls import RankLost, all_answers
from actors.fleets.readings import ActorReading
from actors.learner import RankArguments
from actors.learning.background_files import Sums
from actors.remote.process import RemoteActor
from actors.remote.progress import Progress
from actors.weight_sync.rounds import PolicyWorkers, PushRounds, TransferGroup, Workers
from actors.weight_sync.sender import PushOrder, PushOutcome
from contracts.batches import PackedRow, PushResult, StepResult, TokenMeasures, TrainBatch
from contracts.config.workers import FleetConfig
from contracts.errors import CheckpointFailed, LearnerLost

Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


class LearnerRanks:
    """Hold the ranks of one run, whatever processes they run in.

    Every method raises LearnerLost (`key` is the rank, or "learner") if a rank died, was silent for fleet.dead_after_s
    or raised, or if the ranks took longer than learner.timeout_s. From then on every method raises it at once, until
    `exchange` and `setup`.
    """

    def __init__(
        self, ranks: Sequence[RemoteActor], *, timeout_s: float, rules: FleetConfig, policy: PolicyWorkers | None
    ) -> None:
        """Prepare the calls to `ranks`; `policy` are the workers that take the weights (None if there are none)."""
        self.ranks = tuple(ranks)
        self._timeout_s = timeout_s
        self._rules = rules
        self._lock = asyncio.Lock()
        self._arguments: RankArguments | None = None
        self._why_lost = ""  # empty: not lost
        self._lost_rank = "learner"  # or a rank, if one was found lost
        self._was_lost = asyncio.Event()
        self._transfer_group = TransferGroup()
        self._attempts = itertools.count(1)
        self._last_version: int | None = None  # of the newest push that was begun
        self._version_of_now: int | None = None  # under which the current weights were sent; None: they were not sent
        self._num_exchanges = 0
        self._progress: dict[str, Progress] = {}  # of the current processes, by name, as they said last
        self.policy = policy

    @property
    def policy(self) -> PolicyWorkers | None:
        """Return the workers that take the weights; None if there are none. It may be set later."""
        return self._policy

    @policy.setter
    def policy(self, policy: PolicyWorkers | None) -> None:
        self._policy = policy
        self._rounds = PushRounds(policy, self._send) if policy is not None else None

    @property
    def is_lost(self) -> bool:
        return bool(self._why_lost)

    async def until_lost(self) -> LearnerLost:
        """Wait until a call finds a rank lost, and return the error. Calls of `bring_up` count, which raise nothing."""
        await self._was_lost.wait()
        return LearnerLost(f"the learner is lost: {self._why_lost}", key=self._lost_rank)

    def exchange(self, ranks: Sequence[RemoteActor]) -> None:
        """Put new processes, which are not set up yet, in the place of lost ones."""
        self.ranks = tuple(ranks)
        self._num_exchanges += 1
        self._progress = {}
        self._why_lost, self._lost_rank = "its ranks were started again and have not loaded yet", "learner"
        self._transfer_group.mark_broken()

    def by_name(self) -> dict[str, RemoteActor]:
        """Return the ranks by their names."""
        return {f"learner-{index}": rank for index, rank in enumerate(self.ranks)}

    def note_progress(self, name: str, progress: Progress) -> None:
        """Take in what a rank has done until now."""
        self._progress[name] = progress

    def readings(self) -> list[ActorReading]:
        """Return how all ranks stand, as far as is known here: nobody is asked."""
        return [
            ActorReading(
                name=name,
                role="learner",
                is_serving=not self.is_lost,
                num_restarts=max(0, self._num_exchanges - 1),
                progress=self._progress.get(name),
            )
            for name in self.by_name()
        ]

    async def setup(self, arguments: RankArguments) -> None:
        """Have all ranks load the model and meet each other: the first time, or after `exchange`.

        Raises:
            BadInput: a rank can't use the model or the settings.
        """
        async with self._lock:
            self._arguments, self._version_of_now = arguments, None
            meeting = str(Path(arguments.meetings) / secrets.token_hex(16))  # new each time: an old file has old keys
            calls = [rank.setup.remote(arguments, meeting=meeting) for rank in self.ranks]
            await self._ask("load the model", calls)
            self._why_lost = ""
            self._was_lost.clear()

    async def measure(self, batch: TrainBatch) -> tuple[TokenMeasures, ...]:
        """Return [num_sequences] measures by the current weights, in the order of the sequences."""
        async with self._lock:
            self._refuse_if_lost()
            calls = [rank.measure.remote(rows) for rank, rows in self._dealt(batch)]
            answers = await self._ask("measure a batch", calls)
        by_sequence = dict(pair for pairs in answers for pair in pairs)
        return tuple(by_sequence[sequence] for sequence in range(batch.num_sequences))

    async def step(self, batch: TrainBatch) -> StepResult:
        """Take one optimizer step on all ranks."""
        async with self._lock:
            self._refuse_if_lost()
            before, self._version_of_now = self._version_of_now, None  # also if the caller leaves during the step
            calls = [
                rank.step.remote(rows, batch.num_loss_tokens, batch.num_sequences) for rank, rows in self._dealt(batch)
            ]
            result = (await self._ask("take a step", calls))[0]
            if result.is_skipped:
                self._version_of_now = before
            return result

    async def push_weights(self, policy_version: int) -> PushResult:
        """Send the current weights to every policy worker, under this version. Return when all that can have them.

        Raises:
            ValueError: the version is below the last one, or the same for other weights.
            FleetLost: no policy worker took it.
        """
        async with self._lock:
            self._refuse_if_lost()
            self._check_version(policy_version)
            self._last_version = self._version_of_now = policy_version
            if self._rounds is None:  # a run that imitates references and evaluates nothing
                return PushResult(policy_version=policy_version, num_tensors=0, num_bytes=0, seconds=0.0, num_workers=0)
            return await self._rounds.push(policy_version)

    async def bring_up(self) -> None:
        """Send the current version to policy workers that lack it, if the weights are still those of that version.

        Otherwise do nothing: the next push will reach them. A lost learner is not raised here but at the next other
        call.
        """
        async with self._lock:
            if self.is_lost or self._version_of_now is None or self._rounds is None:
                return
            try:
                await self._rounds.update_stale(self._version_of_now)
            except LearnerLost as failure:
                logger.warning("policy workers did not receive the current weights: %s", failure)

    async def push_again(self) -> None:
        """Send the current weights to every policy worker under the version that they have, whatever it holds."""
        async with self._lock:
            self._refuse_if_lost()
            if self._version_of_now is not None and self._rounds is not None:
                await self._rounds.push(self._version_of_now)

    async def sleep(self) -> None:
        """Move the states of all ranks to host memory: policy workers use their GPUs."""
        async with self._lock:
            self._refuse_if_lost()
            await self._ask("give up the GPUs", [rank.sleep.remote() for rank in self.ranks])

    async def wake(self) -> None:
        """Move the states of all ranks back to their GPUs."""
        async with self._lock:
            self._refuse_if_lost()
            await self._ask("take the GPUs back", [rank.wake.remote() for rank in self.ranks])

    async def checksums(self) -> dict[str, str]:
        """Return the checksum of every full weight, by name."""
        async with self._lock:
            self._refuse_if_lost()
            return (await self._ask("checksum weights", [rank.checksums.remote() for rank in self.ranks]))[0]

    async def save(self, folder: str, *, policy: str) -> None:
        """Begin to write a checkpoint into empty folders; the ranks go on when this returns, and `saved` ends it."""
        async with self._lock:
            self._refuse_if_lost()
            await self._ask("begin a checkpoint", [rank.save.remote(folder, policy) for rank in self.ranks])

    async def saved(self) -> Sums:
        """Wait until all ranks have written what `save` began, also while they are asked for other things.

        Raises:
            CheckpointFailed: a file could not be written; the learner is not lost, and no rank writes any more.
        """
        self._refuse_if_lost()
        written = await self._ask("write a checkpoint", [rank.saved.remote() for rank in self.ranks])
        failures = [f"{files.failure} (rank {rank})" for rank, files in enumerate(written) if files.failure]
        if failures:
            raise CheckpointFailed("; ".join(failures))
        return {path: found for files in written for path, found in files.sums.items()}

    async def load(self, folder: str) -> None:
        """Load what `save` wrote."""
        async with self._lock:
            self._refuse_if_lost()
            self._version_of_now = None
            await self._ask("load a checkpoint", [rank.load.remote(folder) for rank in self.ranks])

    async def export(self, folder: str) -> Sums:
        """Write the current weights as a Hugging Face folder, and return the sums of its weight files."""
        async with self._lock:
            self._refuse_if_lost()
            return (await self._ask("export the model", [rank.export.remote(folder) for rank in self.ranks]))[0]

    async def _send(self, policy_version: int, workers: Workers) -> PushOutcome:
        """Make one attempt with all ranks."""
        order = PushOrder(
            policy_version=policy_version,
            update=(policy_version, next(self._attempts)),
            names=tuple(workers),
            is_new_group=self._needs_group(workers),
        )
        self._transfer_group.mark_broken()  # until the attempt is known to have worked
        outcome = (await self._ask("push weights", [rank.push.remote(order, dict(workers)) for rank in self.ranks]))[0]
        if set(outcome.taken) == set(workers):
            self._transfer_group.mark_built(workers)
        return outcome

    def _dealt(self, batch: TrainBatch) -> list[tuple[RemoteActor, tuple[PackedRow, ...]]]:
        """Return each rank with its rows. Neighbours that split rows (learner.sequence_parallel_size) get the same."""
        num_sharing = len(self.ranks) // len(batch.rows)
        rows = [share for share in batch.rows for _ in range(num_sharing)]
        return list(zip(self.ranks, rows, strict=True))

    def _needs_group(self, workers: Workers) -> bool:
        """Return whether rank 0 and these workers must build a transfer group first."""
        assert self._arguments is not None
        return self._arguments.weight_backend == "nccl" and not self._transfer_group.is_for(workers)

    def _check_version(self, policy_version: int) -> None:
        last = self._last_version
        if last is None or policy_version > last:
            return
        if policy_version < last:
            raise ValueError(f"version {policy_version} can't be pushed after version {last}: versions only go up")
        if self._version_of_now != policy_version:
            raise ValueError(f"version {policy_version} was pushed with other weights; take the next version")

    def _refuse_if_lost(self) -> None:
        if self._why_lost:
            raise LearnerLost(f"the learner is lost and must be started again: {self._why_lost}", key=self._lost_rank)

    async def _ask(self, what: str, calls: "Sequence[Awaitable[Answer]]") -> list[Answer]:
        """Return the answers of as many ranks as there are calls, from the first."""
        ranks = self.by_name()
        try:
            return await all_answers(
                ranks,
                dict(zip(ranks, calls, strict=False)),
                rules=self._rules,
                timeout_s=self._timeout_s,
            )
        except RankLost as failure:
            self._why_lost = f"it could not {what}: {failure}"
            self._lost_rank = failure.rank or "learner"
            self._was_lost.set()
            raise LearnerLost(f"the learner could not {what}: {failure}", key=self._lost_rank) from failure
