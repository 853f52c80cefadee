"""Packs the samples of one optimiser step into rows, and deals the rows to the learner's ranks.

Owns which sample lies in which row, on which rank, in which micro-batch. Knows the schema and numpy; must not know
torch or the loss. Every sample is in exactly one row; every rank has the same number of micro-batches, because ZeRO-3's
collectives pair the ranks' forward passes one to one; the same samples in the same order give the same batch.
"""

from collections.abc import Sequence

import numpy as np

from driver.schema import PackedRow, TrainBatch, TrainSample

PADDING = -1  # `sequence_ids` of a token that belongs to no sample


def pack(
    samples: Sequence[TrainSample],
    *,
    num_ranks: int,
    row_tokens: int,
    pad_token_id: int,
    policy_version: int,
) -> TrainBatch:
    """Rows of at most `row_tokens` tokens, as even as they can be: attention over a row may cost its square."""
    if not samples:
        raise ValueError("no samples to pack; a step without samples must be skipped, not learned from")
    for sample in samples:
        _check(sample, row_tokens)

    lengths = [sample.num_tokens for sample in samples]
    rows = [
        _row([(index, samples[index]) for index in members])
        for members in _assign_rows(lengths, num_ranks=num_ranks, row_tokens=row_tokens)
    ]
    rows += [_dummy_row(pad_token_id) for _ in range(-len(rows) % num_ranks)]
    return TrainBatch(
        rows=_deal(rows, num_ranks=num_ranks),
        num_loss_tokens=sum(len(sample.response_token_ids) for sample in samples),
        num_sequences=len(samples),
        policy_version=policy_version,
    )


def packing_efficiency(batch: TrainBatch) -> float:
    """Tokens of samples over the token slots that the ranks spend: they wait for each other's micro-batches.

    1 means that no rank ever waits and nothing is padding.
    """
    micro_batches = list(zip(*batch.rows, strict=True))
    num_slots = len(batch.rows) * sum(max(row.token_ids.size for row in rows) for rows in micro_batches)
    num_tokens = sum(int((row.sequence_ids != PADDING).sum()) for rows in batch.rows for row in rows)
    return num_tokens / num_slots


def _check(sample: TrainSample, row_tokens: int) -> None:
    """A sample that would be mistrained silently is refused."""
    if not sample.prompt_token_ids or not sample.response_token_ids:
        raise ValueError(
            f"a sample of group {sample.group_id} has {len(sample.prompt_token_ids)} prompt and "
            f"{len(sample.response_token_ids)} response tokens; both must be at least 1"
        )
    if len(sample.sampling_logprobs) != len(sample.response_token_ids):
        raise ValueError(
            f"a sample of group {sample.group_id} has {len(sample.response_token_ids)} response tokens but "
            f"{len(sample.sampling_logprobs)} log-probabilities"
        )
    if sample.num_tokens > row_tokens:
        raise ValueError(
            f"a sample of group {sample.group_id} has {sample.num_tokens} tokens, and a row holds {row_tokens}; "
            "raise learner.row_tokens"
        )


def _assign_rows(lengths: list[int], *, num_ranks: int, row_tokens: int) -> list[list[int]]:
    """Indices of the samples of each row. First-fit-decreasing says how few rows will do; they are then evened out.

    Even rows need no dummies: their number is rounded up to a multiple of the ranks, as far as there are samples.
    """
    rows = _first_fit_decreasing(lengths, row_tokens=row_tokens)
    num_rows = min(len(rows) + -len(rows) % num_ranks, len(lengths))
    even = _emptiest_first(lengths, num_rows=num_rows)
    if max(sum(lengths[index] for index in members) for members in even) <= row_tokens:
        return even
    return rows


def _longest_first(lengths: list[int]) -> list[int]:
    return sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))


def _first_fit_decreasing(lengths: list[int], *, row_tokens: int) -> list[list[int]]:
    rows: list[list[int]] = []
    free: list[int] = []
    for index in _longest_first(lengths):
        fitting = next((row for row, room in enumerate(free) if room >= lengths[index]), None)
        if fitting is None:
            rows.append([])
            free.append(row_tokens)
            fitting = len(rows) - 1
        rows[fitting].append(index)
        free[fitting] -= lengths[index]
    return rows


def _emptiest_first(lengths: list[int], *, num_rows: int) -> list[list[int]]:
    """Longest sample first, each to the row with the fewest tokens so far."""
    rows: list[list[int]] = [[] for _ in range(num_rows)]
    filled = [0] * num_rows
    for index in _longest_first(lengths):
        row = min(range(num_rows), key=lambda candidate: (filled[candidate], candidate))
        rows[row].append(index)
        filled[row] += lengths[index]
    return rows


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


def _row(members: list[tuple[int, TrainSample]]) -> PackedRow:
    """Prompt and response of each sample, end to end; `sequence_ids` are indices into the packed samples."""
    token_ids: list[int] = []
    position_ids: list[int] = []
    loss_mask: list[bool] = []
    sampling_logprobs: list[float] = []
    advantages: list[float] = []
    sequence_ids: list[int] = []
    for index, sample in members:
        num_prompt, num_response = len(sample.prompt_token_ids), len(sample.response_token_ids)
        token_ids += [*sample.prompt_token_ids, *sample.response_token_ids]
        position_ids += range(num_prompt + num_response)
        loss_mask += [False] * num_prompt + [True] * num_response
        sampling_logprobs += [0.0] * num_prompt + [*sample.sampling_logprobs]
        advantages += [0.0] * num_prompt + [sample.advantage] * num_response
        sequence_ids += [index] * (num_prompt + num_response)
    return PackedRow(
        token_ids=np.array(token_ids, dtype=np.int64),
        position_ids=np.array(position_ids, dtype=np.int64),
        loss_mask=np.array(loss_mask, dtype=np.bool_),
        sampling_logprobs=np.array(sampling_logprobs, dtype=np.float32),
        advantages=np.array(advantages, dtype=np.float32),
        sequence_ids=np.array(sequence_ids, dtype=np.int64),
    )


def _dummy_row(pad_token_id: int) -> PackedRow:
    """One padding token: enough to walk through every layer's collectives, and nothing for the loss."""
    return PackedRow(
        token_ids=np.array([pad_token_id], dtype=np.int64),
        position_ids=np.zeros(1, dtype=np.int64),
        loss_mask=np.zeros(1, dtype=np.bool_),
        sampling_logprobs=np.zeros(1, dtype=np.float32),
        advantages=np.zeros(1, dtype=np.float32),
        sequence_ids=np.full(1, PADDING, dtype=np.int64),
    )
