"""Which tensors are gathered together when the weights are walked through.

Owns the cut into buckets. Pure: every rank works it out for itself, from the same metadata, and gets the same.
"""

from collections.abc import Mapping
from math import prod
from types import MappingProxyType
from typing import TypeAlias

import torch

Metadata: TypeAlias = list[tuple[str, torch.dtype, tuple[int, ...]]]

_NOTHING: Mapping[str, int] = MappingProxyType({})


def plan_buckets(metadata: Metadata, max_bytes: int, *, extra_bytes: Mapping[str, int] = _NOTHING) -> list[list[str]]:
    """Names in their order, cut so that a bucket holds at most `max_bytes`; a larger tensor travels alone.

    `extra_bytes`: what must be gathered together with a tensor, beyond its own size, by its name.
    """
    if max_bytes < 1:
        raise ValueError(f"a bucket must hold at least 1 byte, got {max_bytes}")
    buckets: list[list[str]] = []
    free = 0
    for name, dtype, shape in metadata:
        size = prod(shape) * dtype.itemsize + extra_bytes.get(name, 0)
        if not buckets or size > free:
            buckets.append([])
            free = max_bytes
        buckets[-1].append(name)
        free -= size
    return buckets
