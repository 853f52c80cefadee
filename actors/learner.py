"""Ray shells of the learner: one ZeRO-3 rank per process, and the ranks as one behind the `Learner` port.

No maths here. Owns who is called when: every call goes to all ranks at once, because they meet in collectives.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from actors.engine import Device
from actors.fleet import one_line
from actors.process import ProcessInfo, RemoteActor, this_process
from actors.weight_buckets import WeightBackend, WeightBucket, WeightManifest, learner_checksums, send_weights
from driver.errors import BadInput, CheckpointFailed, RunFailed
from driver.learning_config import AlgorithmConfig, CriticConfig, LearnerConfig
from driver.schema import PackedRow, PushReport, StepReport, TokenMeasures, TrainBatch


@dataclass(frozen=True, kw_only=True)
class RankArguments:
    """What every rank is built from."""

    learner: LearnerConfig
    algorithm: AlgorithmConfig
    critic: CriticConfig
    total_optimizer_steps: int  # of the run
    model: str
    chat_template: str  # text; empty: the tokenizer's own
    temperature: float  # that the engine samples at
    device: Device
    seed: int
    trust_remote_code: bool
    weight_backend: WeightBackend
    bucket_bytes: int
    push_timeout_s: float
    tensor_parallel_size: int  # of a policy worker


class PolicyReceivers:
    """All policy workers as a sender reaches them (weight_buckets.Receivers, weight_transfer.NcclReceivers)."""

    def __init__(self, workers: Sequence[RemoteActor], *, timeout_s: float) -> None:
        self._workers = workers
        self._timeout_s = timeout_s

    def init_transfer(self, infos: Sequence[Mapping[str, object]]) -> None:
        calls = [worker.init_weight_transfer.remote(info) for worker, info in zip(self._workers, infos, strict=True)]
        self._wait(calls, "join the weight transfer")

    def start(self, manifest: WeightManifest) -> None:
        self._wait([worker.start_weight_update.remote(manifest) for worker in self._workers], "start a weight update")

    def receive(self, bucket: WeightBucket) -> Callable[[], None]:
        shared = ray.put(bucket)  # once per node, however many workers read it
        calls = [worker.receive_bucket.remote(shared) for worker in self._workers]
        return lambda: self._wait(calls, "load a bucket of weights")

    def update(self, info: Mapping[str, object]) -> None:
        self._wait([worker.update_weights.remote(info) for worker in self._workers], "load weights")

    def finish(self, policy_version: int) -> None:
        calls = [worker.finish_weight_update.remote(policy_version) for worker in self._workers]
        self._wait(calls, f"finish the weight update to version {policy_version}")

    def abandon(self) -> None:
        self._wait([worker.abandon_weight_update.remote() for worker in self._workers], "abandon a weight update")

    def _wait(self, calls: "list[ray.ObjectRef[None]]", what: str) -> None:
        try:
            ray.get(calls, timeout=self._timeout_s)
        except GetTimeoutError as failure:
            done, _ = ray.wait(calls, num_returns=len(calls), timeout=0)
            late = ", ".join(f"policy-{index}" for index, call in enumerate(calls) if call not in done)
            raise RuntimeError(
                f"{late} did not {what} within weights.timeout_s = {self._timeout_s:g} s; see its log, or raise it"
            ) from failure


@ray.remote
class LearnerWorker:
    """One rank. `setup` is apart from `__init__`: the ranks need rank 0's address before they meet."""

    def __init__(self, rank: int) -> None:
        self._index = rank

    def process(self) -> ProcessInfo:
        return this_process()

    def address(self) -> tuple[str, int]:
        """This node's address and a free port on it, for ranks or engines to meet."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            return ray.util.get_node_ip_address(), probe.getsockname()[1]

    def setup(
        self,
        arguments: RankArguments,
        policy_workers: Sequence[RemoteActor],
        *,
        master: tuple[str, int],
        transfer: tuple[str, int],
    ) -> None:
        """Load the model's shard; `master` is where the ranks meet, `transfer` where the engines do (nccl)."""
        from actors.learning.policy_model import num_drawable_tokens
        from actors.learning.rank import LearnerRank, PolicySource, RankPlace, RankSetup

        self._rank = LearnerRank(
            RankSetup(
                learner=arguments.learner,
                algorithm=arguments.algorithm,
                critic=arguments.critic,
                policy=PolicySource(
                    model=arguments.model,
                    temperature=arguments.temperature,
                    trust_remote_code=arguments.trust_remote_code,
                    vocab_size=num_drawable_tokens(arguments.model, trust_remote_code=arguments.trust_remote_code),
                    chat_template=arguments.chat_template,
                ),
                total_optimizer_steps=arguments.total_optimizer_steps,
                bucket_bytes=arguments.bucket_bytes,
                seed=arguments.seed,
            ),
            RankPlace(
                rank=self._index,
                world_size=arguments.learner.num_ranks,
                master_address=master[0],
                master_port=master[1],
                device=arguments.device,
            ),
        )
        receivers = PolicyReceivers(policy_workers, timeout_s=arguments.push_timeout_s) if self._index == 0 else None
        self._send = self._sender(arguments, receivers, num_workers=len(policy_workers), transfer=transfer)

    def measure(self, rows: tuple[PackedRow, ...]) -> list[tuple[int, TokenMeasures]]:
        return self._rank.measure(rows)

    def step(self, rows: tuple[PackedRow, ...], num_loss_tokens: int, num_sequences: int) -> StepReport:
        return self._rank.step(rows, num_loss_tokens=num_loss_tokens, num_sequences=num_sequences)

    def push(self, policy_version: int) -> PushReport:
        started = time.monotonic()
        manifest = self._send(policy_version)
        return PushReport(
            policy_version=policy_version,
            num_tensors=len(manifest.specs),
            num_bytes=manifest.num_bytes,
            seconds=time.monotonic() - started,
        )

    def checksums(self) -> dict[str, str]:
        """Of the full weights, by name; all ranks must be asked together. Compare with a policy worker's."""
        return learner_checksums(self._rank.weights)

    def save(self, folder: str) -> None:
        self._rank.save(Path(folder))

    def load(self, folder: str) -> None:
        self._rank.load(Path(folder))

    def export(self, folder: str) -> None:
        self._rank.export(Path(folder))

    def _sender(
        self,
        arguments: RankArguments,
        receivers: PolicyReceivers | None,
        *,
        num_workers: int,
        transfer: tuple[str, int],
    ) -> Callable[[int], WeightManifest]:
        """How this rank pushes: vLLM's own sender between GPUs, buckets through Ray's object store otherwise."""
        source = self._rank.weights
        if arguments.weight_backend == "object_store" or not num_workers:
            return lambda version: send_weights(source, policy_version=version, receivers=receivers)
        from actors.weight_transfer import NcclGroup, NcclSender

        group = NcclGroup(
            num_workers=num_workers,
            tensor_parallel_size=arguments.tensor_parallel_size,
            bucket_bytes=arguments.bucket_bytes,
            master_address=transfer[0],
            master_port=transfer[1],
        )
        return NcclSender(source, group, rank=self._index, receivers=receivers).send


