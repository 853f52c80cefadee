"""Measure how long a device takes for passes. A GPU is only told what to do: the call returns before it is done.

So on a GPU a mark is an event in the stream, and the times between events are read when all work is done. This delays
nothing, whereas waiting for every pass would leave the GPU idle until it is told the next one.
"""

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch


class PassClock:
    """Add up the seconds of passes by name."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._spans: list[tuple[str, _Mark, _Mark]] = []

    @contextmanager
    def measuring(self, name: str) -> Iterator[None]:
        """Measure what the device is given inside the block."""
        start = _mark(self._device)
        yield
        self._spans.append((name, start, _mark(self._device)))

    def seconds(self) -> Mapping[str, float]:
        """Wait until the device is done, and return the seconds of each name; 0 for any other name."""
        wait_for(self._device)
        totals: dict[str, float] = defaultdict(float)
        for name, start, end in self._spans:
            totals[name] += _seconds_between(start, end)
        return totals


def wait_for(device: torch.device) -> None:
    """Wait until the device has done everything that it was given. A CPU always has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


_Mark = float | torch.cuda.Event


def _mark(device: torch.device) -> _Mark:
    if device.type != "cuda":
        return time.monotonic()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _seconds_between(start: _Mark, end: _Mark) -> float:
    if isinstance(start, torch.cuda.Event) and isinstance(end, torch.cuda.Event):
        return start.elapsed_time(end) / 1000
    assert isinstance(start, float) and isinstance(end, float)
    return end - start
