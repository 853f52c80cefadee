"""Describe and pack a learner's weights for their way to the engines: manifest, bucket plan, flat bucket, checksum.

Must not import vLLM or Ray: a learner on CPUs sends weights without the cost of importing vLLM.
"""

import hashlib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Protocol, Self, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

ALIGNMENT = 64  # bytes; a view as any dtype needs its offset divisible by the item size

UpdateNumber: TypeAlias = tuple[int, int]
"""Policy version, and the number of the attempt within the run: a later update has a higher number."""
Metadata: TypeAlias = list[tuple[str, torch.dtype, tuple[int, ...]]]
"""Name, dtype and full shape of each parameter."""

_NOTHING: Mapping[str, int] = MappingProxyType({})


class LearnerWeights(Protocol):
    """Give the learner's parameters, gathered bucket by bucket. Every rank calls both methods in the same order."""

    def metadata(self) -> Metadata:
        """Return the metadata of every parameter, in the order of `buckets`, without tied duplicates."""
        ...

    def buckets(self) -> Iterator[list[tuple[str, torch.Tensor]]]:
        """Yield copies of the full tensors by name on rank 0, empty lists on the others.

        A collective: every rank must exhaust it.
        """
        ...


def plan_buckets(metadata: Metadata, max_bytes: int, *, extra_bytes: Mapping[str, int] = _NOTHING) -> list[list[str]]:
    """Return the parameter names of each bucket, in the given order, at most `max_bytes` a bucket.

    A larger tensor gets a bucket of its own. `extra_bytes`: by name, the size of what must be gathered together with a
    tensor. Every rank computes the plan from the same metadata and gets the same plan.

    Raises:
        ValueError: `max_bytes` is below 1.
    """
    if max_bytes < 1:
        raise ValueError(f"a bucket must hold at least 1 byte, got {max_bytes}")
    buckets: list[list[str]] = []
    free = 0
    for name, dtype, shape in metadata:
        size = prod(shape) * dtype.itemsize + extra_bytes.get(name, 0)
        if not buckets or size > free:
            buckets.append([])
            free = max_bytes
        buckets[-1].append(name)
        free -= size
    return buckets


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorSpec:
    """Describe one parameter of an update."""

    name: str  # the Hugging Face name
    dtype: str  # "bfloat16"
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} ({self.dtype}, {list(self.shape)})"

    @classmethod
    def of(cls, name: str, dtype: torch.dtype | str, shape: Iterable[int]) -> Self:
        """Return the spec of a tensor."""
        return cls(name=name, dtype=str(dtype).removeprefix("torch."), shape=tuple(int(size) for size in shape))

    @property
    def torch_dtype(self) -> torch.dtype:
        """Return the dtype as torch's object.

        Raises:
            ValueError: torch has no dtype of that name.
        """
        dtype = getattr(torch, self.dtype, None)
        if not isinstance(dtype, torch.dtype):
            raise ValueError(f"{self.name}: {self.dtype!r} is not a torch dtype")
        return dtype

    @property
    def num_bytes(self) -> int:
        """Return the size of the tensor in bytes."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.torch_dtype.itemsize


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightManifest:
    """List the tensors of an update. Sent before the first tensor.

    Raises:
        ValueError: a name is listed more than once.
    """

    specs: tuple[TensorSpec, ...]
    update: UpdateNumber = (0, 0)  # its buckets carry the same number

    def __post_init__(self) -> None:
        names = [spec.name for spec in self.specs]
        if twice := sorted({name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ()):
            raise ValueError(f"the weight manifest names {', '.join(twice)} more than once")

    @classmethod
    def of(cls, source: LearnerWeights, *, update: UpdateNumber = (0, 0)) -> Self:
        """Return the manifest of all of a learner's weights."""
        return cls(specs=tuple(TensorSpec.of(*entry) for entry in source.metadata()), update=update)

    @property
    def num_bytes(self) -> int:
        """Return the size of all tensors in bytes."""
        return sum(spec.num_bytes for spec in self.specs)


class ExpectedTensors:
    """Count off the tensors of a manifest as they arrive."""

    def __init__(self, manifest: WeightManifest) -> None:
        self._expected = {spec.name: spec for spec in manifest.specs}

    def take(self, spec: TensorSpec) -> None:
        """Take one tensor.

        Raises:
            ValueError: it was not announced, came twice, or has another dtype or shape.
        """
        announced = self._expected.pop(spec.name, None)
        if announced is None:
            raise ValueError(f"weight update: {spec} was not announced, or came twice")
        if announced != spec:
            raise ValueError(f"weight update: {spec} arrived where {announced} was announced")

    @property
    def missing(self) -> list[str]:
        """Return the names of those that have not arrived."""
        return sorted(self._expected)


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightBucket:
    """Hold some tensors end to end in one byte array.

    One flat array, because Ray's object store gives numpy buffers to readers on the same node without a copy.
    """

    specs: tuple[TensorSpec, ...]
    offsets: tuple[int, ...]  # into `data`, one per spec, multiples of ALIGNMENT
    data: NDArray[np.uint8]  # [bytes]
    update: UpdateNumber = (0, 0)  # WeightManifest.update

    @classmethod
    def pack(cls, tensors: Iterable[tuple[str, torch.Tensor]], *, update: UpdateNumber = (0, 0)) -> Self:
        """Copy named tensors into one bucket."""
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
        """Yield views of `data` with their specs. Read them only; never write to them."""
        with warnings.catch_warnings():
            # The object store's buffers are read-only, and these views are only read.
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            flat = torch.from_numpy(self.data)
        for spec, offset in zip(self.specs, self.offsets, strict=True):
            yield spec, flat[offset : offset + spec.num_bytes].view(spec.torch_dtype).reshape(spec.shape)


def as_bytes(tensor: torch.Tensor) -> NDArray[np.uint8]:
    """Return the tensor's bytes [bytes] in row-major order. As bytes, because numpy has no bfloat16."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()


def tensor_checksum(tensor: torch.Tensor) -> str:
    """Return the SHA-256 of the bytes, with -0.0 taken as 0.0: an engine's packed weights lose the sign of zero."""
    return hashlib.sha256(as_bytes(tensor.detach() + 0.0).tobytes()).hexdigest()


def learner_checksums(source: LearnerWeights) -> dict[str, str]:
    """Return the checksum of each of the learner's tensors by name, to compare with an engine's. A collective."""
    return {name: tensor_checksum(tensor) for bucket in source.buckets() for name, tensor in bucket}
