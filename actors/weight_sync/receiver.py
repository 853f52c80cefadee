"""The life cycle of a weight update inside an engine's process, and the version that the engine may serve.

Owns the states (stale, updating, serving a version) and the checks on the way: the manifest covers the model, all that
was announced arrived. Knows vLLM's framework by shape only; how bytes travel is actors/weight_sync/vllm_transfer.py.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol, TypeVar

import torch

from actors.weight_sync.buckets import UpdateNumber, WeightBackend, WeightBucket, WeightManifest
from actors.weight_sync.layout import check_covers, engine_checksums, listed

Result = TypeVar("Result")


class UpdatableEngine(Protocol):
    """The part of vLLM's LLMEngine that takes part in an update."""

    def collective_rpc(
        self,
        method: str | Callable[..., Result],
        timeout: float | None = None,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> list[Result]: ...

    def apply_model(self, func: Callable[[torch.nn.Module], Result]) -> list[Result]: ...

    def set_weight_version(self, weight_version: str) -> None: ...

    def reset_prefix_cache(self) -> bool: ...


class _TransferEngine(Protocol):
    def missing(self) -> list[str]: ...


class _Worker(Protocol):
    """A process of vLLM's that holds (part of) the model."""

    weight_transfer_engine: _TransferEngine


class WeightUpdates:
    """The updates of one engine, and the version that it may serve. Every call must come between two of its steps."""

    def __init__(self, engine: UpdatableEngine, *, backend: WeightBackend, tensor_parallel_size: int) -> None:
        if backend == "object_store" and tensor_parallel_size > 1:
            raise ValueError(
                f"weights.backend = object_store loads into one process, policy.tensor_parallel_size is "
                f"{tensor_parallel_size}; set weights.backend = nccl"
            )
        self.policy_version: int | None = None  # None: stale, serves nothing
        self.is_open = False  # between start and finish the model can't run
        self._engine = engine
        self._backend = backend
        self._is_sharded = tensor_parallel_size > 1
        self._manifest: WeightManifest | None = None

    def init_transfer(self, info: Mapping[str, object]) -> None:
        """nccl: join the sender's group."""
        self._call("init_weight_transfer_engine", init_info=dict(info))

    def start(self, manifest: WeightManifest) -> None:
        """Expect these tensors; the engine is stale until `finish`. Clears an update that was left half-done."""
        self._refuse_if(lambda now: manifest.update < now, manifest.update)
        self.abandon()
        if not self._is_sharded:
            # Other processes would need functions sent as pickles, which vLLM refuses by default.
            self._engine.apply_model(partial(check_covers, manifest=manifest))
        if self._backend == "object_store":
            self.init_transfer({"manifest": manifest})
        self._manifest = manifest
        self.policy_version = None
        self._call("start_weight_update")
        self.is_open = True

    def update(self, info: Mapping[str, object]) -> None:
        """Load what one message brings; a failure ends the update."""
        if not self.is_open:
            raise RuntimeError("weights arrived outside an update; call start_weight_update first")
        if isinstance(bucket := info.get("bucket"), WeightBucket):
            self._refuse_if(lambda now: bucket.update != now, bucket.update)
        self.is_open = False
        self._call("update_weights", update_info=dict(info))
        self.is_open = True

    def finish(self, policy_version: int) -> None:
        """Serve the new weights as `policy_version`; an update that lacks tensors is cleared and raises."""
        if not self.is_open:
            raise RuntimeError("no weight update to finish; call start_weight_update first")
        missing = self._missing()
        self.is_open = False
        self._call("finish_weight_update")
        if missing:
            raise ValueError(f"weight update {policy_version} lacks {listed(missing)}; the engine stays stale")
        self._engine.set_weight_version(str(policy_version))
        # Frees blocks that nothing will ask for again. Those of running requests stay, salted with their version.
        self._engine.reset_prefix_cache()
        self.policy_version = policy_version

    def abandon(self) -> None:
        """Clear an update that will not be finished. The engine stays stale."""
        if self.is_open:
            self.is_open = False
            self._call("finish_weight_update")

    def checksums(self) -> dict[str, str]:
        """Of what the model computes with, by the learner's names."""
        if self._manifest is None or self.policy_version is None:
            raise RuntimeError("the engine has no weights of a finished update to check")
        if self._is_sharded:
            raise ValueError("checksums need the whole tensors; policy.tensor_parallel_size above 1 splits them")
        return self._engine.apply_model(partial(engine_checksums, manifest=self._manifest))[0]

    def _refuse_if(self, is_late: Callable[[UpdateNumber], bool], number: UpdateNumber) -> None:
        """What was still on its way when its update was given up must not get into a later one, nor undo it."""
        if self._manifest is not None and is_late(self._manifest.update):
            now = self._manifest.update
            raise ValueError(f"a message of weight update {number} came during or after {now}; it is thrown away")

    def _missing(self) -> list[str]:
        if self._backend != "object_store":
            return []  # vLLM's own senders compare every tensor with what they announced
        return self._engine.collective_rpc(_missing_in_worker)[0]

    def _call(self, method: str, **arguments: object) -> None:
        self._engine.collective_rpc(method, kwargs=arguments)


def _missing_in_worker(worker: _Worker) -> list[str]:
    return worker.weight_transfer_engine.missing()
