"""Cut a batch into the mini-batches of its optimiser steps, pack each into rows, and deal the rows to the ranks.

Decides which groups share an optimiser step, the weight of a token's loss in its batch, and the row, rank and
micro-batch of each sample. Every sample is in exactly one row. Every rank has the same number of micro-batches, because
ZeRO-3's collectives pair the ranks' forward passes one to one. The same samples in the same order give the same batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from contracts.batches import PackedRow, TrainBatch, TrainSample
from driver.learning.packed_rows import PADDING, dummy_row, packed_row
from driver.learning.packing import Demand, assign_rows, assign_sharing

_MEASURED = ("old_logprobs", "reference_logprobs", "returns", "old_values")
"""Fields that all samples of a batch have, or none of them."""


def mini_batches(
    groups: Sequence[Sequence[TrainSample]], *, num: int, epochs: int, seed: int, step: int
) -> Iterator[list[TrainSample]]:
    """Yield the samples of each optimiser step: `num` mini-batches an epoch, or one a group if there are fewer groups.

    `groups` is [G][samples of the group]. A group is never split, and every group is in exactly one mini-batch an
    epoch. Only (seed, step, epoch) and the groups decide which: a resumed run cuts the same mini-batches. Within a
    mini-batch the groups keep their order, so one mini-batch and one epoch give the batch unchanged.
    """
    sizes = [sum(sample.num_tokens for sample in group) for group in groups]
    if not groups:
        return
    for epoch in range(epochs):
        parts = cut(sizes, num_parts=min(num, len(groups)), random=Random(f"{seed}/{step}/{epoch}"))
        for part in parts:
            yield [sample for index in sorted(part) for sample in groups[index]]


def cut(sizes: Sequence[int], *, num_parts: int, random: Random) -> list[list[int]]:
    """Return the indices of each part, chosen at random, so that the sums of two parts differ by at most one size.

    `sizes` is [G] in tokens; "one size" is the largest of them. Groups of similar size are dealt together, one to each
    part in random order. The groups left over at the end go to the emptiest parts.
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


@dataclass(frozen=True, kw_only=True, slots=True)
class LossWeighting:
    """Weigh the loss of each token: the loss of a batch is the sum of weight x loss, normalised once, here.

    The weight of a token, with N response tokens in S sequences of n_i tokens each, over the whole batch and all ranks:

        token     1 / N                           all tokens have the same weight (DAPO, arXiv 2503.14476)
        sequence  1 / (S n_i)                     all sequences have the same weight (GRPO, arXiv 2402.03300)
        constant  1 / (S max_response_tokens)     as "token", but independent of lengths (Dr. GRPO, arXiv 2503.20783)

    With `mask_truncated`, truncated samples have the weight 0 and are counted in neither N nor S.
    """

    aggregation: Literal["token", "sequence", "constant"]
    max_response_tokens: int  # of a drawn response; used by "constant" only
    mask_truncated: bool = False

    def counts(self, sample: TrainSample) -> bool:
        """Return whether the sample is learned from."""
        return not (self.mask_truncated and sample.is_truncated)

    def weights(self, samples: Sequence[TrainSample]) -> list[float]:
        """Return the weight of each sample's tokens [N]; all tokens of a sample have the same weight.

        Raises:
            ValueError: all samples are masked: there is nothing to learn, and no optimiser step to take.
        """
        lengths = [len(sample.response_token_ids) for sample in samples if self.counts(sample)]
        if not lengths:
            raise ValueError(
                f"all {len(samples)} samples are truncated, and truncated samples are masked: skip this step"
            )
        num_sequences, num_tokens = len(lengths), sum(lengths)

        def weight(sample: TrainSample) -> float:
            if not self.counts(sample):
                return 0.0
            match self.aggregation:
                case "token":
                    return 1 / num_tokens
                case "sequence":
                    return 1 / (num_sequences * len(sample.response_token_ids))
                case "constant":
                    return 1 / (num_sequences * self.max_response_tokens)

        return [weight(sample) for sample in samples]


