"""Move a rank's states to host memory and back, while another process uses its GPU.

DeepSpeed's own `offload_states` moves optimiser states of its compiled Adam only, and no model without an optimiser.
Here storages are emptied and filled again in place: every view of a storage stays what it was, in DeepSpeed as well.
"""

import gc
from collections.abc import Iterable

import torch
from torch import Tensor, UntypedStorage


class HostStates:
    """Hold the states of a rank while they are in host memory. The memory is kept from one time to the next."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._copies: dict[int, tuple[UntypedStorage, Tensor]] = {}  # by storage: it, and its bytes
        self._is_out = False

    @property
    def num_bytes(self) -> int:
        """Return the size of what was moved the last time."""
        return sum(copy.numel() for _, copy in self._copies.values())

    def move_out(self, tensors: Iterable[Tensor]) -> None:
        """Copy the storages of all tensors on the device to host memory, and free them. Nothing if they are out."""
        if self._is_out:
            return
        earlier, self._copies = self._copies, {}
        for storage in _storages(tensors, self._device):
            kept = earlier.get(storage._cdata)
            is_same = kept is not None and kept[1].numel() == storage.nbytes()
            copy = kept[1] if kept is not None and is_same else self._host_memory(storage.nbytes())
            copy.copy_(_bytes_of(storage), non_blocking=True)
            self._copies[storage._cdata] = storage, copy
        del earlier
        self._synchronize()
        for storage, _ in self._copies.values():
            storage.resize_(0)
        self._is_out = True
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def move_back(self) -> None:
        """Give all storages their memory and their bytes again. Nothing if they are not out."""
        if not self._is_out:
            return
        for storage, copy in self._copies.values():
            storage.resize_(copy.numel())
            _bytes_of(storage).copy_(copy, non_blocking=True)
        self._synchronize()
        self._is_out = False

    def _host_memory(self, num_bytes: int) -> Tensor:
        # Pinned, so that a GPU copies at the full speed of its bus.
        return torch.empty(num_bytes, dtype=torch.uint8, pin_memory=self._device.type == "cuda")

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize()


def _storages(tensors: Iterable[Tensor], device: torch.device) -> list[UntypedStorage]:
    """Return the storages on the device, each once; without those that are empty or not torch's own."""
    found: dict[int, UntypedStorage] = {}
    for tensor in tensors:
        storage = tensor.untyped_storage()
        if storage.device.type == device.type and storage.nbytes() and storage.resizable():
            found[storage._cdata] = storage
    return list(found.values())


def _bytes_of(storage: UntypedStorage) -> Tensor:
    """Return the whole storage as bytes."""
    return torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)
