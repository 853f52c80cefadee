"""Metrics over tokens that add up: over rows, over micro-batches, over ranks.

Owns the metrics' names and how each is reduced. Must not know a formula: whoever computes a value per token hands it
over under a name. A name that was measured nowhere is left out in the end; a 0 would be a claim.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Totals:
    """`sums` and `maxima` have the same shapes whatever was measured: add up one and take the maximum of the other over
    ranks, and the result is the whole batch's."""

    sums: Tensor  # fp64 [2S]: the sum of every name in SUMS, then on how many tokens each was measured
    maxima: Tensor  # fp64 [M], in the order of MAXIMA; -inf where nothing was measured

    SUMS: ClassVar[tuple[str, ...]] = ()
    MAXIMA: ClassVar[tuple[str, ...]] = ()
    WEIGHTED: ClassVar[tuple[str, ...]] = ()  # of SUMS: already shares of the batch's loss, never divided again

    @classmethod
    def nothing(cls, device: torch.device) -> Self:
        """Of no token: neutral for `merged`."""
        return cls.of({}, device=device)

    @classmethod
    def of(cls, values: Mapping[str, Tensor], *, device: torch.device) -> Self:
        """Of the tokens of one row: `values` [N] by name; names that are missing were not measured."""
        unknown = values.keys() - {*cls.SUMS, *cls.MAXIMA}
        if unknown:
            raise ValueError(f"{cls.__name__} has no metric {sorted(unknown)}; add the name to SUMS or MAXIMA")
        zero = torch.zeros((), dtype=torch.float64, device=device)
        sums = [values[name].detach().sum(dtype=torch.float64) if name in values else zero for name in cls.SUMS]
        counts = [values[name].numel() if name in values else 0 for name in cls.SUMS]
        maxima = [_largest(values[name]) if name in values else zero - math.inf for name in cls.MAXIMA]
        return cls(
            torch.cat([torch.stack(sums), torch.tensor(counts, dtype=torch.float64, device=device)]),
            torch.stack(maxima),
        )

    def merged(self, other: Self) -> Self:
        return type(self)(self.sums + other.sums, torch.maximum(self.maxima, other.maxima))

    def per_token(self, num_loss_tokens: int) -> Mapping[str, float]:
        """The metrics by name: means over the batch's `num_loss_tokens` response tokens, maxima, weighted sums."""
        sums, counts = self.sums.view(2, -1).tolist()
        means = {
            name: total if name in self.WEIGHTED else total / num_loss_tokens
            for name, total, count in zip(self.SUMS, sums, counts, strict=True)
            if count > 0
        }
        maxima = zip(self.MAXIMA, self.maxima.tolist(), strict=True)
        return means | {name: largest for name, largest in maxima if largest != -math.inf}


class TokenTotals(Totals):
    """Of the policy's loss (docs/learning.md says what each name means)."""

    __slots__ = ()

    SUMS = (
        "policy/loss",
        "policy/kl_loss",
        "policy/entropy",
        "policy/ratio_mean",
        "policy/clip_fraction",
        "policy/clip_fraction_low",
        "policy/clip_fraction_high",
        "policy/dual_clip_fraction",
        "policy/approx_kl",
        "policy/reference_kl",
        "policy/logprob_diff_mean",
        "policy/mismatch_kl",
        "policy/importance_ratio_mean",
        "policy/importance_capped_fraction",
        "policy/importance_masked_fraction",
    )
    MAXIMA = ("policy/ratio_max", "policy/logprob_diff_max", "policy/importance_ratio_max")
    WEIGHTED = ("policy/loss", "policy/kl_loss")


def _largest(values: Tensor) -> Tensor:
    """fp64 scalar; -inf of no values. None of the measured maxima can be -inf."""
    no_value = torch.full((1,), -math.inf, dtype=torch.float64, device=values.device)
    return torch.cat([no_value, values.detach().double()]).max()
