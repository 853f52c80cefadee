"""Add up metrics over tokens: over rows, over micro-batches and over ranks.

How each metric is reduced follows from its declaration. The losses compute a value for each token and give it here
under the metric's name. A metric that was measured nowhere is left out: 0 would be a wrong value.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from contracts.metrics.learning import POLICY_TOKENS
from contracts.metrics.metric import Metric, Reduction


@dataclass(frozen=True, slots=True)
class Totals:
    """Hold sums and maxima over tokens.

    `sums` and `maxima` have the same shapes whatever was measured: add up one and take the maximum of the other over
    ranks, and the result is that of the whole batch.
    """

    sums: Tensor  # fp64 [2S]: the sum of every name in `summed`, then on how many tokens each was measured
    maxima: Tensor  # fp64 [M], in the order of `largest`; -inf where nothing was measured

    METRICS: ClassVar[tuple[Metric, ...]] = ()
    MOMENTS: ClassVar[tuple[str, ...]] = ()  # sums that are no metrics, but that metrics are computed from

    @classmethod
    def nothing(cls, device: torch.device) -> Self:
        """Return the totals of no token, which are neutral for `merged`."""
        return cls.of({}, device=device)

    @classmethod
    def of(cls, values: Mapping[str, Tensor], *, device: torch.device) -> Self:
        """Return the totals of one row's tokens: `values` [N] by name; names that are missing were not measured.

        Raises:
            ValueError: a name is neither a metric of these totals nor one of their moments.
        """
        summed, largest = cls.summed(), cls.largest()
        unknown = values.keys() - {*summed, *largest}
        if unknown:
            raise ValueError(f"{cls.__name__} has no metric {sorted(unknown)}; add it to METRICS or MOMENTS")
        zero = torch.zeros((), dtype=torch.float64, device=device)
        sums = [values[name].detach().sum(dtype=torch.float64) if name in values else zero for name in summed]
        counts = [values[name].numel() if name in values else 0 for name in summed]
        maxima = [_largest(values[name]) if name in values else zero - math.inf for name in largest]
        return cls(
            torch.cat([torch.stack(sums), torch.tensor(counts, dtype=torch.float64, device=device)]),
            torch.stack(maxima),
        )

    @classmethod
    def summed(cls) -> tuple[str, ...]:
        """Return the names whose values are added up, in the order of `sums`."""
        return (*(metric.name for metric in cls.METRICS if metric.reduction is not Reduction.MAX), *cls.MOMENTS)

    @classmethod
    def largest(cls) -> tuple[str, ...]:
        """Return the names of which the largest value counts, in the order of `maxima`."""
        return tuple(metric.name for metric in cls.METRICS if metric.reduction is Reduction.MAX)

    def merged(self, other: Self) -> Self:
        """Return the totals of both."""
        return type(self)(self.sums + other.sums, torch.maximum(self.maxima, other.maxima))

    def per_token(self, num_loss_tokens: int) -> Mapping[str, float]:
        """Return the metrics by name; means are over the batch's `num_loss_tokens` response tokens."""
        weighted = {metric.name for metric in self.METRICS if metric.reduction is Reduction.WEIGHTED_SUM}
        sums, counts = self.sums.view(2, -1).tolist()
        means = {
            name: total if name in weighted else total / num_loss_tokens
            for name, total, count in zip(self.summed(), sums, counts, strict=True)
            if count > 0
        }
        maxima = zip(self.largest(), self.maxima.tolist(), strict=True)
        return means | {name: largest for name, largest in maxima if largest != -math.inf}


class TokenTotals(Totals):
    """Hold the totals of the policy's loss."""

    __slots__ = ()

    METRICS = POLICY_TOKENS


def _largest(values: Tensor) -> Tensor:
    """Return the largest of values [N] as an fp64 [] tensor; -inf if there is none. No measured maximum can be -inf."""
    no_value = torch.full((1,), -math.inf, dtype=torch.float64, device=values.device)
    return torch.cat([no_value, values.detach().double()]).max()
