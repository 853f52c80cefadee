"""A batch whose lengths are spread as a real run's are: most responses short, a few cut off at the limit.

Owns the lengths. The tokens are random: only their number costs time. Knows no engine and no config.
"""

import numpy as np

from contracts.batches import TrainSample

MEAN_TOKENS = 150.0
"""Of a sequence, prompt and response, before the longest are cut."""
LONGEST_TOKENS = 512
SHORTEST_TOKENS = 16
SIGMA = 0.6
"""Of the lengths' logarithm: one sequence in six is longer than 1.5 times the mean, one in a hundred is cut."""
PROMPT_SHARE = 1 / 3
NUM_TOKEN_IDS = 256
"""Any model has so many."""


def ragged_lengths(num: int, *, seed: int) -> list[int]:
    """[num] lognormal with a mean of 150 tokens, cut to [16, 512]."""
    drawn = np.random.default_rng(seed).lognormal(np.log(MEAN_TOKENS) - SIGMA**2 / 2, SIGMA, num)
    return [int(length) for length in drawn.round().clip(SHORTEST_TOKENS, LONGEST_TOKENS)]


def ragged_samples(num: int, *, seed: int, samples_per_group: int = 8) -> list[TrainSample]:
    """Samples of these lengths, a third of each its prompt, with one advantage a response."""
    random = np.random.default_rng(seed)
    samples = []
    for index, length in enumerate(ragged_lengths(num, seed=seed)):
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
