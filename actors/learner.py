"""Run one ZeRO-3 rank of the learner in a Ray actor; rank 0 also sends weights to the policy workers.

All ranks must be called at once, because they meet in collectives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ray
from ray.exceptions import ActorUnavailableError, GetTimeoutError, RayActorError, RayError, RayTaskError

from actors.generation.step_loop import DeadEngine
from actors.learning.background_files import Sums, WrittenFiles
from actors.remote.calls import one_line
from actors.remote.memory import ProcessMemory, this_process_memory
from actors.remote.process import ProcessInfo, RemoteActor, this_process
from actors.remote.progress import Progress, WorkClock
from actors.weight_sync.buckets import WeightBucket, WeightManifest, learner_checksums
from actors.weight_sync.sender import ActiveReceivers, BucketSender, Missed, PushOrder, PushOutcome, Reply, Sender
from contracts.batches import PackedRow, StepResult, TokenMeasures
from contracts.config.device_defaults import Device
from contracts.config.learning import AlgorithmConfig, CriticConfig, LearnerConfig
from contracts.config.workers import PolicyConfig, WeightBackend


@dataclass(frozen=True, kw_only=True)
class RankArguments:
    """Hold what every rank is built from."""

    learner: LearnerConfig
    algorithm: AlgorithmConfig
    critic: CriticConfig
    total_optimizer_steps: int  # of the run
    policy: PolicyConfig
    chat_template: str  # the text; empty: the tokenizer's own
    device: Device
    seed: int
    weight_backend: WeightBackend
    bucket_bytes: int
    push_timeout_s: float
    meetings: str  # a folder of the run that every rank reaches and only the owner may open: ranks meet in it


class PolicyWeightReceiver:
    """Send the messages of a weight push to one policy worker."""

    def __init__(self, worker: RemoteActor) -> None:
        self._worker = worker

    def init_transfer(self, info: Mapping[str, object]) -> Reply:
        return _reply(self._worker.init_weight_transfer.remote(info))

    def start(self, manifest: WeightManifest) -> Reply:
        return _reply(self._worker.start_weight_update.remote(manifest))

    def receive(self, shared: object) -> Reply:
        return _reply(self._worker.receive_bucket.remote(shared))

    def update(self, info: Mapping[str, object]) -> Reply:
        return _reply(self._worker.update_weights.remote(info))

    def finish(self, policy_version: int) -> Reply:
        return _reply(self._worker.finish_weight_update.remote(policy_version))

    def abandon(self) -> None:
        self._worker.abandon_weight_update.remote()


def policy_receivers(workers: Mapping[str, RemoteActor], *, timeout_s: float) -> ActiveReceivers:
    """Return the receivers of one push from this process."""
    return ActiveReceivers(
        {name: PolicyWeightReceiver(worker) for name, worker in workers.items()}, share=_share, timeout_s=timeout_s
    )


def _share(bucket: WeightBucket) -> object:
    """Put a bucket into the object store: it travels once to a node, however many workers read it there."""
    try:
        return ray.put(bucket)
    except RayError as failure:
        raise Missed(f"the object store did not take a bucket: {one_line(failure)}") from failure


def _reply(call: "ray.ObjectRef[None]") -> Reply:
    def wait(timeout_s: float) -> None:
        try:
            ray.get(call, timeout=timeout_s)
        except GetTimeoutError as failure:
            raise TimeoutError(str(failure)) from failure
        except RayError as failure:
            raise Missed(one_line(failure), is_dead=needs_new_process(failure)) from failure

    return wait


def _num_tokens(rows: Sequence[PackedRow]) -> int:
    """Return the tokens of all sequences in the rows: padding and the rows that only keep step do not count."""
    return sum(row.num_sequence_tokens for row in rows)


def needs_new_process(failure: RayError) -> bool:
    """Return whether the worker's process has ended, or its engine, which only a new process replaces."""
    if isinstance(failure, RayTaskError):
        return isinstance(failure.cause, DeadEngine)
    return isinstance(failure, RayActorError) and not isinstance(failure, ActorUnavailableError)


