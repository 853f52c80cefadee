"""Bring weights into vLLM through its own weight-transfer framework.

There are two backends. "object_store": an engine that takes buckets from Ray's object store, registered with vLLM's
factory when this module is imported. "nccl": a sender for vLLM's own transport between GPUs; it follows vLLM's trainer
API, which needs two GPUs, so tests on a CPU give it another trainer. Must not import Ray: buckets come as values,
workers as `ActiveReceivers`.
"""

import logging
import threading
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

import torch
from vllm.distributed.device_communicators.pynccl_wrapper import NCCLLibrary
from vllm.distributed.weight_transfer import WeightTransferEngineFactory
from vllm.distributed.weight_transfer.base import (
    ParamMeta,
    WeightSource,
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.distributed.weight_transfer.nccl_common import (
    NCCLWeightTransferInitInfo,
    uid_init_process_group,
    worker_init_payload,
)
from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerWeightTransferEngine
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload
from vllm.model_executor.model_loader.reload.layerwise import get_layerwise_info

from actors.weight_sync.buckets import LearnerWeights, TensorSpec, WeightBucket, WeightManifest
from actors.weight_sync.sender import ActiveReceivers, PushOrder

if TYPE_CHECKING:
    from vllm.distributed.device_communicators.pynccl import PyNcclCommunicator

logger = logging.getLogger(__name__)

JOIN_TIMEOUT_S = 60.0
"""Longest wait for rank 0 to have joined a transfer group that all workers have joined."""


class _LoadsWeights(Protocol):
    """The part of a vLLM model that loads weights."""

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> set[str]: ...


@dataclass
class ObjectStoreInitInfo(WeightTransferInitInfo):
    """Announce the next update."""

    manifest: WeightManifest


@dataclass
class ObjectStoreUpdateInfo(WeightTransferUpdateInfo):
    """Hold one bucket of an update."""

    bucket: WeightBucket


class ObjectStoreWeightTransferEngine(WeightTransferEngine[ObjectStoreInitInfo, ObjectStoreUpdateInfo]):
    """Load buckets into the model layer by layer: a layer changes when its last tensor has arrived.

    Between start and finish the model can't run. An update that fails leaves a model that runs but mixes old layers
    with new ones; the caller must not sample from it.
    """

    init_info_cls = ObjectStoreInitInfo
    update_info_cls = ObjectStoreUpdateInfo
    _expected: dict[str, TensorSpec]

    def init_transfer_engine(self, init_info: ObjectStoreInitInfo) -> None:
        """Expect the tensors of a manifest."""
        self._expected = {spec.name: spec for spec in init_info.manifest.specs}

    def start_weight_update(self) -> None:
        """Prepare the model for loading."""
        initialize_layerwise_reload(self.model)

    def receive_weights(self, update_info: ObjectStoreUpdateInfo) -> None:
        """Load the tensors of one bucket.

        Raises:
            ValueError: a tensor was not announced, came twice, or has another dtype or shape.
        """
        try:
            for spec, tensor in update_info.bucket.tensors():
                self._take(spec)
                cast(_LoadsWeights, self.model).load_weights([(spec.name, tensor.to(self.device))])
        except BaseException:
            self._restore()
            raise

    def finish_weight_update(self) -> None:
        """Make the model ready to run: with the new weights, or whole again if tensors are missing."""
        if self._expected:
            self._restore()
            return
        finalize_layerwise_reload(self.model, self.model_config)
        for layer in self.model.modules():
            if isinstance(layer, ParallelLMHead):
                # A tied head is never loaded itself. On a CPU it computes with a packed copy of the embedding: without
                # this call it would keep the old copy.
                layer.quant_method.process_weights_after_loading(layer)

    def missing(self) -> list[str]:
        """Return the names of announced tensors that have not arrived."""
        return sorted(self._expected)

    def shutdown(self) -> None:
        """Do nothing: nothing is held between updates."""

    def _take(self, spec: TensorSpec) -> None:
        announced = self._expected.pop(spec.name, None)
        if announced is None:
            raise ValueError(f"weight update: {spec} was not announced, or came twice")
        if announced != spec:
            raise ValueError(f"weight update: {spec} arrived where {announced} was announced")

    def _restore(self) -> None:
        """Make the model able to run again: incomplete layers keep their old values."""
        for layer in self.model.modules():
            info = get_layerwise_info(layer)
            if info.can_load():
                info.loaded_weights.clear()
                info.load_numel = 0
        finalize_layerwise_reload(self.model, self.model_config)


WeightTransferEngineFactory.register_engine("object_store", ObjectStoreWeightTransferEngine)


class Trainer(Protocol):
    """The part of vLLM's trainer engines that is used here."""

    def send_weights(self) -> None: ...

    def shutdown(self) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferPlace:
    """Say which rank of the learner this is, and how large the transfer group is: rank 0 and all workers' processes."""

    rank: int
    world_size: int
    bucket_bytes: int


OpenTrainer: TypeAlias = Callable[[TransferPlace, "WorkersClient", "BucketSource"], Trainer]


def open_nccl_trainer(place: TransferPlace, client: "WorkersClient", source: "BucketSource") -> Trainer:
    """Open vLLM's own NCCL trainer; on rank 0 it returns when all workers have joined.

    The workers get the group's id in a message of Ray's, so nothing listens for them without a credential: vLLM's other
    way is torch's TCPStore, which anyone may write to who reaches the port. NCCL refuses a peer without the id.

    Raises:
        RuntimeError: a worker did not join. A thread that waits for it is left behind, as NCCL can't be interrupted.
    """
    trainer = NCCLTrainerWeightTransferEngine(
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

    All workers are in one transfer group, which can't be changed: an order may ask for a new one. If one
    worker fails, no worker takes the update, and those that hang in a broadcast answer nothing until they are replaced.
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
        self._client = WorkersClient(tensor_parallel_size)
        self._trainer: Trainer | None = None

    def send(self, order: PushOrder, receivers: ActiveReceivers | None) -> WeightManifest:
        """Push all weights, as `Sender.send` says."""
        manifest = WeightManifest.of(self._source.weights, update=order.update)
        self._client.update = _Update(manifest, order.policy_version, receivers)
        self._source.begin()
        try:
            self._trainer_for(order).send_weights()
        except Exception as failure:
            if receivers is None:
                raise
            logger.warning("weight update %s failed: %s", order.update, failure)
            receivers.cancel(str(failure))
        if receivers is not None and receivers.has_missed:
            self._trainer = None  # not shut down: that might wait for the broadcast that just failed
        self._source.exhaust()
        return manifest

    def _trainer_for(self, order: PushOrder) -> Trainer:
        """Return the trainer of the order's transfer group."""
        if order.is_new_group:
            if self._trainer is not None:
                self._trainer.shutdown()
            place = TransferPlace(
                rank=self._rank,
                world_size=1 + len(order.names) * self._tensor_parallel_size,
                bucket_bytes=self._bucket_bytes,
            )
            self._trainer = self._open(place, self._client, self._source)
        assert self._trainer is not None, "the order after a failed one must ask for a new group"
        return self._trainer


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
        for bucket in self._buckets:
            for name, tensor in bucket:
                # A copy, because the packed sender collects tensors across buckets, and a gathered parameter may be
                # freed by then.
                yield name, tensor.detach().clone()


@dataclass(frozen=True)
class _Update:
    """Hold the update that is being sent, and its receivers."""

    manifest: WeightManifest
    policy_version: int
    receivers: ActiveReceivers | None


class WorkersClient:
    """Send the messages of vLLM's trainers to all policy workers. Fails if one of them fails."""

    def __init__(self, tensor_parallel_size: int) -> None:
        self._tensor_parallel_size = tensor_parallel_size
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
        """Let every worker load the tensors that are broadcast next."""
        assert isinstance(update_info, dict), "nccl sends one message to all workers"
        self._all(lambda workers: workers.update(update_info))

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
