"""Define what is known of a metric: its name, its unit, its meaning and how several measurements become one."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from statistics import fmean

_WORD = re.compile(r"<(\w+)>")


class Reduction(StrEnum):
    """Choose how several measurements become one number; the value is what the documentation prints."""

    MEAN = "mean"
    WEIGHTED_SUM = "weighted sum"  # every measurement already carries its weight, and the weights belong to the batch
    SUM = "sum"
    MAX = "maximum"
    LAST = "last"
    STD = "standard deviation"  # of the population
    RATIO = "ratio of sums"  # one total divided by another


class Unit(StrEnum):
    """Choose what a metric is measured in; the value is what the documentation and the report print."""

    SHARE = "share"  # in [0, 1]
    REWARD = "reward"
    RATIO = "ratio"  # of two probabilities, or of two numbers of the same unit
    NATS = "nats"
    LOSS = "loss"
    NORM = "norm"
    RATE = "rate"
    COUNT = "count"
    TOKENS = "tokens"
    TEXTS = "texts"
    VERSIONS = "policy versions"
    SECONDS = "s"
    BYTES = "bytes"
    GIB = "GiB"
    TOKENS_PER_S = "tokens/s"
    TEXTS_PER_S = "texts/s"


@dataclass(frozen=True)
class Metric:
    """Describe one metric, or all metrics whose names follow one pattern."""

    name: str
    """The name in metrics.jsonl. Each <word> stands for one or more characters without a slash: it makes a pattern."""
    title: str
    """What the report writes over the curve."""
    unit: Unit
    reduction: Reduction
    """Over all that one step measured: tokens, responses, groups, micro-batches and workers."""
    meaning: str
    """One plain sentence."""
    over_optimizer_steps: Reduction | None = None
    """Over the optimiser steps of one batch; None where the metric is measured once a step."""
    counts_skipped_steps: bool = False
    """Whether an optimiser step that was skipped counts too; otherwise only those that were taken do."""
    when: str = ""
    """When the metric is written; empty: in every step that has something to measure."""

    @property
    def is_pattern(self) -> bool:
        """Return whether the name stands for several metrics."""
        return "<" in self.name

    def matches(self, name: str) -> bool:
        """Return whether this is the declaration of the metric called `name`."""
        return self._expression.fullmatch(name) is not None

    @property
    def words(self) -> tuple[str, ...]:
        """Return the words of a pattern, in order: ("component", "language")."""
        return tuple(_WORD.findall(self.name))

    def labels(self, name: str) -> dict[str, str]:
        """Return what stands in `name` for each word of the pattern; empty where the name is no pattern.

        Raises:
            ValueError: this is not the declaration of `name`.
        """
        found = self._expression.fullmatch(name)
        if found is None:
            raise ValueError(f"{name} does not follow {self.name}")
        return found.groupdict()

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        texts, words = _WORD.split(self.name)[::2], self.words
        groups = [f"(?P<{word}>[^/]+)" for word in words]
        return re.compile("".join(re.escape(text) + group for text, group in zip(texts, [*groups, ""], strict=True)))


@dataclass(frozen=True)
class MetricSection:
    """Hold the metrics that the documentation shows together."""

    title: str
    metrics: tuple[Metric, ...]


def reduced(values: Sequence[float], reduction: Reduction) -> float:
    """Return the one number that stands for `values` [N], in the order in which they were measured.

    Raises:
        ValueError: there is no value, or the reduction needs more than the values.
    """
    if not values:
        raise ValueError("there is no value to reduce")
    match reduction:
        case Reduction.MEAN:
            return fmean(values)
        case Reduction.SUM:
            return math.fsum(values)
        case Reduction.MAX:
            return max(values)
        case Reduction.LAST:
            return values[-1]
        case Reduction.WEIGHTED_SUM | Reduction.STD | Reduction.RATIO:
            raise ValueError(f"a {reduction} can't be formed from the reduced values alone")
