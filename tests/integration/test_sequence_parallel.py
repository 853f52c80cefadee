"""Test that ranks that split each row learn what one rank learns from whole rows, and measure the same.

Their gradients are in test_learner_gradients.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from actors.learning.rank import LearnerRank
from actors.learning.rank_setup import RankPlace, RankSetup
from contracts.batches import PackedRow, StepResult, TokenMeasures, TrainSample
from contracts.errors import BadInput
from tests.integration.programs.learner_ranks import Job, on_ranks, packed, with_measures
from tests.integration.programs.plain_learning import Weights, batches

NUM_STEPS = 3
PPO = (("name", "ppo"), ("kl", "loss"), ("kl_estimator", "k3"), ("kl_coefficient", 0.2))
GSPO = (("loss", "gspo"), ("aggregation", "sequence"), ("kl", "reward"))
"""A loss that compares all tokens of a sequence, whichever rank computed them."""
SHARDED = (("keep_whole_mib", 0), ("gradient_checkpointing", True))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Hold what a rank saw in three steps."""

    before: Weights  # rank 0 only
    after: Weights
    measures: list[dict[int, TokenMeasures]]  # of each batch, before it was learned from
    reports: list[StepResult]


@dataclass(frozen=True)
class Ranks:
    """Deal rows to a rank, as the driver does: those that split rows get the same."""

    learner: LearnerRank
    setup: RankSetup
    place: RankPlace
    shares_prompts: bool

    def rows(self, samples: Sequence[TrainSample]) -> tuple[PackedRow, ...]:
        groups = self.setup.learner.data_parallel_size
        batch = packed(samples, num_ranks=groups, row_tokens=73, share_prompts=self.shares_prompts)
        return batch.rows[self.place.rank // self.setup.learner.sequence_parallel_size]

    def measure(self, samples: Sequence[TrainSample]) -> dict[int, TokenMeasures]:
        everyone: list[list[tuple[int, TokenMeasures]]] = [[]] * self.place.world_size
        torch.distributed.all_gather_object(everyone, self.learner.measure(self.rows(samples)))
        assert sum(map(len, everyone)) == len(samples)  # no sequence comes from two ranks
        return dict(pair for pairs in everyone for pair in pairs)

    def step(self, samples: Sequence[TrainSample]) -> StepResult:
        num_tokens = sum(len(sample.response_token_ids) for sample in samples)
        return self.learner.step(self.rows(samples), num_loss_tokens=num_tokens, num_sequences=len(samples))


def learn(setup: RankSetup, place: RankPlace, shares_prompts: bool) -> Outcome:
    """Take three optimiser steps, each from a batch that was measured before."""
    learner = LearnerRank(setup, place)
    ranks = Ranks(learner, setup, place, shares_prompts)
    before = dict(pair for bucket in learner.weights.buckets() for pair in bucket)
    measures, reports = [], []
    for samples in batches()[:NUM_STEPS]:
        given = with_siblings(samples) if shares_prompts else samples
        measures.append(ranks.measure(given))
        reports.append(ranks.step(with_measures(given, measures[-1])))
    after = dict(pair for bucket in learner.weights.buckets() for pair in bucket)
    learner.close()
    return Outcome(before=before, after=after, measures=measures, reports=reports)


def with_siblings(samples: Sequence[TrainSample]) -> list[TrainSample]:
    """Return the samples with two prompts among them, of 12 and 9 tokens: longer and shorter than the responses."""
    prompts = [samples[index].prompt_token_ids for index in (3, 3, 1, 3, 1, 3, 3)]
    return [replace(sample, prompt_token_ids=prompt) for sample, prompt in zip(samples, prompts, strict=True)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from quickstart.tiny import build_tiny_model

    return build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


CASES = {
    "ppo": (2, 2, Job(model=Path(), algorithm=PPO), False),
    "ppo with shared prompts, sharded": (2, 2, Job(model=Path(), algorithm=PPO, learner=SHARDED), True),
    "gspo in two groups": (4, 2, Job(model=Path(), algorithm=GSPO, learner=SHARDED), False),
    "adapters, more ranks than key heads": (
        4,
        4,
        Job(model=Path(), algorithm=GSPO, learner=(("lora", {"rank": 4}), *SHARDED)),
        True,
    ),
}
"""(number of ranks, of those that split a row, what they do, whether prompts are shared)"""


@pytest.mark.parametrize("case", CASES)
def test_ranks_that_split_rows_learn_what_one_rank_does(model: Path, case: str) -> None:
    num_ranks, size, settings, shares_prompts = CASES[case]
    alone = replace(settings, model=model, num_ranks=1)
    split = replace(alone, num_ranks=num_ranks, learner=(*alone.learner, ("sequence_parallel_size", size)))
    (expected,) = on_ranks(alone, learn, shares_prompts)
    found, *others = on_ranks(split, learn, shares_prompts)
    assert all(other.reports == found.reports for other in others)
    for report, wanted in zip(found.reports, expected.reports, strict=True):
        assert not report.is_skipped and report.num_tokens == wanted.num_tokens
        assert learned(report) == pytest.approx(learned(wanted), rel=1e-4, abs=1e-6)
    for measures, wanted in zip(found.measures, expected.measures, strict=True):
        assert measures.keys() == wanted.keys() == set(range(7))
        for number, of_sample in wanted.items():
            assert measures[number].logprobs == pytest.approx(of_sample.logprobs, abs=1e-4)
            assert measures[number].reference_logprobs == pytest.approx(of_sample.reference_logprobs, abs=1e-4)
            assert measures[number].values == pytest.approx(of_sample.values, abs=1e-4)
    assert length(found.after, expected.after) < 2e-3 * length(expected.before, expected.after)


def learned(report: StepResult) -> dict[str, float]:
    """Return the metrics that say what was learned, and not how the ranks worked."""
    return {name: value for name, value in report.metrics.items() if name.startswith(("policy/", "critic/"))}


def length(weights: Weights, other: Weights) -> float:
    """Return the length of the difference of all weights as one vector."""
    assert weights.keys() == other.keys()
    return sum(float((weights[name] - other[name]).double().square().sum()) for name in weights) ** 0.5


def load(setup: RankSetup, place: RankPlace) -> str:
    """Return the key of the mistake that a rank finds while it loads."""
    with pytest.raises(BadInput) as refusal:
        LearnerRank(setup, place)
    return refusal.value.key


def test_a_model_whose_heads_cannot_be_divided_is_refused_while_it_loads(tmp_path: Path) -> None:
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=24,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=3,
        num_key_value_heads=1,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    job = Job(model=tmp_path, learner=(("sequence_parallel_size", 2),))
    assert on_ranks(job, load) == ["learner.sequence_parallel_size"] * 2
