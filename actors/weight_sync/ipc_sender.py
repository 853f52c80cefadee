"""Push weights to engines on the learner's own GPUs: by CUDA IPC, with vLLM's own trainer engine for it.

Every rank gathers all weights into a buffer on its GPU, and the engine on the same GPU reads them there: it finds its
buffer among the handles of all ranks by its GPU's UUID. No group is formed, so a worker that fails stops no other one.
Must not import Ray.
"""

from collections.abc import Callable, Iterator
from typing import Protocol, TypeAlias

import torch
from vllm.distributed.weight_transfer.base import ParamMeta, WeightSource
from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerWeightTransferEngine

from actors.weight_sync.buckets import LearnerWeights, WeightManifest
from actors.weight_sync.sender import ActiveReceivers, PushOrder


class Trainer(Protocol):
    """The part of vLLM's trainer engine that is used here."""

    def send_weights(self) -> None: ...


OpenTrainer: TypeAlias = Callable[["ReceiversClient", "OneByOneSource", bool, int], Trainer]
"""(client, source, whether this rank sends the messages, bytes of the buffer) -> trainer."""


def open_ipc_trainer(client: "ReceiversClient", source: "OneByOneSource", is_sender: bool, num_bytes: int) -> Trainer:
    """Open vLLM's own trainer, which packs tensors into one buffer that it fills again and again."""
    return IPCTrainerWeightTransferEngine(
        client=client, source=source, is_sender=is_sender, packed=True, packed_buffer_size_bytes=num_bytes
    )


class IpcSender:
    """Push with vLLM's trainer engine, on every learner rank. All ranks go through all weights, whoever fails."""

    def __init__(
        self, source: LearnerWeights, *, rank: int, bucket_bytes: int, open_trainer: OpenTrainer = open_ipc_trainer
    ) -> None:
        """Give each rank `source`'s tensors: they must be on every rank.

        A tensor that is larger than `bucket_bytes` makes the buffer larger: vLLM never splits one.
        """
        self._source = source
        self._is_sender = rank == 0
        self._bucket_bytes = bucket_bytes
        self._open = open_trainer

    def send(self, order: PushOrder, receivers: ActiveReceivers | None) -> WeightManifest:
        """Push all weights, as `Sender.send` says."""
        manifest = WeightManifest.of(self._source, update=order.update)
        buffer_bytes = max([self._bucket_bytes, *(spec.num_bytes for spec in manifest.specs)])
        if receivers is not None:
            names = tuple(spec.name for spec in manifest.specs)
            receivers.init_transfer({name: {"packed": True, "names": names} for name in receivers.names})
        client = ReceiversClient(receivers, manifest, policy_version=order.policy_version)
        self._open(client, OneByOneSource(self._source, manifest), self._is_sender, buffer_bytes).send_weights()
        return manifest


class OneByOneSource(WeightSource):
    """Give vLLM's trainer the learner's buckets, one tensor at a time, in the order of the manifest."""

    def __init__(self, weights: LearnerWeights, manifest: WeightManifest) -> None:
        self._weights = weights
        self._manifest = manifest

    def metadata(self) -> list[ParamMeta]:
        """Return name, dtype and shape of every parameter."""
        return [ParamMeta(spec.name, spec.torch_dtype, spec.shape) for spec in self._manifest.specs]

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        for bucket in self._weights.buckets():
            yield from bucket


class ReceiversClient:
    """Send the messages of vLLM's trainer to the policy workers. It never raises: the ranks wait for each other.

    A worker that fails is left out of the following messages, and the outcome of the push says so.
    """

    def __init__(self, receivers: ActiveReceivers | None, manifest: WeightManifest, *, policy_version: int) -> None:
        """Take the receivers of one attempt; None on a rank that sends no messages."""
        self._receivers = receivers
        self._manifest = manifest
        self._policy_version = policy_version

    def init_weight_transfer_engine(self, init_info: dict[str, object]) -> None:
        """Do nothing: `IpcSender` has told the workers before."""

    def start_weight_update(self) -> None:
        """Let every worker start the update."""
        if self._receivers is not None:
            self._receivers.start(self._manifest)

    def update_weights(self, update_info: dict[str, object] | list[dict[str, object]]) -> None:
        """Let every worker load what is in the buffers now; return when all have."""
        assert isinstance(update_info, dict), "one message goes to all workers"
        if self._receivers is not None:
            self._receivers.update(update_info)

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        """Let every worker serve the weights."""
        if self._receivers is not None:
            self._receivers.finish(self._policy_version)
