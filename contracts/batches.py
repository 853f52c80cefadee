"""Define the learner's data: samples with advantages, the packed rows of a batch, and what a step reports.

    TrainSample -> TrainBatch of PackedRow -> StepResult, PushResult

Each type checks its shapes when it is created. This module imports neither torch, Ray nor an engine.

Shapes: P prompt tokens, T response tokens of one sample, L tokens of one row, R ranks (or groups of ranks that split
each row), M micro-batches of one rank.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenMeasures:
    """Hold what the learner's models measure of one response before it is learned from; [0] without such a model."""

    logprobs: NDArray[np.float32]  # [T] of the policy, at the sampling temperature
    reference_logprobs: NDArray[np.float32]  # [T] or [0] of the frozen reference model
    values: NDArray[np.float32]  # [T] or [0] the critic's value of the state before each token


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainSample:
    """Hold one response with an advantage for each of its tokens: everything that the losses need.

    An empty tuple says that a value is not needed. Without `old_logprobs` the learner uses its own log-probabilities at
    the start of the step (one optimiser step for each batch). Without `reference_logprobs` the loss has no KL term.
    Without `returns` and `old_values` no critic learns.
    """

    group_id: str
    prompt_token_ids: tuple[int, ...]  # [P]
    response_token_ids: tuple[int, ...]  # [T]
    sampling_logprobs: tuple[float, ...]  # [T] of the engine, at the sampling temperature
    advantages: tuple[float, ...]  # [T]
    policy_version: int  # the oldest that sampled one of its tokens
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
        """Return the length of prompt and response, in tokens."""
        return len(self.prompt_token_ids) + len(self.response_token_ids)


class Segment(NamedTuple):
    """Describe consecutive tokens of a packed row that belong to one sequence.

    There are two kinds:

    - A whole sequence: prompt and response. Its positions are 0, 1, ..., length - 1. A token attends to the tokens of
      this segment up to itself. Padding is a segment of this kind too.
    - A response alone, whose prompt is in an earlier segment of the same row. Its positions start at `prompt_length`. A
      token attends to that prompt, and to the tokens of this segment up to itself.
    """

    length: int  # tokens
    prompt_start: int = 0  # index in the row of the prompt's first token; a response alone only
    prompt_length: int = 0  # tokens of that prompt; 0: a whole sequence


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedRow:
    """Hold several sequences in one row of L tokens, as segments that follow each other and fill the row.

    An example: two responses, (21, 22) and (31), to one prompt (11, 12) that they share, and one token of padding.

        index          0    1    2    3    4    5
        token_ids     11   12   21   22   31    0
        position_ids   0    1    2    3    2    0
        loss_mask      -    -    x    x    x    -
        sequence_ids   0    0    0    0    1   -1
        segments      (4)                 (1, prompt_start=0, prompt_length=2)
                                               (1)

    At the index of a response token, every array holds that token's own value: its sampling log-probability, its
    advantage, and so on. Outside of the responses the values are 0.

    A token is predicted by the logits of the token before it in its sequence. In the example the logits at index 2
    predict token 22, and those at index 1 predict both 21 and 31. Only the learner shifts logits and tokens against
    each other; nothing in this row is shifted.

    `old_logprobs`, `reference_logprobs`, `returns` and `old_values` are [0] if the batch's samples do not have them.
    """

    token_ids: NDArray[np.int64]  # [L]
    position_ids: NDArray[np.int64]  # [L] position of the token in its sequence
    segments: tuple[Segment, ...]  # their lengths sum to L
    loss_mask: NDArray[np.bool_]  # [L] True at response tokens
    loss_weights: NDArray[np.float32]  # [L] factor of the token's loss in the loss of the batch; 0: it does not count
    sampling_logprobs: NDArray[np.float32]  # [L] of the engine
    advantages: NDArray[np.float32]  # [L]
    sequence_ids: NDArray[np.int64]  # [L] index of the sample in the batch (a shared prompt: its first); -1: none
    old_logprobs: NDArray[np.float32]  # [L] or [0]
    reference_logprobs: NDArray[np.float32]  # [L] or [0]
    returns: NDArray[np.float32]  # [L] or [0]
    old_values: NDArray[np.float32]  # [L] or [0]

    def __post_init__(self) -> None:
        lengths = [segment.length for segment in self.segments]
        if sum(lengths) != self.token_ids.size:
            raise ValueError(f"segments of {lengths} tokens don't fill a row of {self.token_ids.size}")

    @property
    def num_sequence_tokens(self) -> int:
        """Return the tokens of all sequences: a shared prompt counts once for each of them, padding does not count."""
        return int((self.sequence_ids >= 0).sum()) + sum(segment.prompt_length for segment in self.segments)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainBatch:
    """Hold the rows of one optimiser step, for all ranks.

    `rows[rank][micro_batch]` is one row; every rank has the same number of them. The loss is the sum of loss_weights x
    token loss over all rows and tokens. It does not depend on how sequences are packed into rows and dealt to ranks. A
    dummy row has an empty mask: it adds nothing to the loss, and gives its rank a pass through the model when the other
    ranks have one, because ZeRO-3's collectives wait for all ranks.
    """

    rows: tuple[tuple[PackedRow, ...], ...]  # [R][M]
    num_loss_tokens: int  # response tokens over all ranks and micro-batches: metrics are means over them
    num_sequences: int  # over all ranks and micro-batches
    policy_version: int  # the oldest that sampled a response of the batch
    group_ids: tuple[str, ...]  # [num_sequences] group of each sequence, by its id


@dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """Report what one optimiser step did, reduced over ranks."""

    metrics: Mapping[str, float]  # by metric name
    num_tokens: int  # of the sequences: a shared prompt counts once for each of them, padding does not count
    seconds: float
    is_skipped: bool = False  # loss or gradient was not finite: no weight has changed
    not_finite: tuple[
        int, ...
    ] = ()  # ids of the sequences with a loss that is not finite; () if only a gradient is not


@dataclass(frozen=True, kw_only=True, slots=True)
class PushResult:
    """Report one push of the learner's weights to the policy workers."""

    policy_version: int
    num_tensors: int
    num_bytes: int  # of what was sent, all weights or adapters alone, counted once
    seconds: float  # with all attempts and the wait for replaced workers
    num_workers: int = 1  # workers that have the version now
    missed: tuple[str, ...] = ()  # names of the workers that missed an attempt, even if they got a later one
    attempts: int = 1
