"""How weights enter vLLM, through its own weight-transfer framework.

Owns the engine that takes buckets from Ray's object store ("object_store", registered with vLLM's factory when this
module is imported) and the sender for vLLM's own transport between GPUs ("nccl"). Knows vLLM and torch, no Ray: buckets
come as values, workers as `Receivers` (weight_push.py). When an update may begin and what it makes of the engine:
weight_updates.py.

The NCCL sender follows vLLM's trainer API. That needs two GPUs: tests on a CPU give it another trainer.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias, cast

import torch
from vllm.distributed.weight_transfer import WeightTransferEngineFactory, WeightTransferTrainerFactory
from vllm.distributed.weight_transfer.base import (
    ParamMeta,
    WeightSource,
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload
from vllm.model_executor.model_loader.reload.layerwise import get_layerwise_info

from actors.weight_sync.buckets import LearnerWeights, TensorSpec, WeightBucket, WeightManifest
from actors.weight_sync.sender import PushOrder, Receivers

logger = logging.getLogger(__name__)


class _LoadsWeights(Protocol):
    """What every vLLM model can do."""

    def load_weights(self, weights: Iterable[tuple[str, torch.Tensor]]) -> set[str]: ...


@dataclass
class ObjectStoreInitInfo(WeightTransferInitInfo):
    """What the next update consists of."""

    manifest: WeightManifest


@dataclass
class ObjectStoreUpdateInfo(WeightTransferUpdateInfo):
    """One bucket of an update."""

    bucket: WeightBucket


class ObjectStoreWeightTransferEngine(WeightTransferEngine[ObjectStoreInitInfo, ObjectStoreUpdateInfo]):
    """Loads buckets into the model layer by layer: a layer changes when its last tensor has arrived.

    Between start and finish the model can't run. An update that fails leaves a model that runs but mixes old layers
    with new ones; that nobody samples from it is the caller's duty.
    """

    init_info_cls = ObjectStoreInitInfo
    update_info_cls = ObjectStoreUpdateInfo
    _expected: dict[str, TensorSpec]

    def init_transfer_engine(self, init_info: ObjectStoreInitInfo) -> None:
        self._expected = {spec.name: spec for spec in init_info.manifest.specs}

    def start_weight_update(self) -> None:
        initialize_layerwise_reload(self.model)

    def receive_weights(self, update_info: ObjectStoreUpdateInfo) -> None:
        try:
            for spec, tensor in update_info.bucket.tensors():
                self._take(spec)
                cast(_LoadsWeights, self.model).load_weights([(spec.name, tensor.to(self.device))])
        except BaseException:
            self._restore()
            raise

    def finish_weight_update(self) -> None:
        if self._expected:
            self._restore()
            return
        finalize_layerwise_reload(self.model, self.model_config)
        for layer in self.model.modules():
            if isinstance(layer, ParallelLMHead):
                # A tied head is never loaded itself, and on a CPU it computes with a packed copy of the embedding:
                # without this it would keep the old one.
                layer.quant_method.process_weights_after_loading(layer)

    def missing(self) -> list[str]:
        """Announced and not received."""
        return sorted(self._expected)

    def shutdown(self) -> None:
        """Nothing is held between updates."""

    def _take(self, spec: TensorSpec) -> None:
        announced = self._expected.pop(spec.name, None)
        if announced is None:
            raise ValueError(f"weight update: {spec} was not announced, or came twice")
        if announced != spec:
            raise ValueError(f"weight update: {spec} arrived where {announced} was announced")

    def _restore(self) -> None:
        """Make the model whole again: layers that are incomplete keep their old values."""
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


OpenTrainer: TypeAlias = Callable[[NCCLTrainerInitInfo, "WorkersClient", "BucketSource"], Trainer]


def open_nccl_trainer(info: NCCLTrainerInitInfo, client: "WorkersClient", source: "BucketSource") -> Trainer:
    """vLLM's own; on rank 0 it returns when all workers have joined."""
    return WeightTransferTrainerFactory.trainer_init(info, client=client, source=source)


