"""Test PPO with its critic and fine-tuning on references, through the command line on tiny models."""

import json
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from driver.evaluation.results import read_evaluations
from driver.tracking.line_logs import read_events, read_metrics
from driver.tracking.run_folder import RunFolder
from driver.tracking.verify.check_run import check_run, summarise_run
from driver.tracking.verify.records import read_records
from tests.commands import run_project
from tests.integration.conftest import GROUPS_PER_STEP, TinyModels, prepare_tiny


def train(name: str, *overrides: str, config: Path, environment: dict[str, str]) -> RunFolder:
    words = ("train", str(config), f"run.name={name}", *overrides)
    done = run_project(*words, cwd=config.parent, environment=environment)
    assert done.code == 0, done.stderr
    assert done.left_behind == ()
    return RunFolder(config.parent / "runs" / name)


def losses(folder: RunFolder, name: str) -> list[float]:
    return [step.metrics[name] for step in read_metrics(folder.metrics)]


def traced(folder: RunFolder) -> dict[str, list[tuple[float, float]]]:
    """Return from when to when each call of a lane ran, in microseconds."""
    events = json.loads(folder.trace.read_text(encoding="utf-8"))["traceEvents"]
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    lanes: dict[str, list[tuple[float, float]]] = {}
    for event in events:
        if event["ph"] == "X":
            lanes.setdefault(names[event["tid"]], []).append((event["ts"], event["ts"] + event["dur"]))
    return {name: sorted(calls) for name, calls in lanes.items()}


@pytest.fixture(scope="module")
def config(tiny_models: TinyModels, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_tiny(tiny_models, folder=tmp_path_factory.mktemp("baselines")).path


def test_ppo_trains_policy_and_critic_and_keeps_both(config: Path, environment: dict[str, str]) -> None:
    folder = train(
        "ppo",
        "algorithm.name=ppo",
        "algorithm.mini_batches=2",
        "algorithm.steps=2",
        "critic.learning_rate=1e-3",
        "trace.steps=[1]",
        "checkpoint.every_steps=2",
        "evaluation.before=false",
        "evaluation.after=false",
        config=config,
        environment=environment,
    )
    steps = read_metrics(folder.metrics)
    assert [step.step for step in steps] == [1, 2]
    first, second = (step.metrics for step in steps)
    assert first["learner/optimizer_steps"] == second["learner/optimizer_steps"] == 2
    assert first["critic/value_mean"] != 0  # the second mini-batch is read by a critic that has learned from the first
    assert second["critic/loss"] < first["critic/loss"]
    assert second["weights/policy_version"] == 2
    saved = folder.checkpoints / "step-000002" / "learner"
    assert {path.name for path in saved.iterdir() if path.is_dir()} == {"policy", "critic"}
    lanes = traced(folder)
    assert {"step", "generate", "score", "learn", "push", "policy-0", "scorer-0"} <= set(lanes)
    assert len(lanes["step"]) == 1 and len(lanes["learn"]) == 2
    assert lanes["generate"][0][1] <= lanes["learn"][0][0]  # on-policy: a step learns when its groups are there
    (first, second), *_ = zip(lanes["generate"], lanes["generate"][1:], strict=False)
    assert second[0] < first[1]  # and these are generated together


def test_distillation_learns_what_the_teacher_thinks_of_each_token(config: Path, environment: dict[str, str]) -> None:
    folder = train(
        "opd",
        "algorithm.name=opd",
        "algorithm.steps=4",
        "algorithm.max_staleness=0",
        "evaluation.before=false",
        "evaluation.after=false",
        config=config,
        environment=environment,
    )
    steps = [step.metrics for step in read_metrics(folder.metrics)]
    # The untrained pivot's references often declare no answer: some groups, even all of a step, may be left out.
    learned = [metrics for metrics in steps if "distillation/kl" in metrics]
    assert learned
    for metrics in learned:
        assert metrics["learner/optimizer_steps"] == 1
        # With fresh samples the ratio is 1, so the loss is -mean(A) = mean(log p - log q), up to the clipped tokens.
        assert metrics["policy/loss"] == pytest.approx(metrics["distillation/kl"], rel=0.05, abs=1e-4)
    assert learned[-1]["weights/policy_version"] == len(learned)
    assert check_run(read_records(folder.path)) == ()


def test_fine_tuning_on_translations_asks_neither_pivot_nor_scorer_and_is_continued_after_its_end(
    config: Path, environment: dict[str, str]
) -> None:
    settings = ("algorithm.name=sft", "algorithm.sft_target=translation", "checkpoint.every_steps=2")
    short = ("algorithm.steps=2", "evaluation.after=false", "evaluation.before=false")
    folder = train("sft", *settings, *short, config=config, environment=environment)
    assert {path.stem for path in folder.logs.glob("*.out")} == {"learner-0", "learner-1"}

    longer = ("algorithm.steps=6", "evaluation.before=false")
    train("sft", *settings, *longer, config=config, environment=environment)
    found = losses(folder, "policy/loss")
    assert len(found) == 6
    assert max(found[-2:]) < min(found[:2])
    assert set(read_evaluations(folder.evaluation)) == {"after"}
    assert [event.reason for event in read_events(folder.events) if event.kind == "resumed"] == ["after step 2"]
    AutoModelForCausalLM.from_pretrained(folder.checkpoints / "final")
    records = read_records(folder.path)
    summary = summarise_run(records)
    assert (check_run(records), summary.not_recorded) == ((), ())
    assert summary.learned + sum(summary.dropped.values()) == 6 * GROUPS_PER_STEP
