"""Take updates of all weights in an engine's process.

The checks on the way: the manifest covers the model, and all announced tensors arrived. Must not import vLLM: its
engine is described by a Protocol.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol, TypeVar

from actors.weight_sync.buckets import WeightBucket, WeightManifest
from actors.weight_sync.layout import check_covers, engine_checksums, format_names
from actors.weight_sync.updates import EngineUpdates, ServingEngine
from contracts.config.workers import WeightBackend

Result = TypeVar("Result")


class UpdatableEngine(ServingEngine, Protocol):
    """The part of vLLM's LLMEngine that an update of all weights uses."""

    def collective_rpc(
        self,
        method: str | Callable[..., Result],
        timeout: float | None = None,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> list[Result]: ...


class _TransferEngine(Protocol):
    """The part of the weight-transfer engine that is asked here."""

    def missing(self) -> list[str]: ...

    def abort(self) -> None: ...


class _Worker(Protocol):
    """A process of vLLM that holds the model, or a part of it."""

    weight_transfer_engine: _TransferEngine


class WeightUpdates(EngineUpdates):
    """Update all weights of one engine, by vLLM's weight transfer."""

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
        super().__init__(engine, tensor_parallel_size=tensor_parallel_size)
        self._engine = engine
        self._backend = backend
        self._is_receiving = False

    def init_transfer(self, info: Mapping[str, object]) -> None:
        """Join the sender's transfer group, as `EngineUpdates` says."""
        self._call("init_weight_transfer_engine", init_info=dict(info))

    def start(self, manifest: WeightManifest) -> None:
        """Expect the tensors of the manifest, as `EngineUpdates` says. The model can't run until `finish`."""
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
        """Load what vLLM's own sender announces (nccl), or one bucket, as `EngineUpdates` says."""
        self._refuse_if_closed()
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
        """Serve the new weights, as `EngineUpdates` says."""
        self._refuse_if_closed()
        missing = self._missing()
        self.is_open = False
        self._call("finish_weight_update")
        if missing:
            raise ValueError(f"weight update {policy_version} lacks {format_names(missing)}; the engine stays stale")
        self._serve(policy_version)

    def abandon(self) -> None:
        """Clear an unfinished update."""
        if self.is_open:
            self.is_open = False
            self._call("finish_weight_update")

    def interrupt(self) -> bool:
        """Abort a transfer that waits, as `EngineUpdates` says."""
        if not self._is_receiving or self._backend != "nccl":
            return True
        if self._is_sharded:
            return False
        self._engine.collective_rpc(_abort_in_worker)
        return True

    def _checksums(self, manifest: WeightManifest) -> dict[str, str]:
        return self._engine.apply_model(partial(engine_checksums, manifest=manifest))[0]

    def _missing(self) -> list[str]:
        if self._backend == "nccl":
            return []  # vLLM's own sender compares every tensor with the announced one
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