@ray.remote(concurrency_groups={"health": 1, "files": 1})  # pyright: ignore[reportCallIssue] - Ray's stubs lack it
class LearnerWorker:
    """Own one rank. `setup` is apart from `__init__`, because a process can be asked where it runs before it loads.

    Ray runs all methods but `heartbeat` and `saved` in one and the same thread (not the process's first), so what
    belongs to a thread, such as the current CUDA device, holds from `setup` on.
    """

    def __init__(self, rank: int) -> None:
        self._index = rank
        self._clock = WorkClock()

    def process(self) -> ProcessInfo:
        return this_process()

    @ray.method(concurrency_group="health")
    def heartbeat(self) -> None:
        """Answer in a thread of its own, also in the middle of a step: the process is alive and runs."""

    @ray.method(concurrency_group="health")
    def memory(self) -> ProcessMemory:
        """Return the memory of this process, also in the middle of a step."""
        return this_process_memory(with_children=True)

    @ray.method(concurrency_group="health")
    def progress(self) -> Progress:
        """Return what this rank has done until now, also in the middle of a step."""
        return self._clock.progress()

    def setup(self, arguments: RankArguments, *, meeting: str) -> None:
        """Load this rank's shard of the models; `meeting` is the file in which the ranks meet."""
        from actors.learning.policy_model import num_drawable_tokens
        from actors.learning.rank import LearnerRank, PolicySource, RankPlace, RankSetup

        policy = arguments.policy
        self._rank = LearnerRank(
            RankSetup(
                learner=arguments.learner,
                algorithm=arguments.algorithm,
                critic=arguments.critic,
                policy=PolicySource(
                    model=policy.model,
                    temperature=policy.temperature,
                    trust_remote_code=policy.trust_remote_code,
                    vocab_size=num_drawable_tokens(policy.model, trust_remote_code=policy.trust_remote_code),
                    chat_template=arguments.chat_template,
                ),
                total_optimizer_steps=arguments.total_optimizer_steps,
                bucket_bytes=arguments.bucket_bytes,
                pushes_adapters=arguments.weight_backend == "adapters",
                seed=arguments.seed,
                gives_weights_on_every_rank=arguments.weight_backend == "ipc",
            ),
            RankPlace(
                rank=self._index,
                world_size=arguments.learner.num_ranks,
                meeting=meeting,
                device=arguments.device,
            ),
        )
        self._send = self._sender(arguments).send
        # The other ranks wait in a collective for as long as rank 0 waits for a worker: theirs must outlast it.
        self._message_timeout_s = min(arguments.push_timeout_s, arguments.learner.timeout_s / 4)

    def measure(self, rows: tuple[PackedRow, ...]) -> list[tuple[int, TokenMeasures]]:
        with self._clock.turn(_num_tokens(rows)):
            return self._rank.measure(rows)

    def step(self, rows: tuple[PackedRow, ...], num_loss_tokens: int, num_sequences: int) -> StepResult:
        with self._clock.turn(_num_tokens(rows)):
            return self._rank.step(rows, num_loss_tokens=num_loss_tokens, num_sequences=num_sequences)

    def push(self, order: PushOrder, workers: Mapping[str, RemoteActor]) -> PushOutcome:
        """Make one attempt at a push. Only rank 0 knows the outcome."""
        receivers = policy_receivers(workers if self._index == 0 else {}, timeout_s=self._message_timeout_s)
        with self._clock.turn():
            manifest = self._send(order, receivers if self._index == 0 else None)
        return receivers.outcome(manifest)

    def sleep(self) -> None:
        """Move all states to host memory: an engine uses the GPU."""
        self._rank.sleep()

    def wake(self) -> None:
        """Move all states back to the GPU."""
        self._rank.wake()

    def checksums(self) -> dict[str, str]:
        """Return checksums of what is pushed, by name, to compare with a policy worker's."""
        return learner_checksums(self._rank.pushed)

    def save(self, folder: str, policy: str) -> None:
        self._rank.save(Path(folder), policy=Path(policy))

    @ray.method(concurrency_group="files")
    def saved(self) -> WrittenFiles:
        """Wait in a thread of its own for what `save` began; the rank goes on meanwhile."""
        return self._rank.saved()

    def load(self, folder: str) -> None:
        self._rank.load(Path(folder))

    def export(self, folder: str) -> Sums:
        return self._rank.export(Path(folder))

    def _sender(self, arguments: RankArguments) -> Sender:
        """Return how this rank pushes: with one of vLLM's own senders on GPUs, else through Ray's object store."""
        if arguments.weight_backend == "ipc":
            from actors.weight_sync.ipc_sender import IpcSender

            return IpcSender(self._rank.pushed, rank=self._index, bucket_bytes=arguments.bucket_bytes)
        if arguments.weight_backend != "nccl":
            return BucketSender(self._rank.pushed)
        from actors.weight_sync.nccl_sender import NcclSender

        return NcclSender(
            self._rank.pushed,
            rank=self._index,
            tensor_parallel_size=arguments.policy.tensor_parallel_size,
            bucket_bytes=arguments.bucket_bytes,
        )
