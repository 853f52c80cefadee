"""How weights enter vLLM, through its own weight-transfer framework.

Owns the engine that takes buckets from Ray's object store ("object_store", registered with vLLM's factory when this
module is imported) and the sender for vLLM's own transport between GPUs ("nccl"). Knows vLLM and torch, no Ray: buckets
come as values, workers as `Receivers`. When an update may begin and what it makes of the engine: weight_updates.py.

The NCCL sender follows vLLM's trainer API. It needs a GPU, so no test on a CPU exercises it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

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

from actors.weight_buckets import LearnerWeights, Receivers, TensorSpec, WeightBucket, WeightManifest


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


class NcclReceivers(Receivers, Protocol):
    """Policy workers that receive from the sender's GPU."""

    def init_transfer(self, infos: Sequence[Mapping[str, object]]) -> None:
        """One message for each worker, in order."""
        ...

    def update(self, info: Mapping[str, object]) -> None:
        """The same message for every worker."""
        ...


@dataclass(frozen=True, kw_only=True)
class NcclGroup:
    """Who takes part in a transfer: one sender and every process of every policy worker."""

    num_workers: int
    tensor_parallel_size: int
    bucket_bytes: int
    master_address: str  # the sender's host and a free port there
    master_port: int

    def init_info(self, rank: int) -> NCCLTrainerInitInfo:
        return NCCLTrainerInitInfo(
            rank=rank,
            master_address=self.master_address,
            master_port=self.master_port,
            world_size=1 + self.num_workers * self.tensor_parallel_size,
            packed_buffer_size_bytes=self.bucket_bytes,
        )


class NcclSender:
    """vLLM's trainer engine over the learner's buckets, on every learner rank; rank 0 holds the receivers.

    A failed nccl broadcast can't be undone on the other side: the policy workers must be restarted after it.
    """

    def __init__(self, source: LearnerWeights, group: NcclGroup, *, rank: int, receivers: NcclReceivers | None) -> None:
        self._source = source
        self._client = _WorkersClient(group, receivers)
        self._trainer = WeightTransferTrainerFactory.trainer_init(
            group.init_info(rank), client=self._client, source=BucketSource(source)
        )

    def send(self, policy_version: int) -> WeightManifest:
        """Push all weights; every learner rank calls it."""
        manifest = WeightManifest.of(self._source)
        self._client.next_update = (manifest, policy_version)
        self._trainer.send_weights()
        return manifest

    def close(self) -> None:
        self._trainer.shutdown()


class BucketSource(WeightSource):
    """The learner's buckets as vLLM's trainers read them, one tensor at a time."""

    def __init__(self, source: LearnerWeights) -> None:
        self._source = source

    def metadata(self) -> list[ParamMeta]:
        specs = WeightManifest.of(self._source).specs
        return [ParamMeta(spec.name, spec.torch_dtype, spec.shape) for spec in specs]

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        for bucket in self._source.buckets():
            for name, tensor in bucket:
                # The packed sender collects tensors across our buckets; a gathered parameter may be gone by then.
                yield name, tensor.detach().clone()


class _WorkersClient:
    """What vLLM's trainers ask of the inference side, spread over all policy workers."""

    def __init__(self, group: NcclGroup, receivers: NcclReceivers | None) -> None:
        self._group = group
        self._receivers = receivers
        self.next_update: tuple[WeightManifest, int] | None = None

    def init_weight_transfer_engine(self, init_info: dict[str, object]) -> None:
        infos = [dict(init_info) for _ in range(self._group.num_workers)]
        if (offset := init_info.get("rank_offset")) is not None:
            assert isinstance(offset, int)
            for index, info in enumerate(infos):
                info["rank_offset"] = offset + index * self._group.tensor_parallel_size
        self._workers.init_transfer(infos)

    def start_weight_update(self) -> None:
        self._workers.start(self._update[0])

    def update_weights(self, update_info: dict[str, object] | list[dict[str, object]]) -> None:
        assert isinstance(update_info, dict), "nccl sends one message for all"
        self._workers.update(update_info)

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        self._workers.finish(self._update[1])

    @property
    def _workers(self) -> NcclReceivers:
        assert self._receivers is not None, "only rank 0 talks to the policy workers"
        return self._receivers

    @property
    def _update(self) -> tuple[WeightManifest, int]:
        assert self.next_update is not None, "send() announces the update"
        return self.next_update
