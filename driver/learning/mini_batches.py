"""Cuts one batch into the mini-batches of its optimiser steps, epoch by epoch.

Owns which groups share an optimiser step. Pure. A group is never torn apart, every group is in one mini-batch an epoch,
and only (seed, step, epoch) and the groups decide which: a run that is resumed cuts the same ones.
"""

from collections.abc import Iterator, Sequence
from random import Random

from contracts.batches import TrainSample


def mini_batches(
    groups: Sequence[Sequence[TrainSample]], *, num: int, epochs: int, seed: int, step: int
) -> Iterator[list[TrainSample]]:
    """The samples of each optimiser step; `num` a time through, fewer where there are fewer groups.

    Within one the groups keep their order, so that one mini-batch and one epoch give the batch as it is.
    """
    sizes = [sum(sample.num_tokens for sample in group) for group in groups]
    if not groups:
        return
    for epoch in range(epochs):
        parts = cut(sizes, num_parts=min(num, len(groups)), random=Random(f"{seed}/{step}/{epoch}"))
        for part in parts:
            yield [sample for index in sorted(part) for sample in groups[index]]


def cut(sizes: Sequence[int], *, num_parts: int, random: Random) -> list[list[int]]:
    """Indices of each part, at random but for this: their sums differ by at most the largest size.

    Groups of like size are dealt out together, one to each part in random order; what is left over at the end goes to
    the emptiest parts.
    """
    parts: list[list[int]] = [[] for _ in range(num_parts)]
    filled = [0] * num_parts
    largest_first = sorted(range(len(sizes)), key=lambda index: (-sizes[index], index))
    for start in range(0, len(sizes), num_parts):
        alike = largest_first[start : start + num_parts]
        order = random.sample(range(num_parts), num_parts)
        if len(alike) < num_parts:
            order.sort(key=lambda part: filled[part])
        for index, part in zip(alike, order, strict=False):
            parts[part].append(index)
            filled[part] += sizes[index]
    random.shuffle(parts)
    return parts
