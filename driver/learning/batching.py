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

_MEASURED = ("old_logprobs", "reference_logprobs", "returns", "old_values")  # of all samples of a batch, or of none


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
    """How the losses of tokens become the one of their batch: the sum of weight x loss, normalised once, here.

    With N response tokens in S sequences, the i-th of n_i tokens, over the whole batch and all ranks:

        token     1 / N                           each token alike (DAPO, arXiv 2503.14476)
        sequence  1 / (S n_i)                     each sequence alike (GRPO, arXiv 2402.03300)
        constant  1 / (S max_response_tokens)     as token, without a say of the lengths drawn (Dr. GRPO, 2503.20783)

    With `mask_truncated`, truncated samples weigh 0 and are counted in neither N nor S.
    """

    aggregation: Literal["token", "sequence", "constant"]
    max_response_tokens: int  # of a drawn response; read by "constant" alone
    mask_truncated: bool = False

    def counts(self, sample: TrainSample) -> bool:
        """Whether the sample is learned from."""
        return not (self.mask_truncated and sample.is_truncated)

    def weights(self, samples: Sequence[TrainSample]) -> list[float]:
        """[samples] what each token of a sample weighs.

        Raises:
            ValueError: all samples are masked; there is nothing to learn, and no optimiser step to take.
        """
        lengths = [len(sample.response_token_ids) for sample in samples if self.counts(sample)]
        if not lengths:
            raise ValueError(
                f"all {len(samples)} samples are truncated, and truncated ones are masked: such a step must be skipped"
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
    """Rows of at most `row_tokens` tokens, as even as they can be: attention over a row may cost its square.

    With `share_prompts` samples of one prompt go into one row as far as that is no longer wait, and have it in common.
    `is_padded` gives every sample a row of its own, filled up to `row_tokens`: what packing is measured against.

    Raises:
        ValueError: no sample; one that is empty or longer than a row; none that counts; or some have a measure
            (`old_logprobs`, `returns`, ...) and others don't.
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
    """Tokens to compute over the token slots that the ranks spend: they wait for each other's micro-batches.

    1 means that no rank ever waits and nothing is padding. A shared prompt is computed once and counted once.
    """
    micro_batches = list(zip(*batch.rows, strict=True))
    num_slots = len(batch.rows) * sum(max(row.token_ids.size for row in rows) for rows in micro_batches)
    return _num_computed(batch) / num_slots


def budget_efficiency(batch: TrainBatch, *, row_tokens: int) -> float:
    """Tokens to compute over what the batch's rows could hold, dummies included."""
    return _num_computed(batch) / (row_tokens * sum(len(rows) for rows in batch.rows))


def shared_fraction(batch: TrainBatch) -> float:
    """Tokens of samples that are not computed, because another sample of the row has the same prompt; of all."""
    return 1 - _num_computed(batch) / sum(row.num_sequence_tokens for rows in batch.rows for row in rows)


def _num_computed(batch: TrainBatch) -> int:
    return sum(int((row.sequence_ids != PADDING).sum()) for rows in batch.rows for row in rows)


def _demands(samples: Sequence[TrainSample]) -> list[Demand]:
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
    """What would be mistrained silently is refused."""
    if not samples:
        raise ValueError("no samples to pack; a step without samples must be skipped, not learned from")
    for sample in samples:
        if not sample.prompt_token_ids or not sample.response_token_ids:
            raise ValueError(
                f"a sample of group {sample.group_id} has {len(sample.prompt_token_ids)} prompt and "
                f"{len(sample.response_token_ids)} response tokens; both must be at least 1"
            )
        if sample.num_tokens > row_tokens:
            raise ValueError(
                f"a sample of group {sample.group_id} has {sample.num_tokens} tokens, and a row holds {row_tokens}; "
                "raise learner.row_tokens"
            )
        for name in _MEASURED:
            if bool(getattr(sample, name)) != bool(getattr(samples[0], name)):
                raise ValueError(
                    f"{name} of a sample of group {sample.group_id} or of group {samples[0].group_id} is missing; a "
                    "batch has them for all samples or for none"
                )


def _deal(rows: list[PackedRow], *, num_ranks: int) -> tuple[tuple[PackedRow, ...], ...]:
    """Rows of like length become one micro-batch; turning the order round each time evens out the ranks' totals."""
    by_length = sorted(rows, key=lambda row: -row.token_ids.size)
    shares: list[list[PackedRow]] = [[] for _ in range(num_ranks)]
    for start in range(0, len(by_length), num_ranks):
        micro_batch = by_length[start : start + num_ranks]
        is_turned = start // num_ranks % 2 == 1
        for share, row in zip(shares, reversed(micro_batch) if is_turned else micro_batch, strict=True):
            share.append(row)
    return tuple(tuple(share) for share in shares)
