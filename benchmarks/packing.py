"""Measure how full the learner's rows are on ragged lengths: most responses short, a few cut off at the limit.

No learner is needed: rows are made as a run makes them, and counted. The token ids are random, because only the number
of tokens costs time.
"""

import numpy as np

from benchmarks.measure import Sizes
from benchmarks.outcomes import Figure
from contracts.batches import TrainBatch, TrainSample
from driver.learning.batching import LossWeighting, budget_efficiency, pack, packing_efficiency

MEAN_TOKENS = 150.0
"""Mean length of a sequence, prompt and response, before the longest are cut."""
LONGEST_TOKENS = 512
SHORTEST_TOKENS = 16
SIGMA = 0.6
"""Standard deviation of the lengths' logarithm: one sequence in six is longer than 1.5 times the mean, and one in a
hundred is cut."""
PROMPT_SHARE = 1 / 3
NUM_TOKEN_IDS = 256
"""Every model has at least this many token ids."""
NUM_SEQUENCES = 256
"""Sequences of a step: 32 problems, 8 responses to each. With few sequences the last row is rarely full."""
NUM_STEPS = 9
AIM = 0.95


def run(sizes: Sizes) -> list[Figure]:
    """Pack the batches of some steps and count their tokens."""
    num_ranks, row_tokens = sizes.config.learner.num_ranks, max(sizes.config.row_tokens, LONGEST_TOKENS)
    batches = [
        packed(ragged_samples(NUM_SEQUENCES, seed=seed), num_ranks=num_ranks, row_tokens=row_tokens)
        for seed in range(NUM_STEPS)
    ]
    work = (
        f"{NUM_STEPS} steps of {NUM_SEQUENCES} sequences, lognormal with mean {MEAN_TOKENS:g} and cut at "
        f"{LONGEST_TOKENS}, in rows of {row_tokens} tokens over {num_ranks} ranks"
    )
    return [
        Figure(
            name="packing, of the budget",
            what="tokens over what all rows can hold, dummy rows included",
            values=tuple(budget_efficiency(batch, row_tokens=row_tokens) for batch in batches),
            aim=AIM,
            work=work,
        ),
        Figure(
            name="packing, of the time",
            what="tokens over what the ranks spend, waiting for each other's longest row included",
            values=tuple(packing_efficiency(batch) for batch in batches),
            aim=AIM,
            work=work,
        ),
    ]


def packed(samples: list[TrainSample], *, num_ranks: int, row_tokens: int, is_padded: bool = False) -> TrainBatch:
    """Make the rows of a step, or, if `is_padded`, a row of `row_tokens` for each sequence."""
    return pack(
        samples,
        num_ranks=num_ranks,
        row_tokens=row_tokens,
        pad_token_id=0,
        policy_version=0,
        weighting=LossWeighting(aggregation="token", max_response_tokens=LONGEST_TOKENS),
        is_padded=is_padded,
    )


def ragged_samples(num: int, *, seed: int, samples_per_group: int = 8) -> list[TrainSample]:
    """Draw samples with lognormal lengths, a mean of 150 tokens, cut to [16, 512].

    A third of each is its prompt; every response has one advantage.
    """
    lengths = np.random.default_rng(seed).lognormal(np.log(MEAN_TOKENS) - SIGMA**2 / 2, SIGMA, num)
    random = np.random.default_rng(seed)
    samples = []
    for index, length in enumerate(lengths.round().clip(SHORTEST_TOKENS, LONGEST_TOKENS).astype(int).tolist()):
        num_prompt = round(length * PROMPT_SHARE)
        token_ids = tuple(random.integers(0, NUM_TOKEN_IDS, length).tolist())
        num_response = length - num_prompt
        samples.append(
            TrainSample(
                group_id=f"ragged/{index // samples_per_group}",
                prompt_token_ids=token_ids[:num_prompt],
                response_token_ids=token_ids[num_prompt:],
                sampling_logprobs=(-6.0,) * num_response,
                advantages=(float(random.normal()),) * num_response,
                policy_version=0,
            )
        )
    return samples
