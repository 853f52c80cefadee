"""Measure the tokens per second of the learner on ragged lengths, beside a bare DeepSpeed loop and beside padded rows.

The learner is asked through the driver's port, as in a run: its time runs from the batch to the report, Ray included.
The bare loop is timed in its own actors, and the slowest rank counts. It is measured twice: plain, with the logits of
all tokens and gradients sent after every row, and tuned, with neither. Both sides run one optimiser step on the same
rows, ranks and threads. Beside padded rows, the other side is the same learner, with a row as long as the batch's
longest sequence for every sequence. Only tokens of sequences are counted: padding is no work done.
"""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

from actors.fleets.learner import LearnerRanks
from benchmarks.bare_learner import PLAIN, TUNED, Care, bare_step, start_bare
from benchmarks.measure import Round, Rounds, Side, Sizes, interleaved, timed
from benchmarks.outcomes import Comparison
from benchmarks.packing import LONGEST_TOKENS, MEAN_TOKENS, packed, ragged_samples
from benchmarks.start import reserved, start_learner
from contracts.batches import TrainBatch
from driver.learning.batching import packing_efficiency

OURS = "learner: packed attention, chunked head, policy loss with its metrics, Ray"

Turn = Callable[[int], Round]


@dataclass(frozen=True)
class Opponent:
    """Hold the other side of one comparison."""

    name: str  # of the comparison
    what: str
    aim: float
    side: Side


def run(sizes: Sizes) -> list[Comparison]:
    """Measure the learner beside each of the other sides."""
    config = sizes.config
    num_ranks = config.learner.num_ranks
    batch, padded = ragged_batches(sizes)
    with (
        reserved(config, ("learner",) * (2 * num_ranks), threads=sizes.threads) as bundles,
        asyncio.Runner() as runner,
    ):
        places = bundles.layout.placements
        learner, processes = runner.run(start_learner(config, bundles, places=places[:num_ranks], policy_workers=()))
        bare, bare_processes = start_bare(config, bundles, places[num_ranks:])
        processes = (os.getpid(), *processes)
        ours = Side(turn=_steps(learner, batch, runner), processes=processes)

        def bare_side(care: Care) -> Side:
            return Side(turn=lambda number: bare_step(bare, batch, care), processes=bare_processes)

        loop = "DeepSpeed loop on transformers' model with SDPA, weighted cross-entropy,"
        opponents = [
            Opponent("learning", f"{loop} logits of all tokens, gradients sent after every row", 0.9, bare_side(PLAIN)),
            Opponent(
                "learning, tuned loop",
                f"{loop} logits of the tokens with loss only, gradients sent once a step",
                0.9,
                bare_side(TUNED),
            ),
            Opponent(
                "learning, beside padded rows",
                f"the same learner, a row of {padded.rows[0][0].token_ids.size} tokens for every sequence",
                1.5,
                Side(turn=_steps(learner, padded, runner), processes=processes),
            ),
        ]
        return [
            _comparison(opponent, interleaved(ours, opponent.side, rounds=sizes.rounds), work=_work(sizes, batch))
            for opponent in opponents
        ]


def ragged_batches(sizes: Sizes) -> tuple[TrainBatch, TrainBatch]:
    """Return the same samples packed, and padded."""
    samples = ragged_samples(sizes.sequences, seed=sizes.config.run.seed)
    num_ranks, longest = sizes.config.learner.data_parallel_size, max(sample.num_tokens for sample in samples)
    return (
        packed(samples, num_ranks=num_ranks, row_tokens=max(sizes.config.row_tokens, LONGEST_TOKENS)),
        packed(samples, num_ranks=num_ranks, row_tokens=longest, is_padded=True),
    )


def _steps(learner: LearnerRanks, batch: TrainBatch, runner: asyncio.Runner) -> Turn:
    async def step() -> float:
        return float((await learner.step(batch)).num_tokens)

    return lambda number: timed(lambda: runner.run(step()))


def _comparison(opponent: Opponent, rounds: Rounds, *, work: str) -> Comparison:
    our_rounds, their_rounds = rounds
    if our_rounds[0].work != their_rounds[0].work:
        raise RuntimeError(
            f"the two sides of {opponent.name!r} did not do the same: {our_rounds[0].work:,.0f} and "
            f"{their_rounds[0].work:,.0f} tokens"
        )
    return Comparison(
        name=opponent.name,
        unit="tokens",
        ours=OURS,
        bare=opponent.what,
        aim=opponent.aim,
        our_rounds=our_rounds,
        bare_rounds=their_rounds,
        work=work,
    )


def _work(sizes: Sizes, batch: TrainBatch) -> str:
    learner = sizes.config.learner
    num_tokens = sum(row.num_sequence_tokens for rows in batch.rows for row in rows)
    longest_row = max(row.token_ids.size for rows in batch.rows for row in rows)
    return (
        f"{batch.num_sequences} sequences, lognormal with mean {MEAN_TOKENS:g} and cut at {LONGEST_TOKENS}: "
        f"{num_tokens:,} tokens, of which {batch.num_loss_tokens:,} carry loss, {len(batch.rows[0])} rows of at most "
        f"{longest_row} on each of {learner.num_ranks} ranks (packing efficiency "
        f"{packing_efficiency(batch):.3f}); {learner.dtype}, threads a rank: {sizes.threads}"
    )
