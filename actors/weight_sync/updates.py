"""Keep which weights an engine may serve, while weight updates come in.

An engine is stale, in an update, or serving a version. Must not import vLLM: its engine is described by a Protocol.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import torch

from actors.weight_sync.buckets import UpdateNumber, WeightManifest

Result = TypeVar("Result")


class ServingEngine(Protocol):
    """The part of vLLM's LLMEngine that every update uses."""

    def apply_model(self, func: Callable[[torch.nn.Module], Result]) -> list[Result]: ...

    def set_weight_version(self, weight_version: str) -> None: ...

    def reset_prefix_cache(self) -> bool: ...


class EngineUpdates(ABC):
    """Update what one engine serves. Call it only between two steps of the engine; `interrupt` at any time."""

    def __init__(self, engine: ServingEngine, *, tensor_parallel_size: int) -> None:
        """Start stale."""
        self.policy_version: int | None = None  # None: stale, serves nothing
        self.is_open = False  # True between start and finish: the engine must not step
        self.is_broken = False  # True: the engine can't be used any more
        self._serving = engine
        self._is_sharded = tensor_parallel_size > 1
        self._manifest: WeightManifest | None = None

    @abstractmethod
    def init_transfer(self, info: Mapping[str, object]) -> None:
        """Join the sender's transfer group (nccl)."""

    @abstractmethod
    def start(self, manifest: WeightManifest) -> None:
        """Expect these tensors. Clears an unfinished update; the engine is stale until `finish`.

        Raises:
            ValueError: the manifest does not fit the model, or belongs to an earlier update.
        """

    @abstractmethod
    def update(self, info: Mapping[str, object]) -> None:
        """Take the tensors of one message; a failure ends the update.

        Raises:
            RuntimeError: no update is open.
            ValueError: a bucket belongs to another update, or has a tensor that was not announced.
        """

    @abstractmethod
    def finish(self, policy_version: int) -> None:
        """Serve the new weights as `policy_version`. An incomplete update is cleared.

        Raises:
            RuntimeError: no update is open.
            ValueError: tensors are missing.
        """

    @abstractmethod
    def abandon(self) -> None:
        """Clear an unfinished update. The engine stays stale."""

    @abstractmethod
    def interrupt(self) -> bool:
        """Make an `update` that waits for a sender who is gone end with an error. May be called from any thread.

        Return False if it can't be done: the processes of an engine that has several hear nothing while they wait.
        """

    def forget(self) -> None:
        """Note that the engine's weights are gone: it is stale until an update."""
        self.policy_version = None

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
        return self._checksums(self._manifest)

    @abstractmethod
    def _checksums(self, manifest: WeightManifest) -> dict[str, str]:
        """Return the checksums of an engine of one process."""

    def _refuse_if(self, is_late: Callable[[UpdateNumber], bool], number: UpdateNumber) -> None:
        """Refuse a late message: one of a dropped update must not get into a later update, nor undo it.

        Raises:
            ValueError: `is_late` holds for the current update.
        """
        if self._manifest is not None and is_late(self._manifest.update):
            now = self._manifest.update
            raise ValueError(f"a message of weight update {number} came during or after update {now}; it is ignored")

    def _refuse_if_closed(self) -> None:
        """Refuse a message outside an update.

        Raises:
            RuntimeError: no update is open.
        """
        if not self.is_open:
            raise RuntimeError("no weight update is open; call start_weight_update first")

    def _serve(self, policy_version: int) -> None:
        self._serving.set_weight_version(str(policy_version))
        # Frees cache blocks that are of no more use. Those of running requests stay: their salt names their update.
        self._serving.reset_prefix_cache()
        self.policy_version = policy_version