@dataclass(frozen=True)
class LearnerGroup:
    """All ranks behind the `Learner` port. One rank's failure or silence is the group's."""

    ranks: Sequence[RemoteActor]
    timeout_s: float

    async def setup(self, arguments: RankArguments, policy_workers: Sequence[RemoteActor]) -> None:
        master, transfer = await asyncio.gather(*(self.ranks[0].address.remote() for _ in range(2)))
        calls = [rank.setup.remote(arguments, policy_workers, master=master, transfer=transfer) for rank in self.ranks]
        await self._all("load the model", calls)

    async def measure(self, batch: TrainBatch) -> tuple[TokenMeasures, ...]:
        calls = [rank.measure.remote(rows) for rank, rows in zip(self.ranks, batch.rows, strict=True)]
        by_sequence = dict(pair for pairs in await self._all("measure a batch", calls) for pair in pairs)
        return tuple(by_sequence[sequence] for sequence in range(batch.num_sequences))

    async def step(self, batch: TrainBatch) -> StepReport:
        reports = await self._all(
            "take a step",
            [
                rank.step.remote(rows, batch.num_loss_tokens, batch.num_sequences)
                for rank, rows in zip(self.ranks, batch.rows, strict=True)
            ],
        )
        return reports[0]

    async def push_weights(self, policy_version: int) -> PushReport:
        reports = await self._all("push weights", [rank.push.remote(policy_version) for rank in self.ranks])
        return reports[0]

    async def checksums(self) -> dict[str, str]:
        return (await self._all("checksum weights", [rank.checksums.remote() for rank in self.ranks]))[0]

    async def save(self, folder: str) -> None:
        await self._all("write a checkpoint", [rank.save.remote(folder) for rank in self.ranks])

    async def load(self, folder: str) -> None:
        await self._all("load a checkpoint", [rank.load.remote(folder) for rank in self.ranks])

    async def export(self, folder: str) -> None:
        await self._all("export the model", [rank.export.remote(folder) for rank in self.ranks])

    async def _all(self, what: str, calls: "list[ray.ObjectRef]") -> list:
        try:
            return list(await asyncio.wait_for(asyncio.gather(*calls), self.timeout_s))
        except TimeoutError as failure:
            raise RunFailed(f"the learner did not {what} within {self.timeout_s:g} s") from failure
        except RayTaskError as failure:
            # What a rank knows to be the user's or the disk's fault is told as such; anything else ends the run.
            if isinstance(failure.cause, BadInput | CheckpointFailed):
                raise type(failure.cause)(str(failure.cause)) from failure
            raise RunFailed(f"the learner could not {what}: {one_line(failure)}") from failure
        except RayActorError as failure:
            raise RunFailed(f"the learner could not {what}: {one_line(failure)}") from failure
