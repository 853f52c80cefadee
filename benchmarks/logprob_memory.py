"""Measure the memory that log-probabilities need beyond their inputs, results and gradients, against a chunk of logits.

    python -m benchmarks.logprob_memory [--tokens 8192] [--vocabulary 150000] [--chunk-tokens 256]

On a CPU it is the peak of this process' resident memory as the kernel counts it, so run it in a process of its own. On
a GPU it is the peak that torch has allocated. A chunk is chunk_tokens x vocabulary x 4 bytes; the aim is 1.3 times
that, forward and backward. The gradients of hidden states [N, H] and head [V, H] are results, which are not counted.
"""

import argparse
import ctypes
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from actors.learning.logprobs import HeadSettings, token_logprobs

AIM = 1.3
MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Pass:
    """Hold what one pass needed: bytes beyond its results, and seconds."""

    extra_bytes: int
    seconds: float

    def over(self, chunk_bytes: int) -> float:
        """Return the bytes in units of a chunk."""
        return self.extra_bytes / chunk_bytes


class PeakMemory:
    """Measure the bytes at the highest point since `start`, above those held then."""

    def __init__(self, device: str) -> None:
        self._is_cuda = device == "cuda"
        self._before = 0

    def start(self) -> None:
        """Begin to measure."""
        if self._is_cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self._before = torch.cuda.memory_allocated()
        else:
            ctypes.CDLL(None).malloc_trim(
                0
            )  # memory that was freed before must not be used again without being counted
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak (proc_pid_clear_refs)
            self._before = _status_bytes("VmRSS")

    def growth(self) -> int:
        """Return the bytes at the highest point since `start`, above those held then."""
        if self._is_cuda:
            torch.cuda.synchronize()
            return torch.cuda.max_memory_allocated() - self._before
        return _status_bytes("VmHWM") - self._before


def main() -> None:
    """Measure both passes and print them."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    settings = HeadSettings(temperature=1.0, chunk_tokens=arguments.chunk_tokens, entropy_gradient=False)
    memory = PeakMemory(arguments.device)
    # A small measurement first: libraries allocate memory when they are first used.
    _measure(_inputs(arguments, num_tokens=2, vocabulary=64), settings, memory)
    inputs = _inputs(arguments, num_tokens=arguments.tokens, vocabulary=arguments.vocabulary)
    forward, backward = _measure(inputs, settings, memory)
    _show(arguments, forward, backward)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--vocabulary", type=int, default=150_000)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--chunk-tokens", type=int, default=256)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def _inputs(arguments: argparse.Namespace, *, num_tokens: int, vocabulary: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return hidden [N, H], weight [V, H] and targets [N]."""
    made = {"dtype": getattr(torch, arguments.dtype), "device": arguments.device}
    hidden = torch.randn(num_tokens, arguments.hidden, **made).requires_grad_()
    weight = (torch.randn(vocabulary, arguments.hidden, **made) * 0.05).detach().requires_grad_()
    return hidden, weight, torch.randint(0, vocabulary, (num_tokens,), device=arguments.device)


def _measure(inputs: tuple[Tensor, Tensor, Tensor], settings: HeadSettings, memory: PeakMemory) -> tuple[Pass, Pass]:
    hidden, weight, targets = inputs
    results: list[Tensor] = []

    def forward() -> None:
        results.extend(token_logprobs(hidden, weight, targets=targets, settings=settings))

    def backward() -> None:
        results[0].sum().backward()

    first = _measured(forward, memory)
    second = _measured(backward, memory)
    return _without(first, results), _without(second, [hidden, weight])


def _measured(work: Callable[[], None], memory: PeakMemory) -> Pass:
    memory.start()
    started = time.perf_counter()
    work()
    growth = memory.growth()
    return Pass(extra_bytes=growth, seconds=time.perf_counter() - started)


def _without(measured: Pass, results: list[Tensor]) -> Pass:
    num_bytes = sum(tensor.numel() * tensor.element_size() for tensor in results)
    return Pass(extra_bytes=measured.extra_bytes - num_bytes, seconds=measured.seconds)


def _status_bytes(key: str) -> int:
    found = re.search(rf"^{key}:\s+(\d+) kB$", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    assert found, key
    return int(found[1]) * 1024


def _show(arguments: argparse.Namespace, forward: Pass, backward: Pass) -> None:
    chunk_bytes = arguments.chunk_tokens * arguments.vocabulary * 4
    worst = max(forward.over(chunk_bytes), backward.over(chunk_bytes))
    print(
        f"{arguments.tokens} tokens, vocabulary {arguments.vocabulary}, {arguments.dtype}: chunk "
        f"{chunk_bytes / MIB:.0f} MiB; forward {forward.extra_bytes / MIB:.1f} MiB ({forward.over(chunk_bytes):.2f} x) "
        f"in {forward.seconds:.1f} s, backward {backward.extra_bytes / MIB:.1f} MiB "
        f"({backward.over(chunk_bytes):.2f} x) in {backward.seconds:.1f} s; aim {AIM} x: "
        f"{'met' if worst <= AIM else 'missed'}"
    )


if __name__ == "__main__":
    main()
