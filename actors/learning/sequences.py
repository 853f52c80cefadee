"""Means over the sequences that lie in one row.

Owns the way from tokens to their sequences and back. Must not know what the values mean.
"""

import torch
from torch import Tensor


def sequence_means(values: Tensor, sequences: Tensor) -> Tensor:
    """Every token's value [N] replaced by the mean over the tokens of its sequence (`sequences` int64 [N]).

    Summed in fp64, so that neither the length nor the order of the tokens shows; carries no gradient.
    """
    with torch.no_grad():
        _, places, num_tokens = sequences.unique(return_inverse=True, return_counts=True)
        sums = torch.zeros(num_tokens.shape, dtype=torch.float64, device=values.device)
        means = sums.index_add(0, places, values.double()) / num_tokens
        return means[places].to(values.dtype)
