"""How a learner's weights are described and packed, whatever carries them.

Owns the manifest, the flat bucket and the checksum. Knows torch, and neither vLLM nor Ray: a learner on CPUs sends
weights without paying for an import of vLLM. Sending: actors/weight_sync/sender.py.
"""

import hashlib
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

ALIGNMENT = 64  # bytes; a view as any dtype needs its offset divisible by the item size

WeightBackend = Literal["object_store", "nccl"]
UpdateNumber: TypeAlias = tuple[int, int]
"""Policy version, and which of a run's attempts to send any: later updates have higher numbers."""


class LearnerWeights(Protocol):
    """The learner's parameters, gathered bucket by bucket. Every rank walks both methods in the same order."""

    def metadata(self) -> list[tuple[str, torch.dtype, tuple[int, ...]]]:
        """Name, dtype and full shape of every parameter, in the order of `buckets`; tied duplicates left out."""
        ...

    def buckets(self) -> Iterator[list[tuple[str, torch.Tensor]]]:
        """Full tensors, real on rank 0; a collective on every rank."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorSpec:
    """One parameter as it travels."""

    name: str  # the Hugging Face name
    dtype: str  # "bfloat16"
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} ({self.dtype}, {list(self.shape)})"

    @classmethod
    def of(cls, name: str, dtype: torch.dtype | str, shape: Iterable[int]) -> Self:
        return cls(name=name, dtype=str(dtype).removeprefix("torch."), shape=tuple(int(size) for size in shape))

    @property
    def torch_dtype(self) -> torch.dtype:
        dtype = getattr(torch, self.dtype, None)
        if not isinstance(dtype, torch.dtype):
            raise ValueError(f"{self.name}: {self.dtype!r} is no torch dtype")
        return dtype

    @property
    def num_bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.torch_dtype.itemsize


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightManifest:
    """What an update consists of, announced before the first tensor travels."""

    specs: tuple[TensorSpec, ...]
    update: UpdateNumber = (0, 0)  # of this update; its buckets bear the same

    def __post_init__(self) -> None:
        names = [spec.name for spec in self.specs]
        if twice := sorted({name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ()):
            raise ValueError(f"the weight manifest names {', '.join(twice)} more than once")

    @classmethod
    def of(cls, source: LearnerWeights, *, update: UpdateNumber = (0, 0)) -> Self:
        return cls(specs=tuple(TensorSpec.of(*entry) for entry in source.metadata()), update=update)

    @property
    def num_bytes(self) -> int:
        return sum(spec.num_bytes for spec in self.specs)


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightBucket:
    """Some tensors end to end in one byte array.

    One flat array, because Ray's object store hands numpy buffers to readers on the same node without a copy.
    """

    specs: tuple[TensorSpec, ...]
    offsets: tuple[int, ...]  # into `data`, one per spec, multiples of ALIGNMENT
    data: NDArray[np.uint8]
    update: UpdateNumber = (0, 0)  # WeightManifest.update

    @classmethod
    def pack(cls, tensors: Iterable[tuple[str, torch.Tensor]], *, update: UpdateNumber = (0, 0)) -> Self:
        pairs = [(TensorSpec.of(name, tensor.dtype, tensor.shape), tensor) for name, tensor in tensors]
        offsets: list[int] = []
        end = 0
        for spec, _ in pairs:
            offsets.append(-(-end // ALIGNMENT) * ALIGNMENT)
            end = offsets[-1] + spec.num_bytes
        data = np.empty(end, dtype=np.uint8)
        for (spec, tensor), offset in zip(pairs, offsets, strict=True):
            data[offset : offset + spec.num_bytes] = as_bytes(tensor)
        return cls(specs=tuple(spec for spec, _ in pairs), offsets=tuple(offsets), data=data, update=update)

    def tensors(self) -> Iterator[tuple[TensorSpec, torch.Tensor]]:
        """Views of `data`: to be read, never written."""
        with warnings.catch_warnings():
            # The object store's buffers are read-only, and so are these views' uses.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            flat = torch.from_numpy(self.data)
        for spec, offset in zip(self.specs, self.offsets, strict=True):
            yield spec, flat[offset : offset + spec.num_bytes].view(spec.torch_dtype).reshape(spec.shape)


def as_bytes(tensor: torch.Tensor) -> NDArray[np.uint8]:
    """The tensor's bytes in row-major order; numpy knows no bfloat16."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()


def tensor_checksum(tensor: torch.Tensor) -> str:
    """SHA-256 of the bytes, with -0.0 counted as 0.0: an engine's packed weights keep no sign of zero."""
    return hashlib.sha256(as_bytes(tensor.detach() + 0.0).tobytes()).hexdigest()


def learner_checksums(source: LearnerWeights) -> dict[str, str]:
    """Checksums of a learner's weights, to compare with an engine's. Every rank must call it: it gathers."""
    return {name: tensor_checksum(tensor) for bucket in source.buckets() for name, tensor in bucket}
