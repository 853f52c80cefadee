"""How full the learner's rows are on ragged lengths, without a learner: rows are made as a run's are, and counted."""

from benchmarks.measure import Figure, Sizes
from benchmarks.ragged import LONGEST_TOKENS, MEAN_TOKENS, ragged_samples
from driver.learning.batching import LossWeighting, budget_efficiency, pack, packing_efficiency

NUM_SEQUENCES = 256
"""Of a step: 32 problems, 8 responses to each. The last row of a few sequences is rarely full, whoever packs."""
NUM_STEPS = 9
AIM = 0.95


def run(sizes: Sizes) -> list[Figure]:
    num_ranks, row_tokens = sizes.config.learner.num_ranks, max(sizes.config.row_tokens, LONGEST_TOKENS)
    batches = [
        pack(
            ragged_samples(NUM_SEQUENCES, seed=seed),
            num_ranks=num_ranks,
            row_tokens=row_tokens,
            pad_token_id=0,
            policy_version=0,
            weighting=LossWeighting(aggregation="token", max_response_tokens=row_tokens),
        )
        for seed in range(NUM_STEPS)
    ]
    of_budget = [budget_efficiency(batch, row_tokens=row_tokens) for batch in batches]
    of_slots = [packing_efficiency(batch) for batch in batches]
    work = (
        f"{NUM_STEPS} steps of {NUM_SEQUENCES} sequences, lognormal with mean {MEAN_TOKENS:g} and cut at "
        f"{LONGEST_TOKENS}, in rows of {row_tokens} tokens over {num_ranks} ranks"
    )
    return [
        Figure(
            name="packing, of the budget",
            what="tokens over what all rows can hold, dummy rows included",
            values=tuple(of_budget),
            aim=AIM,
            work=work,
        ),
        Figure(
            name="packing, of the time",
            what="tokens over what the ranks spend, waiting for each other's longest row included",
            values=tuple(of_slots),
            aim=AIM,
            work=work,
        ),
    ]
