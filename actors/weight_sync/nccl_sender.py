"""Send the learner's weights to vLLM over NCCL, with vLLM's own trainer: one attempt of a push, on every learner rank.

vLLM broadcasts in the thread that calls it, while another thread of vLLM waits for the workers' answers. NCCL does not
say that a worker is gone, so what the second thread hears ends the broadcast of the first. Must not import Ray: workers
come as `ActiveReceivers`.
"""

import logging
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import torch
from vllm.distributed.device_communicators.pynccl_wrapper import NCCLLibrary
from vllm.distributed.weight_transfer.base import ParamMeta, WeightSource
from vllm.distributed.weight_transfer.nccl_common import (
    NCCLWeightTransferInitInfo,
    uid_init_process_group,
    worker_init_payload,
)
from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerWeightTransferEngine

from actors.weight_sync.buckets import LearnerWeights, WeightManifest
from actors.weight_sync.communicator import abort
from actors.weight_sync.sender import ActiveReceivers, PushOrder

if TYPE_CHECKING:
    from vllm.distributed.device_communicators.pynccl import PyNcclCommunicator

logger = logging.getLogger(__name__)

JOIN_TIMEOUT_S = 60.0
"""Longest wait for rank 0 to have joined a transfer group that all workers have joined."""


class Trainer(Protocol):
    """The sending end of one transfer group."""

    def send_weights(self) -> None:
        """Send all weights of the source to all workers of the group."""
        ...

    def abort(self) -> None:
        """Make a broadcast that waits for a worker return. May be called from another thread."""
        ...

    def shutdown(self) -> None:
        """Leave the group."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferPlace:
    """Say which rank of the learner this is, and how large the transfer group is: rank 0 and all workers' processes."""

    rank: int
    world_size: int
    bucket_bytes: int


OpenTrainer: TypeAlias = Callable[[TransferPlace, "WorkersClient", "BucketSource"], Trainer]


class NcclTrainer(NCCLTrainerWeightTransferEngine):
    """Be vLLM's own trainer, which can be aborted from another thread."""

    def abort(self) -> None:
        """Make a broadcast that waits for a worker return; the group is of no use afterwards."""
        if self.model_update_group is not None:
            abort(self.model_update_group)


def open_nccl_trainer(place: TransferPlace, client: "WorkersClient", source: "BucketSource") -> Trainer:
    """Open vLLM's own NCCL trainer; on rank 0 it returns when all workers have joined.

    The workers get the group's id in a message of Ray's, so nothing listens for them without a credential: vLLM's other
    way is torch's TCPStore, which anyone may write to who reaches the port. NCCL refuses a peer without the id.

    Raises:
        RuntimeError: a worker did not join. A thread that waits for it is left behind, as NCCL can't be interrupted.
    """
    trainer = NcclTrainer(
        client=client,
        source=source,
        is_sender=place.rank == 0,
        packed_buffer_size_bytes=place.bucket_bytes,
    )
    if trainer.is_sender:
        group_id = bytes(NCCLLibrary().ncclGetUniqueId().internal)
        invitation = NCCLWeightTransferInitInfo(
            nccl_unique_id_b64=b64encode(group_id).decode(),
            rank_offset=1,
            world_size=place.world_size,
            packed=trainer.packed,
            packed_buffer_size_bytes=trainer.packed_buffer_size_bytes,
            packed_num_buffers=trainer.packed_num_buffers,
        )
        joined: Future[PyNcclCommunicator] = Future()
        device = torch.accelerator.current_device_index()
        threading.Thread(target=_join, args=(joined, group_id, place, device), daemon=True).start()
        client.init_weight_transfer_engine(worker_init_payload(invitation))  # returns when all workers have joined
        trainer.model_update_group = joined.result(timeout=JOIN_TIMEOUT_S)
    return trainer


def _join(joined: "Future[PyNcclCommunicator]", group_id: bytes, place: TransferPlace, device: int) -> None:
    try:
        joined.set_result(uid_init_process_group(group_id, 0, place.world_size, device))
    except BaseException as failure:  # noqa: BLE001 - raised where the result is awaited
        joined.set_exception(failure)