class NcclSender:
    """vLLM's trainer engine over the learner's buckets, on every learner rank (weight_push.Sender).

    All workers are one group, whose members can't change: an order with a new meeting place builds another. Where one
    worker fails, nobody takes the update, and those that hang in a broadcast answer nothing until they are replaced.
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

    def send(self, order: PushOrder, receivers: Receivers | None) -> WeightManifest:
        manifest = WeightManifest.of(self._source.weights, update=order.update)
        self._client.update = _Update(manifest, order.policy_version, receivers)
        self._source.begin()
        try:
            self._member_of(order).send_weights()
        except Exception as failure:
            if receivers is None:
                raise
            logger.warning("weight update %s failed: %s", order.update, failure)
            receivers.give_up(str(failure))
        if receivers is not None and receivers.has_missed:
            self._trainer = None  # not shut down: that might wait for the broadcast which just failed
        self._source.walk_on()
        return manifest

    def _member_of(self, order: PushOrder) -> Trainer:
        """The trainer of the group that this order is for."""
        if order.meeting is not None:
            if self._trainer is not None:
                self._trainer.shutdown()
            self._trainer = self._open(self._init_info(order, order.meeting), self._client, self._source)
        assert self._trainer is not None, "the order after a failed one names a meeting place"
        return self._trainer

    def _init_info(self, order: PushOrder, meeting: tuple[str, int]) -> NCCLTrainerInitInfo:
        return NCCLTrainerInitInfo(
            rank=self._rank,
            master_address=meeting[0],
            master_port=meeting[1],
            world_size=1 + len(order.names) * self._tensor_parallel_size,
            packed_buffer_size_bytes=self._bucket_bytes,
        )


class BucketSource(WeightSource):
    """The learner's buckets as vLLM's trainers read them, one tensor at a time."""

    def __init__(self, weights: LearnerWeights) -> None:
        self.weights = weights
        self._walk: Iterator[list[tuple[str, torch.Tensor]]] = iter(())

    def begin(self) -> None:
        """The next reading is a new walk."""
        self._walk = self.weights.buckets()

    def walk_on(self) -> None:
        """To the end of a walk that was broken off, or never begun: the other ranks gather on."""
        for _ in self._walk:
            pass

    def metadata(self) -> list[ParamMeta]:
        specs = WeightManifest.of(self.weights).specs
        return [ParamMeta(spec.name, spec.torch_dtype, spec.shape) for spec in specs]

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        for bucket in self._walk:
            for name, tensor in bucket:
                # The packed sender collects tensors across our buckets; a gathered parameter may be gone by then.
                yield name, tensor.detach().clone()


@dataclass(frozen=True)
class _Update:
    """What is being sent, and to whom."""

    manifest: WeightManifest
    policy_version: int
    receivers: Receivers | None


class WorkersClient:
    """What vLLM's trainers ask of the inference side, spread over the policy workers. Fails where one of them does."""

    def __init__(self, tensor_parallel_size: int) -> None:
        self._tensor_parallel_size = tensor_parallel_size
        self.update: _Update | None = None

    def init_weight_transfer_engine(self, init_info: dict[str, object]) -> None:
        offset = init_info["rank_offset"]
        assert isinstance(offset, int)
        self._all(
            lambda workers: workers.init_transfer(
                {
                    name: init_info | {"rank_offset": offset + index * self._tensor_parallel_size}
                    for index, name in enumerate(workers.listening)
                }
            )
        )

    def start_weight_update(self) -> None:
        self._all(lambda workers: workers.start(self._current.manifest))

    def update_weights(self, update_info: dict[str, object] | list[dict[str, object]]) -> None:
        assert isinstance(update_info, dict), "nccl sends one message for all"
        self._all(lambda workers: workers.update(update_info))

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        self._workers.finish(self._current.policy_version)  # each by itself again: the tensors are all there

    def _all(self, tell: Callable[[Receivers], None]) -> None:
        workers = self._workers
        before = workers.listening
        tell(workers)
        if failed := set(before) - set(workers.listening):
            raise RuntimeError(f"{', '.join(sorted(failed))} failed, and a transfer group can't go on without a member")

    @property
    def _workers(self) -> Receivers:
        assert self._current.receivers is not None, "only rank 0 talks to the policy workers"
        return self._current.receivers

    @property
    def _current(self) -> _Update:
        assert self.update is not None, "send() announces the update"
        return self.update
