"""Test a loss or gradient that is not finite, on any rank: no rank changes anything, and the next step is clean."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite, nan

import pytest
import torch

from actors.learning.rank import LearnerRank
from actors.learning.rank_setup import RankPlace, RankSetup
from contracts.batches import StepResult, TokenMeasures, TrainSample
from tests.integration.programs.learner_ranks import Job, make_samples, on_ranks, packed

Batch = Sequence[TrainSample]

PPO = (("name", "ppo"),)
LEARNER = (("schedule", "cosine"), ("warmup_steps", 3))
HUGE = 3e37
"""An advantage: fp32 holds the token's loss, and not the square of its gradient."""
HUGE_RETURN = 1.5e19
"""fp32 holds half the squared error, and not the square of its gradient, which the hidden state makes larger."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    reports: list[StepResult]
    weights: dict[str, torch.Tensor]  # on rank 0
    measures: dict[int, TokenMeasures]  # of this rank's sequences, in the end


def learn(setup: RankSetup, place: RankPlace, batches: Sequence[Batch], measures: bool) -> Outcome:
    learner = LearnerRank(setup, place)
    reports = []
    for samples in batches:
        batch = packed(samples, num_ranks=place.world_size)
        if measures:
            learner.measure(batch.rows[place.rank])
        reports.append(
            learner.step(
                batch.rows[place.rank], num_loss_tokens=batch.num_loss_tokens, num_sequences=batch.num_sequences
            )
        )
    weights = dict(pair for bucket in learner.weights.buckets() for pair in bucket)
    last = dict(learner.measure(packed(batches[0], num_ranks=place.world_size).rows[place.rank]))
    learner.close()
    return Outcome(reports=reports, weights=weights, measures=last)


def with_returns(samples: Batch, value: float = 1.0) -> list[TrainSample]:
    return [
        replace(
            sample,
            returns=(value,) * len(sample.response_token_ids),
            old_values=(0.0,) * len(sample.response_token_ids),
        )
        for sample in samples
    ]


def spoilt(samples: Batch, index: int, **changes: float) -> list[TrainSample]:
    """Return the same samples with one value at the last token of one of them."""
    spoilt = list(samples)
    for name, value in changes.items():
        values = getattr(spoilt[index], name)
        spoilt[index] = replace(spoilt[index], **{name: (*values[:-1], value)})
    return spoilt


GOOD = [make_samples(seed=number) for number in (1, 2, 3)]
BAD = {
    "loss": spoilt(GOOD[0], 3, advantages=nan),
    "losses": spoilt(spoilt(GOOD[0], 3, advantages=nan), 6, advantages=inf),
    "gradient": spoilt(GOOD[0], 1, advantages=HUGE),
    "one sequence": spoilt(GOOD[0][:1], 0, advantages=nan),  # the other rank has a dummy row and nothing else
}
CRITIC_BAD = {
    "critic's loss": spoilt(with_returns(GOOD[0]), 2, returns=nan),
    "critic's gradient": spoilt(with_returns(GOOD[0][6:]), 0, returns=HUGE_RETURN),
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Outcome]]:
    """Return the outcomes of each rank, for a learner with bad batches and one without.

    "seen" saw all bad batches between the good ones, and measured each before it learned from it. "unseen" saw and
    learned from only the good ones.
    """
    from quickstart.tiny import build_tiny_model

    model = build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")
    critic = Job(model=model, learner=LEARNER, algorithm=PPO)
    sharded = Job(model=model, learner=(*LEARNER, ("keep_whole_mib", 0), ("gradient_checkpointing", True)))
    offloaded = Job(model=model, learner=(*LEARNER, ("offload_optimizer", True)))
    bad = list(BAD.values())
    seen = [GOOD[0], *bad[:2], GOOD[1], *bad[2:], GOOD[2]]
    critic_good = [with_returns(samples) for samples in GOOD]
    critic_seen = [critic_good[0], *map(with_returns, bad), *CRITIC_BAD.values(), *critic_good[1:]]
    return {
        "critic, unseen": on_ranks(critic, learn, critic_good, False),
        "critic, seen": on_ranks(critic, learn, critic_seen, True),
        "sharded, unseen": on_ranks(sharded, learn, GOOD, False),
        "sharded, seen": on_ranks(sharded, learn, seen, True),
        "offloaded, unseen": on_ranks(offloaded, learn, GOOD, False),
        "offloaded, seen": on_ranks(offloaded, learn, seen, True),
    }


def learned(outcome: Outcome) -> list[dict[str, float]]:
    """Return the losses, gradients and rates of the steps that were taken."""
    return [
        {name: value for name, value in report.metrics.items() if not name.startswith("learner/")}
        for report in outcome.reports
        if not report.is_skipped
    ]


@pytest.mark.parametrize("name", ["critic", "sharded", "offloaded"])
def test_after_a_skipped_step_all_goes_on_as_if_the_batch_had_never_been_seen(
    outcomes: dict[str, list[Outcome]], name: str
) -> None:
    for seen, unseen in zip(outcomes[f"{name}, seen"], outcomes[f"{name}, unseen"], strict=True):
        assert len(learned(unseen)) == 3
        assert learned(seen) == learned(unseen)  # to the last bit
        assert seen.weights.keys() == unseen.weights.keys()
        assert all(torch.equal(seen.weights[weight], unseen.weights[weight]) for weight in seen.weights)
        for sequence, measures in seen.measures.items():
            assert measures.logprobs.tobytes() == unseen.measures[sequence].logprobs.tobytes()
            assert measures.values.tobytes() == unseen.measures[sequence].values.tobytes()


@pytest.mark.parametrize("name", ["sharded", "offloaded"])
def test_every_rank_skips_the_same_steps_and_names_the_sequences_at_fault(
    outcomes: dict[str, list[Outcome]], name: str
) -> None:
    one, two = outcomes[f"{name}, seen"]
    assert one.reports == two.reports
    assert [report.is_skipped for report in one.reports] == [False, True, True, False, True, True, False]
    loss, losses, gradient, one_sequence = (report.not_finite for report in one.reports if report.is_skipped)
    assert (loss, losses, one_sequence) == ((3,), (3, 6), (0,))
    assert gradient == ()  # every loss is finite: so the faulty sequence is unknown


def test_the_critic_and_the_policy_skip_together(outcomes: dict[str, list[Outcome]]) -> None:
    one, two = outcomes["critic, seen"]
    assert one.reports == two.reports
    assert [report.is_skipped for report in one.reports] == [False, *[True] * 6, False, False]
    assert [report.not_finite for report in one.reports[1:7]] == [(3,), (3, 6), (), (0,), (2,), ()]


def test_a_skipped_step_reports_no_number_that_is_not_finite(outcomes: dict[str, list[Outcome]]) -> None:
    for report in outcomes["critic, seen"][0].reports:
        assert all(isfinite(value) for value in report.metrics.values())
        assert ("policy/grad_norm" in report.metrics) != report.is_skipped
