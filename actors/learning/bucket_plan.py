"""Which tensors are gathered together when the weights are walked through.

Owns the cut into buckets. Pure: every rank works it out for itself, from the same metadata, and gets the same.
"""

from math import prod
from typing import TypeAlias

import torch

Metadata: TypeAlias = list[tuple[str, torch.dtype, tuple[int, ...]]]


def plan_buckets(metadata: Metadata, max_bytes: int) -> list[list[str]]:
    """Names in their order, cut so that a bucket holds at most `max_bytes`; a larger tensor travels alone."""
    if max_bytes < 1:
        raise ValueError(f"a bucket must hold at least 1 byte, got {max_bytes}")
    buckets: list[list[str]] = []
    free = 0
    for name, dtype, shape in metadata:
        size = prod(shape) * dtype.itemsize
        if not buckets or size > free:
            buckets.append([])
            free = max_bytes
        buckets[-1].append(name)
        free -= size
    return buckets
