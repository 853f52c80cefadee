"""How a learner's weights are described, packed and sent, whatever carries them.

Owns the manifest, the flat bucket, the checksum and the sender's side of a push in buckets. Knows torch, and neither
vLLM nor Ray: a learner on CPUs sends weights without paying for an import of vLLM (actors/weight_transfer.py has that
part), and the shells bring the transport as `Receivers`.
"""

import hashlib
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, ParamSpec, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray

ALIGNMENT = 64  # bytes; a view as any dtype needs its offset divisible by the item size

WeightBackend = Literal["object_store", "nccl"]

Step = ParamSpec("Step")

logger = logging.getLogger(__name__)


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

    def __post_init__(self) -> None:
        names = [spec.name for spec in self.specs]
        if twice := sorted({name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ()):
            raise ValueError(f"the weight manifest names {', '.join(twice)} more than once")

    @classmethod
    def of(cls, source: LearnerWeights) -> Self:
        return cls(specs=tuple(TensorSpec.of(*entry) for entry in source.metadata()))

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

    @classmethod
    def pack(cls, tensors: Iterable[tuple[str, torch.Tensor]]) -> Self:
        pairs = [(TensorSpec.of(name, tensor.dtype, tensor.shape), tensor) for name, tensor in tensors]
        offsets: list[int] = []
        end = 0
        for spec, _ in pairs:
            offsets.append(-(-end // ALIGNMENT) * ALIGNMENT)
            end = offsets[-1] + spec.num_bytes
        data = np.empty(end, dtype=np.uint8)
        for (spec, tensor), offset in zip(pairs, offsets, strict=True):
            data[offset : offset + spec.num_bytes] = as_bytes(tensor)
        return cls(specs=tuple(spec for spec, _ in pairs), offsets=tuple(offsets), data=data)

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


class Receivers(Protocol):
    """All policy workers, as the sender sees them. Each call reaches every worker, has a deadline, and raises."""

    def start(self, manifest: WeightManifest) -> None:
        """Stop sampling and expect these tensors. Clears an update that was left half-done."""
        ...

    def receive(self, bucket: WeightBucket) -> Callable[[], None]:
        """Hand over one bucket; the result waits until every worker has loaded it."""
        ...

    def finish(self, policy_version: int) -> None:
        """Check that everything arrived, and serve it as this version."""
        ...

    def abandon(self) -> None:
        """Give up the update: the workers stay stale until a whole one reaches them."""
        ...


def send_weights(source: LearnerWeights, *, policy_version: int, receivers: Receivers | None) -> WeightManifest:
    """Push all weights in buckets, one bucket under way while the next is gathered. Returns what was sent.

    Every learner rank calls it, all but rank 0 with `receivers=None`. Gathering is a collective, so a rank that stopped
    halfway would hang the others: after a failure the walk goes on to its end, and only then is the failure raised.
    """
    manifest = WeightManifest.of(source)
    if receivers is None:
        for _ in source.buckets():
            pass
        return manifest
    push = _Push(receivers)
    push.attempt(receivers.start, manifest)
    for tensors in source.buckets():
        push.attempt(push.send, tensors)
    push.attempt(push.drain)
    push.attempt(receivers.finish, policy_version)
    if push.failure is None:
        return manifest
    push.give_up()
    raise push.failure


class _Push:
    """A push under way: remembers the first failure and the bucket that is being loaded."""

    def __init__(self, receivers: Receivers) -> None:
        self._receivers = receivers
        self._wait: Callable[[], None] | None = None
        self.failure: Exception | None = None

    def attempt(self, step: Callable[Step, None], *args: Step.args, **kwargs: Step.kwargs) -> None:
        """Take a step unless one before it failed."""
        if self.failure is not None:
            return
        try:
            step(*args, **kwargs)
        except Exception as failure:  # noqa: BLE001 - raised by send_weights once every rank is through its walk
            self.failure = failure

    def send(self, tensors: list[tuple[str, torch.Tensor]]) -> None:
        bucket = WeightBucket.pack(tensors)
        self.drain()
        self._wait = self._receivers.receive(bucket)

    def drain(self) -> None:
        if self._wait is not None:
            wait, self._wait = self._wait, None
            wait()

    def give_up(self) -> None:
        try:
            self._receivers.abandon()
        except Exception as second:  # noqa: BLE001 - the first failure is the one to raise
            logger.warning("could not clear the failed weight update: %s", second)