class NcclSender:
    """Push with vLLM's trainer engine over the learner's buckets, on every learner rank.

    All workers are in one transfer group, which can't be changed: an order may ask for a new one. If one worker fails,
    no worker takes the update, and the group is aborted on all sides.
    """

    def __init__(
        self,
        source: LearnerWeights,
        *,
        rank: int,
        tensor_parallel_size: int,
        bucket_bytes: int,
        open_trainer: OpenTrainer = open_nccl_trainer,
    ) -> None:
        self._source = BucketSource(source)
        self._rank = rank
        self._tensor_parallel_size = tensor_parallel_size  # of a policy worker
        self._bucket_bytes = bucket_bytes
        self._open = open_trainer
        self._client = WorkersClient(tensor_parallel_size, on_failed_update=self._abort)
        self._trainer: Trainer | None = None

    def send(self, order: PushOrder, receivers: ActiveReceivers | None) -> WeightManifest:
        """Push all weights, as `Sender.send` says."""
        manifest = WeightManifest.of(self._source.weights, update=order.update)
        self._client.update = _Update(manifest, order.policy_version, receivers)
        self._source.begin()
        try:
            with _same_stream():
                self._trainer_for(order).send_weights()
        except Exception as failure:
            if receivers is None:
                raise
            logger.warning("weight update %s failed: %s", order.update, failure)
            receivers.cancel(str(failure))
        if receivers is not None and receivers.has_missed:
            self._close_trainer()
        self._source.exhaust()
        return manifest

    def _trainer_for(self, order: PushOrder) -> Trainer:
        """Return the trainer of the order's transfer group."""
        if order.is_new_group:
            self._close_trainer()
            place = TransferPlace(
                rank=self._rank,
                world_size=1 + len(order.names) * self._tensor_parallel_size,
                bucket_bytes=self._bucket_bytes,
            )
            self._trainer = self._open(place, self._client, self._source)
        assert self._trainer is not None, "the order after a failed one must ask for a new group"
        return self._trainer

    def _abort(self) -> None:
        """End the broadcast: a worker failed, and the others wait for it."""
        if self._trainer is not None:
            self._trainer.abort()

    def _close_trainer(self) -> None:
        if self._trainer is not None:
            self._trainer.shutdown()
            self._trainer = None


@contextmanager
def _same_stream() -> Iterator[None]:
    """Keep this thread's CUDA stream: vLLM gives a thread a stream of its own when it first asks for the current one.

    The learner would compute on it from then on, on this rank alone.
    """
    if not torch.cuda.is_available():
        yield
        return
    before = torch.cuda.current_stream()
    try:
        yield
    finally:
        torch.cuda.set_stream(before)


class BucketSource(WeightSource):
    """Give vLLM's trainers the learner's buckets, one tensor at a time."""

    def __init__(self, weights: LearnerWeights) -> None:
        self.weights = weights
        self._buckets: Iterator[list[tuple[str, torch.Tensor]]] = iter(())

    def begin(self) -> None:
        """Start a new pass over the buckets."""
        self._buckets = self.weights.buckets()

    def exhaust(self) -> None:
        """Gather the rest of a pass that was broken off or never begun, because the other ranks gather all of it."""
        for _ in self._buckets:
            pass

    def metadata(self) -> list[ParamMeta]:
        """Return name, dtype and shape of every parameter."""
        specs = WeightManifest.of(self.weights).specs
        return [ParamMeta(spec.name, spec.torch_dtype, spec.shape) for spec in specs]

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield the tensors on whatever CUDA streams vLLM reads them on: it changes the stream from chunk to chunk."""
        for bucket in self._buckets:
            if on_gpu := any(tensor.is_cuda for _, tensor in bucket):
                torch.cuda.current_stream().synchronize()  # on which the bucket was gathered
            for name, tensor in bucket:
                if on_gpu:
                    tensor.record_stream(torch.cuda.current_stream())  # its memory is in use until this stream is done
                yield name, tensor


@dataclass(frozen=True)
class _Update:
    """Hold the update that is being sent, and its receivers."""

    manifest: WeightManifest
    policy_version: int
    receivers: ActiveReceivers | None


class WorkersClient:
    """Send the messages of vLLM's trainers to all policy workers. Fails if one of them fails."""

    def __init__(self, tensor_parallel_size: int, *, on_failed_update: Callable[[], None]) -> None:
        """`on_failed_update` is called when a worker fails while the sender broadcasts, in the thread that hears it."""
        self._tensor_parallel_size = tensor_parallel_size
        self._on_failed_update = on_failed_update
        self.update: _Update | None = None

    def init_weight_transfer_engine(self, init_info: dict[str, object]) -> None:
        """Let every worker join the transfer group with its own rank offset."""
        offset = init_info["rank_offset"]
        assert isinstance(offset, int)
        self._all(
            lambda workers: workers.init_transfer(
                {
                    name: init_info | {"rank_offset": offset + index * self._tensor_parallel_size}
                    for index, name in enumerate(workers.names)
                }
            )
        )

    def start_weight_update(self) -> None:
        """Let every worker start the update."""
        self._all(lambda workers: workers.start(self._current.manifest))

    def update_weights(self, update_info: dict[str, object] | list[dict[str, object]]) -> None:
        """Let every worker load the tensors that are broadcast next.

        Raises:
            RuntimeError: a worker failed, or was late; the broadcast was ended.
        """
        assert isinstance(update_info, dict), "nccl sends one message to all workers"
        try:
            self._all(lambda workers: workers.update(update_info))
        except BaseException:
            self._on_failed_update()
            raise

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        """Let every worker serve the weights. One may fail alone here: all tensors have arrived."""
        self._workers.finish(self._current.policy_version)

    def _all(self, send: Callable[[ActiveReceivers], None]) -> None:
        """Send a message to all workers.

        Raises:
            RuntimeError: a worker failed.
        """
        workers = self._workers
        before = workers.names
        send(workers)
        if failed := set(before) - set(workers.names):
            raise RuntimeError(f"{', '.join(sorted(failed))} failed, and a transfer group can't go on without a member")

    @property
    def _workers(self) -> ActiveReceivers:
        assert self._current.receivers is not None, "only rank 0 sends messages to the policy workers"
        return self._current.receivers

    @property
    def _current(self) -> _Update:
        assert self.update is not None, "send() must set the update first"
        return self.update
