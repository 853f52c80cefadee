"""Take weight updates in an engine's process, and keep the policy version that the engine may serve.

An engine is stale, in an update, or serving a version. The checks on the way: the manifest covers the model, and all
announced tensors arrived. Must not import vLLM: its engine is described by a Protocol.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol, TypeVar

import torch

from actors.weight_sync.buckets import UpdateNumber, WeightBackend, WeightBucket, WeightManifest
from actors.weight_sync.layout import check_covers, engine_checksums, format_names

Result = TypeVar("Result")


class UpdatableEngine(Protocol):
    """The part of vLLM's LLMEngine that an update uses."""

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
    """The part of the weight-transfer engine that is asked here."""

    def missing(self) -> list[str]: ...

    def abort(self) -> None: ...


class _Worker(Protocol):
    """A process of vLLM that holds the model, or a part of it."""

    weight_transfer_engine: _TransferEngine


class WeightUpdates:
    """Update the weights of one engine. Call it only between two steps of the engine; `interrupt` at any time."""

    def __init__(self, engine: UpdatableEngine, *, backend: WeightBackend, tensor_parallel_size: int) -> None:
        """Start stale.

        Raises:
            ValueError: the backend can't load into an engine of several processes.
        """
        if backend == "object_store" and tensor_parallel_size > 1:
            raise ValueError(
                f"weights.backend = object_store loads into one process, but policy.tensor_parallel_size is "
                f"{tensor_parallel_size}; set weights.backend = nccl"
            )
        self.policy_version: int | None = None  # None: stale, serves nothing
        self.is_open = False  # True between start and finish: the model can't run
        self.is_broken = False  # True: the engine can't be used any more
        self._engine = engine
        self._backend = backend
        self._is_sharded = tensor_parallel_size > 1
        self._manifest: WeightManifest | None = None
        self._is_receiving = False

    def init_transfer(self, info: Mapping[str, object]) -> None:
        """Join the sender's transfer group (nccl)."""
        self._call("init_weight_transfer_engine", init_info=dict(info))

    def start(self, manifest: WeightManifest) -> None:
        """Expect these tensors. Clears an unfinished update; the engine is stale until `finish`.

        Raises:
            ValueError: the manifest does not fit the model, or belongs to an earlier update.
        """
        self._refuse_if(lambda now: manifest.update < now, manifest.update)
        self.abandon()
        if not self._is_sharded:
            # With several processes the function would have to be sent as a pickle, which vLLM refuses by default.
            self._engine.apply_model(partial(check_covers, manifest=manifest))
        if self._backend == "object_store":
            self.init_transfer({"manifest": manifest})
        self._manifest = manifest
        self.policy_version = None
        self._call("start_weight_update")
        self.is_open = True

    def update(self, info: Mapping[str, object]) -> None:
        """Load the tensors of one message; a failure ends the update.

        Raises:
            RuntimeError: no update is open.
            ValueError: a bucket belongs to another update, or has a tensor that was not announced.
        """
        if not self.is_open:
            raise RuntimeError("weights arrived outside an update; call start_weight_update first")
        if isinstance(bucket := info.get("bucket"), WeightBucket):
            self._refuse_if(lambda now: bucket.update != now, bucket.update)
        self.is_open = False
        self._is_receiving = True
        try:
            self._call("update_weights", update_info=dict(info))
        finally:
            self._is_receiving = False
        self.is_open = True

    def finish(self, policy_version: int) -> None:
        """Serve the new weights as `policy_version`. An incomplete update is cleared.

        Raises:
            RuntimeError: no update is open.
            ValueError: tensors are missing.
        """
        if not self.is_open:
            raise RuntimeError("no weight update to finish; call start_weight_update first")
        missing = self._missing()
        self.is_open = False
        self._call("finish_weight_update")
        if missing:
            raise ValueError(f"weight update {policy_version} lacks {format_names(missing)}; the engine stays stale")
        self._engine.set_weight_version(str(policy_version))
        # Frees cache blocks that are of no more use. Those of running requests stay: their salt names their update.
        self._engine.reset_prefix_cache()
        self.policy_version = policy_version

    def abandon(self) -> None:
        """Clear an unfinished update. The engine stays stale."""
        if self.is_open:
            self.is_open = False
            self._call("finish_weight_update")

    def interrupt(self) -> bool:
        """Make an `update` that waits for a sender who is gone end with an error. May be called from any thread.

        Return False if it can't be done: the processes of an engine that has several hear nothing while they wait.
        """
        if not self._is_receiving or self._backend != "nccl":
            return True
        if self._is_sharded:
            return False
        self._engine.collective_rpc(_abort_in_worker)
        return True

    def checksums(self) -> dict[str, str]:
        """Return the checksum of each tensor that the model computes with, by the learner's names.

        Raises:
            RuntimeError: the engine has no finished update, or a kernel computes with other values.
            ValueError: the tensors are split over several processes.
        """
        if self._manifest is None or self.policy_version is None:
            raise RuntimeError("the engine has no weights of a finished update to check")
        if self._is_sharded:
            raise ValueError("checksums need the whole tensors; policy.tensor_parallel_size above 1 splits them")
        return self._engine.apply_model(partial(engine_checksums, manifest=self._manifest))[0]

    def _refuse_if(self, is_late: Callable[[UpdateNumber], bool], number: UpdateNumber) -> None:
        """Refuse a late message: one of a dropped update must not get into a later update, nor undo it.

        Raises:
            ValueError: `is_late` holds for the current update.
        """
        if self._manifest is not None and is_late(self._manifest.update):
            now = self._manifest.update
            raise ValueError(f"a message of weight update {number} came during or after update {now}; it is ignored")

    def _missing(self) -> list[str]:
        if self._backend != "object_store":
            return []  # vLLM's own senders compare every tensor with the announced one
        return self._engine.collective_rpc(_missing_in_worker)[0]

    def _call(self, method: str, **arguments: object) -> None:
        try:
            self._engine.collective_rpc(method, kwargs=arguments)
        except Exception:
            # vLLM leaves the answers of the other processes unread, and would take them for those of the next call.
            self.is_broken = self._is_sharded
            raise


def _missing_in_worker(worker: _Worker) -> list[str]:
    return worker.weight_transfer_engine.missing()


def _abort_in_worker(worker: _Worker) -> None:
    worker.weight_transfer_engine.abort()
