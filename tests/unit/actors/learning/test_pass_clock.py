"""Test that passes are measured by the time of the device, not of the calls that start them."""

from dataclasses import dataclass, field

import pytest
import torch

from actors.learning.pass_clock import PassClock


@dataclass
class Gpu:
    """Imitate a GPU that begins to work when it is waited for: every call returns at once."""

    num_seconds: float = 0.0  # of the work that it has done
    queue: list[object] = field(default_factory=list)

    def give(self, seconds: float) -> None:
        self.queue.append(seconds)

    def synchronize(self, device: torch.device) -> None:
        assert device == torch.device("cuda")
        for work in self.queue:
            if isinstance(work, Event):
                work.reached_s = self.num_seconds
            elif isinstance(work, float):
                self.num_seconds += work
        self.queue.clear()


GPU = Gpu()


class Event:
    """Stand in for torch.cuda.Event."""

    def __init__(self, *, enable_timing: bool) -> None:
        assert enable_timing
        self.reached_s: float | None = None

    def record(self) -> None:
        GPU.queue.append(self)

    def elapsed_time(self, end: "Event") -> float:
        assert self.reached_s is not None and end.reached_s is not None, "an event was read before the GPU reached it"
        return (end.reached_s - self.reached_s) * 1000


def test_on_a_gpu_the_time_between_events_in_its_stream_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", GPU.synchronize)
    clock = PassClock(torch.device("cuda"))
    for _ in range(2):
        with clock.measuring("forward"):
            GPU.give(1.0)
        GPU.give(8.0)  # of no pass
        with clock.measuring("backward"):
            GPU.give(2.5)
    assert GPU.num_seconds == 0  # nothing has waited for it so far
    seconds = clock.seconds()
    assert (seconds["forward"], seconds["backward"]) == pytest.approx((2.0, 5.0))


def test_on_a_cpu_the_time_of_the_calls_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 12.0, 20.0, 25.0, 30.0, 31.0])
    monkeypatch.setattr("time.monotonic", lambda: next(times))
    clock = PassClock(torch.device("cpu"))
    for name in ("forward", "backward", "forward"):
        with clock.measuring(name):
            pass
    seconds = clock.seconds()
    assert (seconds["forward"], seconds["backward"], seconds["other"]) == (3.0, 5.0, 0.0)
