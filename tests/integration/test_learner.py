"""Real ZeRO-3 ranks follow plain torch: PPO-clip, two optimiser steps a batch, KL in the loss, a critic, a schedule."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from actors.learning.rank import LearnerRank
from actors.learning.rank_setup import RankPlace, RankSetup
from contracts.batches import StepResult, TokenMeasures, TrainSample
from tests.integration.programs.learner_ranks import Job, on_ranks, packed, with_measures
from tests.integration.programs.plain_learning import (
    CRITIC,
    LEARNER,
    LEARNING_RATES,
    PPO,
    Expected,
    Weights,
    batches,
    plain_torch,
)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Hold what one rank saw."""

    before: Weights
    after: Weights
    metadata: list[tuple[str, torch.dtype, tuple[int, ...]]]
    bucket_names: list[list[str]]
    reports: list[StepResult]
    first: dict[int, TokenMeasures]
    last: dict[int, TokenMeasures]


def train(setup: RankSetup, place: RankPlace, folder: Path) -> Outcome:
    """Measure each batch once, and learn from it in two halves."""
    learner = LearnerRank(setup, place)
    before = dict(pair for bucket in learner.weights.buckets() for pair in bucket)
    reports, seen = [], []
    for samples in batches():
        seen.append(measure(learner, samples, place))
        known = with_measures(samples, seen[-1])
        for half in (known[0::2], known[1::2]):
            batch = packed(half, num_ranks=place.world_size)
            reports.append(
                learner.step(
                    batch.rows[place.rank], num_loss_tokens=batch.num_loss_tokens, num_sequences=batch.num_sequences
                )
            )
    last = measure(learner, batches()[0], place)
    buckets = list(learner.weights.buckets())
    learner.export(folder)
    learner.close()
    return Outcome(
        before=before,
        after=dict(pair for bucket in buckets for pair in bucket),
        metadata=learner.weights.metadata(),
        bucket_names=[[name for name, _ in bucket] for bucket in buckets],
        reports=reports,
        first=seen[0],
        last=last,
    )


def measure(learner: LearnerRank, samples: Sequence[TrainSample], place: RankPlace) -> dict[int, TokenMeasures]:
    """Return the measures of all ranks' sequences."""
    mine = learner.measure(packed(samples, num_ranks=place.world_size).rows[place.rank])
    everyone: list[list[tuple[int, TokenMeasures]]] = [[]] * place.world_size
    torch.distributed.all_gather_object(everyone, mine)
    return dict(pair for pairs in everyone for pair in pairs)


@pytest.fixture(scope="module")
def tied_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from quickstart.tiny import build_tiny_model

    return build_tiny_model(tmp_path_factory.mktemp("models") / "tied")


@pytest.fixture(scope="module")
def untied_model(tied_model: Path) -> Path:
    model = AutoModelForCausalLM.from_pretrained(tied_model, tie_word_embeddings=False)
    torch.manual_seed(2)
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight) * 0.02)
    folder = tied_model.parent / "untied"
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tied_model).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(scope="module")
def outcomes(tied_model: Path, untied_model: Path, exports: Path) -> dict[str, list[Outcome]]:
    """Return the outcomes of each rank, by what is special about the ranks."""
    sharded = (*LEARNER, ("keep_whole_mib", 0))
    offloaded = (*LEARNER, ("offload_optimizer", True), ("offload_parameters", True))
    jobs = {
        "whole": Job(model=tied_model, learner=LEARNER, algorithm=PPO, critic=CRITIC),
        "sharded": Job(model=untied_model, learner=sharded, algorithm=PPO, critic=CRITIC),
        "offloaded": Job(model=tied_model, learner=offloaded, algorithm=PPO, critic=CRITIC),
        "half precision": Job(
            model=tied_model, learner=(*LEARNER, ("dtype", "bfloat16")), algorithm=PPO, critic=CRITIC
        ),
        "adapters": Job(
            model=tied_model,
            learner=(*LEARNER, ("lora", {"rank": 4, "dropout": 0.1}), ("gradient_checkpointing", True)),
            algorithm=(("kl", "reward"), ("mini_batches", 2)),
        ),
    }
    return {name: on_ranks(job, train, exports / name) for name, job in jobs.items()}


@pytest.fixture(scope="module")
def expected(tied_model: Path, untied_model: Path) -> dict[str, Expected]:
    tied = plain_torch(tied_model)
    return {"whole": tied, "offloaded": tied, "sharded": plain_torch(untied_model), "half precision": tied}


def metric(outcome: Outcome, name: str) -> list[float]:
    return [report.metrics[name] for report in outcome.reports]


def length(weights: Weights, other: Weights) -> float:
    """Return the length of the difference of all weights as one vector."""
    assert weights.keys() == other.keys()
    return sum(float((weights[name] - other[name]).double().square().sum()) for name in weights) ** 0.5


def size(weights: Weights) -> float:
    return length(weights, {name: torch.zeros_like(weight) for name, weight in weights.items()})


@pytest.mark.parametrize("name", ["whole", "sharded", "offloaded"])
def test_ten_steps_on_two_ranks_follow_plain_torch(
    outcomes: dict[str, list[Outcome]], expected: dict[str, Expected], name: str
) -> None:
    outcome, plain = outcomes[name][0], expected[name]
    assert metric(outcome, "policy/loss") == pytest.approx(plain.losses, rel=1e-4)
    assert metric(outcome, "policy/grad_norm") == pytest.approx(plain.grad_norms, rel=1e-4)
    assert metric(outcome, "critic/loss") == pytest.approx(plain.critic_losses, rel=1e-4)
    assert length(outcome.after, plain.weights) < 1e-4 * size(plain.weights)
    # The weights themselves hardly move in ten steps: of the way that they went it is no more than this.
    assert length(outcome.after, plain.weights) < 1e-3 * length(outcome.before, plain.weights)
    for index, values in enumerate(plain.values):
        torch.testing.assert_close(torch.from_numpy(outcome.last[index].values), values, rtol=1e-4, atol=1e-6)