def pack(  # noqa: PLR0913
    samples: Sequence[TrainSample],
    *,
    num_ranks: int,
    row_tokens: int,
    pad_token_id: int,
    policy_version: int,
    weighting: LossWeighting,
    share_prompts: bool = False,
    is_padded: bool = False,
) -> TrainBatch:
    """Pack samples into rows of at most `row_tokens` tokens, and deal the rows to the ranks.

    Rows are made as even as possible, because attention over a row may cost its square. With `share_prompts`, samples
    of one prompt go into one row as long as ranks do not wait longer for it, and share the prompt. With `is_padded`
    every sample gets a row of its own, padded to `row_tokens`: the baseline that packing is measured against.

    Raises:
        ValueError: there is no sample, or none that counts; a sample is empty or longer than a row; or only some
            samples have a measure (`old_logprobs`, `returns`, ...).
    """
    _check(samples, row_tokens)
    weights = weighting.weights(samples)
    if is_padded:
        assigned = [[index] for index in range(len(samples))]
    elif share_prompts:
        assigned = assign_sharing(_demands(samples), num_ranks=num_ranks, row_tokens=row_tokens)
    else:
        lengths = [sample.num_tokens for sample in samples]
        assigned = assign_rows(lengths, num_ranks=num_ranks, row_tokens=row_tokens)
    rows = [
        packed_row(
            [(index, samples[index], weights[index]) for index in members],
            share_prompts=share_prompts,
            pad_token_id=pad_token_id,
            fill_to=row_tokens if is_padded else 0,
        )
        for members in assigned
    ]
    rows += [dummy_row(rows[0], pad_token_id) for _ in range(-len(rows) % num_ranks)]
    return TrainBatch(
        rows=_deal(rows, num_ranks=num_ranks),
        num_loss_tokens=sum(len(sample.response_token_ids) for sample in samples),
        num_sequences=len(samples),
        policy_version=policy_version,
        group_ids=tuple(sample.group_id for sample in samples),
    )


def packing_efficiency(batch: TrainBatch) -> float:
    """Return the share of computed tokens in the token slots of all ranks, which wait for each other's micro-batches.

    1 means that no rank ever waits and there is no padding. A shared prompt is computed once and counted once.
    """
    micro_batches = list(zip(*batch.rows, strict=True))
    num_slots = len(batch.rows) * sum(max(row.token_ids.size for row in rows) for rows in micro_batches)
    return _num_computed(batch) / num_slots


def budget_efficiency(batch: TrainBatch, *, row_tokens: int) -> float:
    """Return the share of computed tokens in the capacity of the batch's rows, dummy rows included."""
    return _num_computed(batch) / (row_tokens * sum(len(rows) for rows in batch.rows))


def shared_fraction(batch: TrainBatch) -> float:
    """Return the share of the samples' tokens that are not computed, because another sample has the same prompt."""
    return 1 - _num_computed(batch) / sum(row.num_sequence_tokens for rows in batch.rows for row in rows)


def _num_computed(batch: TrainBatch) -> int:
    """Return the number of tokens that the models compute, without padding."""
    return sum(int((row.sequence_ids != PADDING).sum()) for rows in batch.rows for row in rows)


def _demands(samples: Sequence[TrainSample]) -> list[Demand]:
    """Return the lengths of each sample's prompt and response, with equal numbers for equal prompts."""
    prompts: dict[tuple[int, ...], int] = {}
    return [
        Demand(
            prompt=prompts.setdefault(sample.prompt_token_ids, len(prompts)),
            prompt_tokens=len(sample.prompt_token_ids),
            response_tokens=len(sample.response_token_ids),
        )
        for sample in samples
    ]


def _check(samples: Sequence[TrainSample], row_tokens: int) -> None:
    """Refuse samples that would silently be trained wrongly.

    Raises:
        ValueError: as `pack` says.
    """
    if not samples:
        raise ValueError("no samples to pack; skip a step without samples")
    for sample in samples:
        if not sample.prompt_token_ids or not sample.response_token_ids:
            raise ValueError(
                f"a sample of group {sample.group_id} has {len(sample.prompt_token_ids)} prompt and "
                f"{len(sample.response_token_ids)} response tokens; both must be at least 1"
            )
        if sample.num_tokens > row_tokens:
            raise ValueError(
                f"a sample of group {sample.group_id} has {sample.num_tokens} tokens, more than the "
                f"{row_tokens} of a row; raise learner.row_tokens"
            )
        for name in _MEASURED:
            if bool(getattr(sample, name)) != bool(getattr(samples[0], name)):
                raise ValueError(
                    f"{name} is missing in a sample of group {sample.group_id} or of group {samples[0].group_id}; "
                    "either all samples of a batch have it, or none"
                )


def _deal(rows: list[PackedRow], *, num_ranks: int) -> tuple[tuple[PackedRow, ...], ...]:
    """Return the rows of each rank [R][M].

    Rows of similar length are one micro-batch. Every second micro-batch is dealt in reverse order, so that the ranks'
    totals get even.
    """
    by_length = sorted(rows, key=lambda row: -row.token_ids.size)
    shares: list[list[PackedRow]] = [[] for _ in range(num_ranks)]
    for start in range(0, len(by_length), num_ranks):
        micro_batch = by_length[start : start + num_ranks]
        is_reversed = start // num_ranks % 2 == 1
        for share, row in zip(shares, reversed(micro_batch) if is_reversed else micro_batch, strict=True):
            share.append(row)
    return tuple(tuple(share) for share in shares)
