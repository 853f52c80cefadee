"""Test that learner ranks on GPUs take the steps that ranks on the CPU take."""

from pathlib import Path

import pytest
import torch

from actors.learning.rank import LearnerRank
from actors.learning.rank_setup import RankPlace, RankSetup
from quickstart.tiny import build_tiny_model
from tests.gpu.device import DEVICE, needs_gpus
from tests.integration.programs.learner_ranks import Job, make_samples, on_ranks, packed

NUM_STEPS = 3
SHARDED = (("keep_whole_mib", 0),)
CHANGE = 0.05
"""Largest distance of two runs' changes of the weights, as a share of the change. Adam's first steps follow the sign of
each gradient, and rounding turns the sign of the smallest ones."""

Weights = dict[str, torch.Tensor]


def train(setup: RankSetup, place: RankPlace) -> tuple[Weights, Weights, list[dict[str, float]]]:
    """Return the weights before and after three steps, and the metrics of each step."""
    learner = LearnerRank(setup, place)
    before = _weights(learner)
    metrics = []
    for seed in range(NUM_STEPS):
        batch = packed(make_samples(seed=seed), num_ranks=setup.learner.data_parallel_size)
        rows = batch.rows[place.rank // setup.learner.sequence_parallel_size]
        report = learner.step(rows, num_loss_tokens=batch.num_loss_tokens, num_sequences=batch.num_sequences)
        metrics.append(dict(report.metrics))
    after = _weights(learner)
    learner.close()
    return before, after, metrics


def _weights(learner: LearnerRank) -> Weights:
    return {name: tensor.float().cpu().clone() for bucket in learner.weights.buckets() for name, tensor in bucket}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.mark.parametrize(
    ("num_ranks", "learner"),
    [
        pytest.param(1, SHARDED, marks=needs_gpus(1), id="one rank"),
        pytest.param(2, SHARDED, marks=needs_gpus(2), id="two ranks, sharded"),
        pytest.param(2, (("keep_whole_mib", 64),), marks=needs_gpus(2), id="two ranks, whole"),
        pytest.param(2, (*SHARDED, ("sequence_parallel_size", 2)), marks=needs_gpus(2), id="two ranks, rows split"),
    ],
)
def test_three_steps_are_those_of_one_rank_on_the_cpu(
    model: Path, num_ranks: int, learner: tuple[tuple[str, object], ...]
) -> None:
    expected_before, expected_after, expected = on_ranks(Job(model=model, num_ranks=1, learner=SHARDED), train)[0]
    job = Job(model=model, num_ranks=num_ranks, learner=learner, device=DEVICE)
    before, after, metrics = on_ranks(job, train)[0]
    for name, start in expected_before.items():
        assert torch.equal(before[name], start), name
    for name in ("policy/loss", "policy/grad_norm"):
        for one, other in zip(metrics, expected, strict=True):
            assert one[name] == pytest.approx(other[name], rel=1e-2, abs=1e-4), name
    moved = torch.cat([(expected_after[name] - start).flatten() for name, start in expected_before.items()])
    found = torch.cat([(after[name] - start).flatten() for name, start in expected_before.items()])
    assert moved.norm() > 0
    assert (found - moved).norm() < CHANGE * moved.norm()