def test_the_ten_steps_have_been_clipped_and_penalised(outcomes: dict[str, list[Outcome]]) -> None:
    """Or following plain torch would say nothing about clipping and KL."""
    outcome = outcomes["whole"][0]
    second_steps = outcome.reports[1::2]  # the ratio is 1 in the first step of a batch
    assert all(0.05 < report.metrics["policy/clip_fraction"] < 0.95 for report in second_steps[:4])
    assert any(report.metrics["critic/clip_fraction"] > 0.05 for report in second_steps)
    assert all(report.metrics["policy/kl_loss"] > 1e-4 for report in outcome.reports[2:])


def test_half_precision_goes_the_same_way(outcomes: dict[str, list[Outcome]], expected: dict[str, Expected]) -> None:
    outcome, plain = outcomes["half precision"][0], expected["half precision"]
    # First steps of a batch: in the second ones, rounding decides which of the nearly clipped tokens are.
    assert metric(outcome, "policy/grad_norm")[::2] == pytest.approx(plain.grad_norms[::2], rel=0.05)
    assert metric(outcome, "policy/loss") == pytest.approx(plain.losses, rel=0.05, abs=0.01)
    assert {tensor.dtype for tensor in outcome.after.values()} == {torch.bfloat16}


@pytest.mark.parametrize("name", ["whole", "sharded", "offloaded", "half precision", "adapters"])
def test_the_report_is_the_same_on_every_rank(outcomes: dict[str, list[Outcome]], name: str) -> None:
    one, two = outcomes[name]
    assert one.reports == two.reports
    # The halves' sequences: 35 + 25 + 25 + 8 and 34 + 32 + 8 tokens.
    assert [report.num_tokens for report in one.reports[:2]] == [93, 74]


@pytest.mark.parametrize("name", ["whole", "adapters"])
def test_the_learning_rate_warms_up_and_goes_down_to_its_floor(outcomes: dict[str, list[Outcome]], name: str) -> None:
    assert metric(outcomes[name][0], "policy/learning_rate") == pytest.approx(list(LEARNING_RATES))


@pytest.mark.parametrize("name", ["whole", "sharded", "offloaded", "adapters"])
def test_the_reference_stays_the_policy_of_the_start(outcomes: dict[str, list[Outcome]], name: str) -> None:
    outcome = outcomes[name][0]
    assert sorted(outcome.first) == list(range(7))
    for index, first in outcome.first.items():
        last = outcome.last[index]
        assert first.logprobs.tobytes() == first.reference_logprobs.tobytes() == last.reference_logprobs.tobytes()
        assert abs(last.logprobs - first.logprobs).max() > 1e-3


def test_adapters_alone_change(outcomes: dict[str, list[Outcome]]) -> None:
    outcome = outcomes["adapters"][0]
    changed = {name for name in outcome.before if not torch.equal(outcome.before[name], outcome.after[name])}
    assert changed == {name for name in outcome.before if "_proj" in name}  # all linear layers of both blocks
    assert outcome.first[0].values.size == 0  # no critic


@pytest.mark.parametrize("name", ["whole", "sharded"])
def test_the_walk_is_the_checkpoint_each_tensor_once(
    outcomes: dict[str, list[Outcome]], tied_model: Path, untied_model: Path, name: str
) -> None:
    outcome = outcomes[name][0]
    loaded = AutoModelForCausalLM.from_pretrained(
        untied_model if name == "sharded" else tied_model, dtype=torch.float32
    )
    expected = dict(loaded.named_parameters())
    assert list(outcome.before) == list(expected)
    assert ("lm_head.weight" in expected) == (name == "sharded")  # tied, it is the input embedding
    for parameter, tensor in outcome.before.items():
        torch.testing.assert_close(tensor, expected[parameter].detach(), rtol=0, atol=0)
    assert outcome.metadata == [(name, torch.float32, tuple(tensor.shape)) for name, tensor in expected.items()]
    assert outcomes[name][1].after == {}  # only rank 0 gets tensors


def test_a_bucket_holds_no_more_than_its_limit_unless_one_tensor_does(outcomes: dict[str, list[Outcome]]) -> None:
    outcome = outcomes["sharded"][0]
    assert len(outcome.bucket_names) > 3
    for names in outcome.bucket_names:
        assert sum(outcome.after[name].nbytes for name in names) <= 50_000 or len(names) == 1


@pytest.mark.parametrize("name", ["whole", "sharded", "half precision", "adapters"])
def test_an_export_is_a_folder_that_transformers_loads(
    outcomes: dict[str, list[Outcome]], exports: Path, name: str
) -> None:
    loaded, problems = AutoModelForCausalLM.from_pretrained(exports / name, output_loading_info=True)  # pyright: ignore[reportGeneralTypeIssues]
    assert not problems["missing_keys"] and not problems["unexpected_keys"]
    for parameter, tensor in loaded.named_parameters():
        torch.testing.assert_close(tensor.detach(), outcomes[name][0].after[parameter], rtol=0, atol=0)
    assert loaded.generation_config.eos_token_id == AutoTokenizer.from_pretrained(exports / name).eos_token_id
