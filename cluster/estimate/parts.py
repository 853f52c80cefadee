"""Hold what the estimates of memory are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field

GIB = float(1 << 30)

LEARNER_PROCESS_GIB = 0.95
"""A learner rank on a CPU beside its model: interpreter, torch, DeepSpeed, transformers, Ray, an exported tokenizer."""
ENGINE_PROCESS_GIB = 0.9
"""A vLLM worker on a CPU before its model."""
SCORER_PROCESS_GIB = 0.7
"""A scorer before its models."""
DRIVER_GIB = 1.1
"""The driver with its problems, references and tokenizers, and its two processes that fill in chat templates."""
RAY_GIB = 0.5
"""Ray's own processes on one node."""
CUDA_PROCESS_GIB = 3.0
"""Host memory of a process that uses a GPU: CUDA's libraries and their pinned buffers. Not measured yet."""
CUDA_CONTEXT_GIB = 0.6
"""GPU memory that a CUDA context takes before anything is allocated. Not measured yet."""
NCCL_GIB = 0.9
"""GPU memory of NCCL's buffers for the groups of one process. Not measured yet."""


@dataclass(frozen=True)
class Memory:
    """Hold the memory of one actor in one place, in GiB, by what needs it."""

    parts: Mapping[str, float]

    @property
    def total_gib(self) -> float:
        """Return the sum."""
        return sum(self.parts.values())

    @property
    def formula(self) -> str:
        """Return the sum as text, without what is next to nothing."""
        return " + ".join(f"{name} {value:.2f}" for name, value in self.parts.items() if value >= 0.005)


@dataclass(frozen=True, kw_only=True)
class ActorMemory:
    """Hold the memory that one actor needs on its node and on each of its GPUs. None: its model is not here."""

    host: Memory | None
    gpu: Memory | None = None  # also None for an actor that has no GPU
    first: Memory = field(default_factory=lambda: Memory({}))  # on the host, of the first actor of a role alone
    note: str = ""  # what the memory is enough for

    def host_gib(self, index: int) -> float | None:
        """Return the host memory of the actor with this number within its role, in GiB; None if it is not known."""
        return None if self.host is None else self.host.total_gib + (self.first.total_gib if index == 0 else 0.0)


def gib(num_bytes: float) -> float:
    """Return bytes as GiB."""
    return num_bytes / GIB
