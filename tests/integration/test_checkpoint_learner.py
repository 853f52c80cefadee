"""Test that whole learner ranks continue after a stop with the same reports and models as without it."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import torch
from torch.nn.modules.module import register_module_forward_hook
from torch.optim.optimizer import register_optimizer_step_post_hook

from actors.learning.rank import LearnerRank
from actors.learning.rank_setup import RankPlace, RankSetup
from contracts.batches import TokenMeasures, TrainSample
from contracts.errors import RunFailed
from quickstart.tiny import build_tiny_model
from tests.integration.programs.learner_ranks import Job, make_samples, on_ranks, packed, spoilt

STEPS = 3  # before the checkpoint, and again after it
SKIPPED = 1  # the step before the checkpoint whose loss is not finite

LEARNER = (("schedule", "cosine"), ("warmup_steps", 2), ("max_grad_norm", 0.5))
ADAPTERS = (*LEARNER, ("lora", {"rank": 4}), ("keep_whole_mib", 0))
PPO = (("name", "ppo"),)
KL = (("kl", "loss"),)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Hold what a rank saw after the checkpoint."""

    metrics: list[Mapping[str, float]]  # of the three steps
    measures: Mapping[int, TokenMeasures]  # of its sequences, in the end


def samples_of(step: int) -> list[TrainSample]:
    """Return samples with every field that any recipe has; an algorithm ignores the fields that it does not need."""
    samples = [
        replace(
            sample,
            reference_logprobs=(-6.0,) * len(sample.response_token_ids),
            returns=(0.5 + index,) * len(sample.response_token_ids),
            old_values=(0.0,) * len(sample.response_token_ids),
        )
        for index, sample in enumerate(make_samples(seed=step))
    ]
    return [spoilt(samples[0], advantage=float("nan")), *samples[1:]] if step == SKIPPED else samples


def take_steps(learner: LearnerRank, place: RankPlace, steps: Sequence[int]) -> list[Mapping[str, float]]:
    """Return the metrics of every step, without those of time."""
    reports = []
    for step in steps:
        batch = packed(samples_of(step), num_ranks=place.world_size)
        rows = batch.rows[place.rank]
        reports.append(learner.step(rows, num_loss_tokens=batch.num_loss_tokens, num_sequences=batch.num_sequences))
    assert [report.is_skipped for report in reports] == [step == SKIPPED for step in steps]
    return [
        {name: value for name, value in report.metrics.items() if not name.startswith("learner/")} for report in reports
    ]


@contextmanager
def written_during_the_next_step() -> Iterator[None]:
    """Let torch write no file before the next step computes, and give its update time to come first.

    An update that did not wait for the files would be in them.
    """
    computed, updated, save = threading.Event(), threading.Event(), torch.save

    def late_save(content: object, file: IO[bytes]) -> None:
        assert computed.wait(timeout=100), "the step waits for the files before it computes anything"
        updated.wait(timeout=2)
        save(content, file)

    def compute(*_: object) -> None:
        computed.set()

    def update(*_: object) -> None:
        updated.set()

    hooks = [
        register_module_forward_hook(compute),
        register_optimizer_step_post_hook(update),
    ]
    torch.save = late_save
    try:
        yield
    finally:
        torch.save = save
        for hook in hooks:
            hook.remove()


def live_on(setup: RankSetup, place: RankPlace, folder: Path, saves: bool) -> Outcome:
    """Six steps with a checkpoint in the middle, or the last three from it."""
    learner = LearnerRank(setup, place)
    if saves:
        take_steps(learner, place, range(STEPS))
        with written_during_the_next_step():
            learner.save(folder, policy=folder / "exported")
            metrics = take_steps(learner, place, [STEPS])
            written = learner.saved()
        assert written.failure == ""
        assert {str(path) for path in folder.rglob(f"*{place.rank:04d}.pt")} <= written.sums.keys()
        metrics += take_steps(learner, place, range(STEPS + 1, 2 * STEPS))
    else:
        learner.load(folder)
        metrics = take_steps(learner, place, range(STEPS, 2 * STEPS))
    measured = packed(samples_of(STEPS), num_ranks=place.world_size)
    measures = dict(learner.measure(measured.rows[place.rank]))
    learner.close()
    return Outcome(metrics=metrics, measures=measures)


def refuse(setup: RankSetup, place: RankPlace, folder: Path) -> str:
    """Return the key of the error that loading raises."""
    learner = LearnerRank(setup, place)
    with pytest.raises(RunFailed) as error:
        learner.load(folder)
    learner.close()
    return error.value.key


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Job]:
    model = build_tiny_model(tmp_path_factory.mktemp("models") / "tiny")
    return {
        "critic": Job(model=model, learner=LEARNER, algorithm=PPO),
        "adapters": Job(model=model, learner=ADAPTERS, algorithm=KL),
    }


@dataclass(frozen=True, kw_only=True)
class Saved:
    folder: Path
    outcomes: list[Outcome]  # of the ranks that never stopped


@pytest.fixture(scope="module")
def saved(jobs: dict[str, Job], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Saved]:
    folders = {name: tmp_path_factory.mktemp("checkpoints") / name for name in jobs}
    return {
        name: Saved(folder=folders[name], outcomes=on_ranks(job, live_on, folders[name], True))
        for name, job in jobs.items()
    }


@pytest.mark.parametrize("name", ["critic", "adapters"])
def test_ranks_that_stopped_go_on_bit_for_bit(jobs: dict[str, Job], saved: dict[str, Saved], name: str) -> None:
    loaded = on_ranks(jobs[name], live_on, saved[name].folder, False)
    for ours, theirs in zip(loaded, saved[name].outcomes, strict=True):
        assert ours.metrics == theirs.metrics
        assert ours.measures.keys() == theirs.measures.keys()
        for sequence, measures in ours.measures.items():
            expected = theirs.measures[sequence]
            np.testing.assert_array_equal(measures.logprobs, expected.logprobs)
            np.testing.assert_array_equal(measures.reference_logprobs, expected.reference_logprobs)
            np.testing.assert_array_equal(measures.values, expected.values)
    rates = [metrics["policy/learning_rate"] for metrics in loaded[0].metrics]
    assert rates == sorted(rates, reverse=True) and len(set(rates)) == STEPS  # the schedule went on too


@pytest.mark.parametrize("name", ["critic", "adapters"])
def test_one_rank_goes_on_where_two_stopped(jobs: dict[str, Job], saved: dict[str, Saved], name: str) -> None:
    (alone,) = on_ranks(replace(jobs[name], num_ranks=1), live_on, saved[name].folder, False)
    for ours, theirs in zip(alone.metrics, saved[name].outcomes[0].metrics, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-6)
    together = {key: value for outcome in saved[name].outcomes for key, value in outcome.measures.items()}
    assert alone.measures.keys() == together.keys()
    for sequence, measures in alone.measures.items():
        np.testing.assert_allclose(measures.logprobs, together[sequence].logprobs, rtol=1e-5)
        np.testing.assert_allclose(measures.values, together[sequence].values, rtol=1e-5, atol=1e-6)


def test_a_checkpoint_holds_no_frozen_weights(saved: dict[str, Saved]) -> None:
    sizes = {name: sum(file.stat().st_size for file in saved[name].folder.rglob("*.pt")) for name in saved}
    assert sizes["adapters"] < sizes["critic"] / 10


def test_what_another_algorithm_saved_is_refused_on_every_rank(jobs: dict[str, Job], saved: dict[str, Saved]) -> None:
    keys = on_ranks(jobs["adapters"], refuse, saved["critic"].folder)
    assert keys == ["algorithm.name"] * 2
