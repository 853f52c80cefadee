"""Load weights into vLLM, in the processes that hold its model: vLLM's weight-transfer engines of all backends.

"object_store" takes buckets from Ray's object store. "nccl" is vLLM's own engine between GPUs, which here can also be
aborted and cleared. "ipc" is vLLM's own engine within a GPU, which here checks what arrives. vLLM finds them under the
names of `VLLM_BACKENDS` once this module is imported. Must not import Ray: buckets come as values.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from vllm.config import ModelConfig
from vllm.distributed.weight_transfer import WeightTransferEngineFactory
from vllm.distributed.weight_transfer.base import (
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.distributed.weight_transfer.ipc_engine import (
    IPCWeightTransferEngine,
    IPCWeightTransferInitInfo,
    IPCWeightTransferUpdateInfo,
)
from vllm.distributed.weight_transfer.nccl_common import NCCLWeightTransferInitInfo
from vllm.distributed.weight_transfer.nccl_engine import NCCLWeightTransferEngine, NCCLWeightTransferUpdateInfo
from vllm.model_executor.model_loader.reload import finalize_layerwise_reload, initialize_layerwise_reload
from vllm.model_executor.model_loader.reload.layerwise import get_layerwise_info

from actors.weight_sync.buckets import ExpectedTensors, WeightBucket, WeightManifest
from actors.weight_sync.communicator import abort
from actors.weight_sync.packed_weights import free_packed_embeddings, pack_heads_again


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
    _expected: ExpectedTensors

    def init_transfer_engine(self, init_info: ObjectStoreInitInfo) -> None:
        """Expect the tensors of a manifest."""
        self._expected = ExpectedTensors(init_info.manifest)

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
                self._expected.take(spec)
                cast(_LoadsWeights, self.model).load_weights([(spec.name, tensor.to(self.device))])
        except BaseException:
            make_runnable(self.model, self.model_config)
            raise

    def finish_weight_update(self) -> None:
        """Make the model ready to run: with the new weights, or whole again if tensors are missing."""
        if self._expected.missing:
            make_runnable(self.model, self.model_config)
            return
        finalize_layerwise_reload(self.model, self.model_config)
        free_packed_embeddings(self.model)
        pack_heads_again(self.model)

    def missing(self) -> list[str]:
        """Return the names of announced tensors that have not arrived."""
        return self._expected.missing

    def shutdown(self) -> None:
        """Do nothing: nothing is held between updates."""


class NcclWeightTransferEngine(NCCLWeightTransferEngine):
    """Receive with vLLM's own engine, in one transfer group at a time.

    vLLM's engine alone keeps the groups that it has left open, returns as if nothing had happened from a transfer that
    was aborted, and mixes what a failed update has loaded into the next one.
    """

    def init_transfer_engine(self, init_info: NCCLWeightTransferInitInfo) -> None:
        """Leave the transfer group and join another one."""
        self.shutdown()
        super().init_transfer_engine(init_info)

    def receive_weights(self, update_info: NCCLWeightTransferUpdateInfo) -> None:
        """Load all weights from the sender's broadcasts.

        Raises:
            RuntimeError: the transfer failed or was aborted. The model runs again, with old and new layers mixed.
        """
        try:
            super().receive_weights(update_info)
            if self.model_update_group is None or self.model_update_group.disabled:
                raise RuntimeError("the weight transfer was aborted")
        except BaseException:
            make_runnable(self.model, self.model_config)
            raise

    def abort(self) -> None:
        """Make a transfer that waits end with an error. May be called from another thread."""
        if self.model_update_group is not None:
            abort(self.model_update_group)


@dataclass
class IpcInitInfo(IPCWeightTransferInitInfo):
    """Announce the next update."""

    names: tuple[str, ...] = ()


class IpcWeightTransferEngine(IPCWeightTransferEngine):
    """Read the buffers of the learner's rank on the same GPU with vLLM's own engine.

    vLLM's engine alone serves an update of which tensors are missing, and mixes what a failed one has loaded into the
    next one.
    """

    init_info_cls = IpcInitInfo
    _expected: frozenset[str] = frozenset()

    def init_transfer_engine(self, init_info: IPCWeightTransferInitInfo) -> None:
        """Expect these tensors."""
        assert isinstance(init_info, IpcInitInfo)
        super().init_transfer_engine(init_info)
        self._expected = frozenset(init_info.names)

    def receive_weights(self, update_info: IPCWeightTransferUpdateInfo) -> None:
        """Load the tensors that are in the buffer now.

        Raises:
            ValueError: a tensor was not announced, or came twice.
        """
        try:
            if unknown := set(update_info.names) - self._expected:
                raise ValueError(f"weight update: {', '.join(sorted(unknown))} not announced, or twice")
            super().receive_weights(update_info)
            self._expected -= set(update_info.names)
        except BaseException:
            make_runnable(self.model, self.model_config)
            raise

    def finish_weight_update(self) -> None:
        """Make the model ready to run: with the new weights, or whole again if tensors are missing."""
        if not self._expected:
            super().finish_weight_update()
            return
        make_runnable(self.model, self.model_config)
        self.shutdown()

    def missing(self) -> list[str]:
        """Return the names of announced tensors that have not arrived."""
        return sorted(self._expected)


def make_runnable(model: torch.nn.Module, config: ModelConfig) -> None:
    """Make a model able to run after an update that failed: incomplete layers keep their old values."""
    for layer in model.modules():
        info = get_layerwise_info(layer)
        if info.can_load():
            info.loaded_weights.clear()
            info.load_numel = 0
    finalize_layerwise_reload(model, config)


VLLM_BACKENDS = {"object_store": "pb_object_store", "nccl": "pb_nccl", "ipc": "pb_ipc"}
"""Our name of a backend -> the name under which vLLM knows its engine."""

WeightTransferEngineFactory.register_engine(VLLM_BACKENDS["object_store"], ObjectStoreWeightTransferEngine)
WeightTransferEngineFactory.register_engine(VLLM_BACKENDS["nccl"], NcclWeightTransferEngine)
WeightTransferEngineFactory.register_engine(VLLM_BACKENDS["ipc"], IpcWeightTransferEngine)
