"""Build packed rows: samples end to end, with shared prompts once and padding, or a dummy row without a sample."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contracts.batches import PackedRow, Segment, TrainSample

PADDING = -1  # `sequence_ids` of a token that belongs to no sample


def packed_row(
    members: Sequence[tuple[int, TrainSample, float]], *, share_prompts: bool, pad_token_id: int, fill_to: int = 0
) -> PackedRow:
    """Return a row of the members, end to end.

    A member is its index among the samples of the batch, the sample, and the weight of its tokens. The row is padded to
    `fill_to` tokens. Padding is a segment of its own: attention never mixes it with a sample.
    """
    placed = _placed(members, share_prompts=share_prompts)
    num_padding = max(0, fill_to - sum(one.segment.length for one in placed))

    def on_responses(values: Callable[[TrainSample], Sequence[float]]) -> NDArray[np.float32]:
        """Return the samples' values at their response tokens and 0 elsewhere, [T]; [0] if they have no such values."""
        if not values(placed[0].sample):
            return np.zeros(0, dtype=np.float32)
        parts = [one.on_response(values(one.sample)) for one in placed]
        return np.concatenate([*parts, np.zeros(num_padding, dtype=np.float32)])

    return PackedRow(
        token_ids=np.concatenate([*(one.token_ids for one in placed), np.full(num_padding, pad_token_id)]).astype(
            np.int64
        ),
        position_ids=np.concatenate([*(one.position_ids for one in placed), np.arange(num_padding)]),
        segments=(*(one.segment for one in placed), *([Segment(num_padding)] if num_padding else [])),
        loss_mask=np.concatenate([*(one.is_response for one in placed), np.zeros(num_padding, np.bool_)]),
        loss_weights=np.concatenate(
            [
                *(one.is_response * np.float32(one.weight) for one in placed),
                np.zeros(num_padding, dtype=np.float32),
            ]
        ),
        sampling_logprobs=on_responses(lambda sample: sample.sampling_logprobs),
        advantages=on_responses(lambda sample: sample.advantages),
        sequence_ids=np.concatenate(
            [*(np.full(one.segment.length, one.index) for one in placed), np.full(num_padding, PADDING)]
        ),
        old_logprobs=on_responses(lambda sample: sample.old_logprobs),
        reference_logprobs=on_responses(lambda sample: sample.reference_logprobs),
        returns=on_responses(lambda sample: sample.returns),
        old_values=on_responses(lambda sample: sample.old_values),
    )


def dummy_row(like: PackedRow, pad_token_id: int) -> PackedRow:
    """Return a row of one padding token: enough for the collectives of every layer, and nothing for the loss.

    It has the same measures as `like`: what a rank does must not depend on the rows that it got.
    """

    def zeros(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.zeros(min(1, values.size), dtype=np.float32)

    return PackedRow(
        token_ids=np.array([pad_token_id], dtype=np.int64),
        position_ids=np.zeros(1, dtype=np.int64),
        segments=(Segment(1),),
        loss_mask=np.zeros(1, dtype=np.bool_),
        loss_weights=np.zeros(1, dtype=np.float32),
        sampling_logprobs=np.zeros(1, dtype=np.float32),
        advantages=np.zeros(1, dtype=np.float32),
        sequence_ids=np.full(1, PADDING, dtype=np.int64),
        old_logprobs=zeros(like.old_logprobs),
        reference_logprobs=zeros(like.reference_logprobs),
        returns=zeros(like.returns),
        old_values=zeros(like.old_values),
    )


@dataclass(frozen=True, slots=True)
class _Placed:
    """Hold a sample and its segment of the row, of n tokens."""

    index: int  # among the samples of the batch
    sample: TrainSample
    weight: float  # of each of its tokens
    segment: Segment

    @property
    def position_ids(self) -> NDArray[np.int64]:
        """Return the positions [n] in the sequence."""
        return np.arange(self.segment.length, dtype=np.int64) + self.segment.prompt_length

    @property
    def token_ids(self) -> tuple[int, ...]:
        """Return the tokens [n], without a prompt that the row already has."""
        return (self.sample.prompt_token_ids + self.sample.response_token_ids)[self.segment.prompt_length :]

    @property
    def is_response(self) -> NDArray[np.bool_]:
        """Return which of the tokens [n] are response tokens."""
        return self.position_ids >= len(self.sample.prompt_token_ids)

    def on_response(self, values: Sequence[float]) -> NDArray[np.float32]:
        """Return the values at the response tokens and 0 elsewhere, [n]."""
        num_zeros = self.segment.length - len(self.sample.response_token_ids)
        return np.concatenate([np.zeros(num_zeros, dtype=np.float32), np.array(values, dtype=np.float32)])


def _placed(members: Sequence[tuple[int, TrainSample, float]], *, share_prompts: bool) -> list[_Placed]:
    """Return each member with its segment: prompt and response, or the response only if the row has the prompt."""
    starts: dict[tuple[int, ...], int] = {}
    placed: list[_Placed] = []
    end = 0
    for index, sample, weight in members:
        prompt = sample.prompt_token_ids
        if share_prompts and prompt in starts:
            segment = Segment(len(sample.response_token_ids), prompt_start=starts[prompt], prompt_length=len(prompt))
        else:
            starts[prompt] = end
            segment = Segment(sample.num_tokens)
        placed.append(_Placed(index, sample, weight, segment))
        end += segment.length
    return placed
