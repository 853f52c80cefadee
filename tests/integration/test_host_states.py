"""Test real ZeRO-3 ranks whose states go to host memory between any two calls: they learn the same, bit for bit."""

from pathlib import Path

import pytest
import torch

from actors.learning.rank import LearnerRank
from actors.learning.rank_setup import RankPlace, RankSetup
from quickstart.tiny import build_tiny_model
from tests.integration.programs.learner_ranks import Job, make_samples, on_ranks, packed

Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def learn(setup: RankSetup, place: RankPlace, sleeps: bool) -> tuple[Weights, int]:
    """Take two steps; return the weights and the most bytes of states that stayed while the rank slept."""
    learner, left = LearnerRank(setup, place), 0
    for seed in (11, 12):
        if sleeps:
            learner.sleep()
            left = max(left, sum(tensor.untyped_storage().nbytes() for tensor in learner._models.states()))
            learner.wake()
        batch = packed(make_samples(seed=seed), num_ranks=place.world_size)
        learner.measure(batch.rows[place.rank])  # of all models, also those that do not learn from this batch
        learner.step(batch.rows[place.rank], num_loss_tokens=batch.num_loss_tokens, num_sequences=batch.num_sequences)
    if sleeps:
        learner.sleep()
        learner.wake()
    weights = dict(pair for bucket in learner.weights.buckets() for pair in bucket)
    learner.close()
    return weights, left


@pytest.mark.parametrize(
    ("keep_whole_mib", "extra"),
    [
        (0, {}),  # every parameter is sharded
        (256, {}),  # a small model stays whole on every rank
        (0, {"learner": (("lora", {"rank": 4}),)}),  # frozen weights beside those that learn
        (0, {"algorithm": (("name", "ppo"), ("kl", "reward"))}),  # a frozen reference and a critic
    ],
)
def test_ranks_that_slept_learn_the_same(model: Path, keep_whole_mib: int, extra: dict[str, tuple]) -> None:
    learner = (("keep_whole_mib", keep_whole_mib), *extra.get("learner", ()))
    job = Job(model=model, learner=learner, algorithm=extra.get("algorithm", ()))
    slept, stayed = on_ranks(job, learn, True), on_ranks(job, learn, False)
    assert slept[0][0].keys() == stayed[0][0].keys()
    assert all(torch.equal(tensor, stayed[0][0][name]) for name, tensor in slept[0][0].items())
    assert [left for _, left in slept] == [0, 0]
