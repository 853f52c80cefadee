"""Define who gets the metrics of every finished step beside metrics.jsonl.

Sinks are called in the middle of the run, between two steps. So none of them may wait for a network, and none may end
the run: what they pass on is in metrics.jsonl as well.
"""

from collections.abc import Mapping
from typing import Protocol


class MetricSink(Protocol):
    """Get the metrics of every finished step, beside metrics.jsonl."""

    def step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Take a finished step. It must not raise where it can't pass the step on: the run goes on."""
        ...

    def cut_back(self, step: int) -> None:
        """Take that the steps after this one are done again. It must not raise either."""
        ...

    def close(self) -> None:
        """Pass on what is left, at the end of the run. It must not raise either."""
        ...
