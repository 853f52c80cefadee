"""What the learner is given and what it gives back: the second half of a run's data.

    TrainSample -> TrainBatch -> StepResult, PushResult

Owns the shapes and their invariants, checked at birth, as contracts/rollouts.py does for all that comes before. Must
not know torch, Ray or any engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenMeasures:
    """What the learner's models say of one response before it is learned from; empty where the model doesn't exist."""

    logprobs: NDArray[np.float32]  # [T] of the policy, at the sampling temperature
    reference_logprobs: NDArray[np.float32]  # [T] or [0] of the frozen reference model
    values: NDArray[np.float32]  # [T] or [0] the critic's, of the state before each token


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSample:
    """One response with an advantage for each of its tokens: what the losses need, and nothing else.

    An empty tuple says that a value is not needed: without `old_logprobs` the learner's own at the start of the step
    count (one optimiser step a batch); without `reference_logprobs` there is no KL in the loss; without `returns` and
    `old_values` no critic learns.
    """

    group_id: str
    prompt_token_ids: tuple[int, ...]  # [P]
    response_token_ids: tuple[int, ...]  # [T]
    sampling_logprobs: tuple[float, ...]  # [T] the engine's, at the sampling temperature
    advantages: tuple[float, ...]  # [T]
    policy_version: int
    is_truncated: bool = False
    old_logprobs: tuple[float, ...] = ()  # [T] or ()
    reference_logprobs: tuple[float, ...] = ()  # [T] or ()
    returns: tuple[float, ...] = ()  # [T] or ()
    old_values: tuple[float, ...] = ()  # [T] or ()

    def __post_init__(self) -> None:
        num_tokens = len(self.response_token_ids)
        for name in ("sampling_logprobs", "advantages"):
            if len(getattr(self, name)) != num_tokens:
                raise ValueError(
                    f"a sample of group {self.group_id} has {num_tokens} response tokens but "
                    f"{len(getattr(self, name))} {name}"
                )
        for name in ("old_logprobs", "reference_logprobs", "returns", "old_values"):
            if len(getattr(self, name)) not in (0, num_tokens):
                raise ValueError(
                    f"a sample of group {self.group_id} has {num_tokens} response tokens but "
                    f"{len(getattr(self, name))} {name}"
                )

    @property
    def num_tokens(self) -> int:
        return len(self.prompt_token_ids) + len(self.response_token_ids)


class Segment(NamedTuple):
    """Tokens of a packed row that belong together, with `position_ids` that count on from one to the next.

    Either a whole sequence, prompt and response, from position 0; or a response alone, which goes on where a prompt
    that lies earlier in the row ends, and sees that prompt and itself.
    """

    length: int
    prompt_start: int = 0  # in the row
    prompt_length: int = 0  # of the prompt that it goes on from; 0: it is a whole sequence


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedRow:
    """Several sequences in one row of [T] tokens, as segments that lie end to end and fill it.

    At the position of a response token the arrays hold that token's own values (its sampling log-probability, its
    advantage). A token is predicted by the logits of the one before it in its sequence: the position before, or a
    shared prompt's last. The learner shifts, nobody else does. The last four are [0] where the batch's samples don't
    have them.
    """

    token_ids: NDArray[np.int64]  # [T]
    position_ids: NDArray[np.int64]  # [T] in the sequence
    segments: tuple[Segment, ...]
    loss_mask: NDArray[np.bool_]  # [T] True at response tokens
    loss_weights: NDArray[np.float32]  # [T] of a token's loss in the batch's; 0 outside the mask, and of what is masked
    sampling_logprobs: NDArray[np.float32]  # [T] 0 outside the mask
    advantages: NDArray[np.float32]  # [T] 0 outside the mask
    sequence_ids: NDArray[np.int64]  # [T] which sequence of the batch a token belongs to (a prompt: its first); -1 none
    old_logprobs: NDArray[np.float32]  # [T] or [0]
    reference_logprobs: NDArray[np.float32]  # [T] or [0]
    returns: NDArray[np.float32]  # [T] or [0]
    old_values: NDArray[np.float32]  # [T] or [0]

    def __post_init__(self) -> None:
        lengths = [segment.length for segment in self.segments]
        if sum(lengths) != self.token_ids.size:
            raise ValueError(f"segments of {lengths} tokens don't fill a row of {self.token_ids.size}")

    @property
    def num_sequence_tokens(self) -> int:
        """Tokens of the row's sequences: a prompt as often as it is learned from, padding left out."""
        return int((self.sequence_ids >= 0).sum()) + sum(segment.prompt_length for segment in self.segments)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainBatch:
    """One optimiser step for all ranks: `rows[rank][micro_batch]`, the same number of micro-batches on every rank.

    The loss is the sum over all rows and tokens of loss_weights x token loss: however the sequences are packed and
    dealt, it is the same number. A row whose mask is empty (a dummy) keeps the ranks' collectives in step and adds
    nothing to the loss.
    """

    rows: tuple[tuple[PackedRow, ...], ...]  # [R][M]
    num_loss_tokens: int  # response tokens over all ranks and micro-batches: metrics are means over them
    num_sequences: int  # over all ranks
    policy_version: int  # of the weights that the samples were drawn from (the oldest of them)
    group_ids: tuple[str, ...]  # [num_sequences] by sequence id


@dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """What one optimiser step did, reduced over ranks. Keys are metric names (docs/learning.md)."""

    metrics: Mapping[str, float]
    num_tokens: int  # of the sequences learned from: a shared prompt once for each of them, padding left out
    seconds: float
    is_skipped: bool = False  # loss or gradient was not finite: no weight has changed
    not_finite: tuple[
        int, ...
    ] = ()  # sequence ids whose loss was not finite; may be empty where only a gradient wasn't


@dataclass(frozen=True, kw_only=True, slots=True)
class PushResult:
    """One transfer of the learner's weights to the policy workers."""

    policy_version: int
    num_tensors: int
    num_bytes: int  # of the weights, once
    seconds: float  # all attempts and waiting for replaced workers included
    num_workers: int = 1  # that serve the version now
    missed: tuple[str, ...] = ()  # names of workers that an attempt failed to reach, whether a later one did or not
    attempts: int = 1
