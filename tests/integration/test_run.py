"""Train from the command line, on the real engines and tiny models, and check the run folder and its repetition.

The second run is the same run again, on a Ray cluster that was started before.
"""

import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoTokenizer

from contracts.config.load import load_config
from contracts.sealed_folder import damaged_files, unlisted_files
from driver.evaluation.results import read_evaluations
from driver.export.folder import read_export
from driver.references.store import ReferenceCache
from driver.tracking.line_logs import StepMetrics, read_events, read_metrics
from driver.tracking.run_folder import RunFolder
from tests.commands import run_project
from tests.integration.conftest import (
    GROUP_SIZE,
    GROUPS_PER_STEP,
    STEPS,
    RunningCluster,
    TinyModels,
    TinyRun,
    train_tiny,
    write_config,
)
from tests.models.exported import assert_same_policy, load_policy

# fmt: off
METRICS = {
    "group/used", "group/dropped_no_signal", "group/dropped_unscored", "group/reward_std", "response/unscored",
    "reward/mean", "reward/std", "reward/answer/all", "reward/answer/de", "reward/reasoning/fr", "reward/language/de",
    "lang/de/accuracy", "lang/fr/agreement", "lang/de/reward_mean", "lang/fr/response_length", "lang/de/truncated",
    "response_length/mean", "response_length/max", "pivot/requests", "pivot/cache_hit_rate", "packing/efficiency",
    "timing_s/generate", "timing_s/pivot", "timing_s/score", "timing_s/learn", "timing_s/push", "timing_s/step",
    "throughput/policy_tokens_per_s", "throughput/scorer_texts_per_s", "throughput/learner_tokens_per_s",
    "policy/loss", "policy/entropy", "policy/grad_norm", "policy/learning_rate", "policy/clip_fraction",
    "policy/logprob_diff_mean", "policy/importance_ratio_mean", "weights/policy_version", "weights/num_bytes",
    "memory/driver/peak_gib", "memory/policy-0/own_gib", "memory/scorer-0/peak_gib", "memory/learner-0/own_gib",
}
# fmt: on


@pytest.fixture(scope="module")
def folder(first_run: TinyRun) -> RunFolder:
    return RunFolder(first_run.folder)


@pytest.fixture(scope="module")
def steps(folder: RunFolder) -> list[StepMetrics]:
    return read_metrics(folder.metrics)


@pytest.fixture(scope="module")
def second_run(
    tiny_models: TinyModels,
    environment: dict[str, str],
    ray_cluster: RunningCluster,
    tmp_path_factory: pytest.TempPathFactory,
) -> TinyRun:
    return train_tiny(
        "second", tiny_models, environment | ray_cluster.for_runs, folder=tmp_path_factory.mktemp("second")
    )


def samples(run: TinyRun, *columns: str) -> list[dict[str, object]]:
    return pq.read_table(run.folder / "samples.parquet", columns=list(columns) or None).to_pylist()


# --- the run folder ---------------------------------------------------------------------------------------------------


def test_the_folder_has_all_files_and_no_unfinished_one(folder: RunFolder) -> None:
    assert {path.name for path in folder.path.iterdir()} == {
        "config.toml",
        "metrics.jsonl",
        "events.jsonl",
        "samples.parquet",
        "checkpoints",
        "evaluation.json",
        "evaluations",
        "report.html",
        "summary.json",
        "logs",
        "tensorboard",
    }
    actors = ("policy-0", "pivot-0", "scorer-0", "learner-0", "learner-1")
    logs = {"driver.log"} | {f"{actor}.{stream}" for actor in actors for stream in ("out", "err")}
    assert {path.name for path in folder.logs.iterdir()} == logs


def test_the_saved_config_is_the_one_that_was_run(first_run: TinyRun, folder: RunFolder) -> None:
    saved = load_config(folder.config)
    assert saved.run.date is not None
    run = first_run.config.run.model_copy(update={"name": "first", "date": saved.run.date})
    assert saved == first_run.config.model_copy(update={"run": run})


def test_every_group_is_in_the_samples_with_all_its_responses(first_run: TinyRun) -> None:
    rows = samples(first_run, "step", "group_id", "item_id", "language")
    assert len(rows) == STEPS * GROUPS_PER_STEP * GROUP_SIZE
    assert list(dict.fromkeys(row["group_id"] for row in rows)) == first_run.group_ids()
    assert set(Counter(row["group_id"] for row in rows).values()) == {GROUP_SIZE}
    numbers = [int(str(row["group_id"]).partition("/")[0]) for row in rows]
    assert [number // GROUPS_PER_STEP + 1 for number in numbers] == [row["step"] for row in rows]


def test_every_group_is_learned_from_once_or_dropped_once_with_its_reason(
    first_run: TinyRun, folder: RunFolder, steps: list[StepMetrics]
) -> None:
    all_events = read_events(folder.events)
    assert {event.kind for event in all_events} == {"group_dropped", "worker"}  # workers were started
    events = [event for event in all_events if event.kind == "group_dropped"]
    assert {event.group_id: event.detail for event in events} == first_run.dropped()
    assert len(events) == len(first_run.dropped()) > 0
    assert {event.reason for event in events} == {"unscored"}
    learned = [int(step.metrics["group/used"]) for step in steps]
    dropped = Counter(event.step for event in events)
    assert [used + dropped[step.step] for used, step in zip(learned, steps, strict=True)] == [GROUPS_PER_STEP] * STEPS
    assert [step.metrics["learner/sequences"] for step in steps] == [used * GROUP_SIZE for used in learned]


def test_unscored_samples_have_a_reason_and_no_reward(first_run: TinyRun) -> None:
    reasons = {row["group_id"]: row["unscored_reason"] for row in samples(first_run, "group_id", "unscored_reason")}
    assert {group_id: reason for group_id, reason in reasons.items() if reason} == first_run.dropped()
    for row in samples(first_run, "reward", "unscored_reason"):
        assert (row["reward"] is None) == (row["unscored_reason"] is not None)


def test_every_step_has_the_known_metrics(steps: list[StepMetrics]) -> None:
    assert [step.step for step in steps] == list(range(1, STEPS + 1))
    for step in steps:
        # A reference from the cache takes no time, and is looked up before the step before has ended.
        assert METRICS - set(step.metrics) <= {"timing_s/pivot"}
    assert [step.metrics["weights/policy_version"] for step in steps] == [1, 2, 3]


def test_only_the_reference_that_was_in_no_cache_was_asked_for(first_run: TinyRun, steps: list[StepMetrics]) -> None:
    assert [step.metrics["pivot/requests"] for step in steps] == [0, 1, 0]
    cache = ReferenceCache(folder=first_run.folder.parents[1] / "references")
    assert len(cache) == len({problem.item_id for problem in first_run.draws})


def test_learner_and_engine_agree_on_every_step(steps: list[StepMetrics]) -> None:
    """The mean distance of their log-probabilities is small, also in the steps after a push."""
    assert all(step.metrics["policy/logprob_diff_mean"] < 0.02 for step in steps)
    assert all(step.metrics["policy/grad_norm"] > 0 for step in steps)


def test_both_evaluations_are_written(folder: RunFolder) -> None:
    evaluations = read_evaluations(folder.evaluation)
    assert set(evaluations) == {"before", "after"}
    for evaluation in evaluations.values():
        assert {result.language: result.num_items for result in evaluation.languages} == {"en": 2, "de": 2, "fr": 2}


def test_the_export_loads_and_is_not_the_model_that_the_run_began_with(first_run: TinyRun, folder: RunFolder) -> None:
    exported = folder.checkpoints / "final"
    trained = load_policy(exported)
    before = load_policy(Path(first_run.config.policy.model))
    assert trained.dtype == torch.bfloat16
    assert trained.config.tie_word_embeddings == before.config.tie_word_embeddings
    pairs = list(zip(trained.state_dict().items(), before.state_dict().items(), strict=True))
    assert all(name == other and tensor.shape == twin.shape for (name, tensor), (other, twin) in pairs)
    assert any(not torch.equal(tensor, twin) for (_, tensor), (_, twin) in pairs)
    assert AutoTokenizer.from_pretrained(exported).chat_template


def test_the_export_is_sealed_with_its_card_under_the_name_and_the_last_step_of_the_run(folder: RunFolder) -> None:
    exported = folder.checkpoints / "final"
    manifest = read_export(exported)
    assert (manifest.run, manifest.step) == (folder.path.name, read_metrics(folder.metrics)[-1].step)
    assert {"README.md", "config.json", "model.safetensors"} <= manifest.files.keys()
    assert unlisted_files(exported, manifest.files) == []
    assert list(damaged_files(exported, manifest.files, reads=True)) == []


class Links(HTMLParser):
    """Collect all that a page would load or link to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.tags: Counter[str] = Counter()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "poster")]


def test_the_report_loads_nothing_from_outside(folder: RunFolder) -> None:
    text = (folder.path / "report.html").read_text(encoding="utf-8")
    links = Links()
    links.feed(text)
    assert [link for link in links.found if not link.startswith(("data:", "#"))] == []
    assert links.tags["link"] == links.tags["script"] == links.tags["iframe"] == 0
    assert not re.search(r"url\(\s*['\"]?(?!data:)(https?:)?//|@import", text)
    assert sum(link.startswith("data:image/") for link in links.found) + links.tags["svg"] >= 3


def test_the_summary_is_the_last_line_of_stdout_and_in_the_folder(first_run: TinyRun, folder: RunFolder) -> None:
    (line,) = first_run.command.stdout.splitlines()
    summary = json.loads(line)
    assert summary == json.loads(folder.summary.read_text(encoding="utf-8"))
    assert summary["status"] == "finished"
    assert summary["steps"] == STEPS
    assert summary["run_folder"] == str(folder.path)
    assert set(summary["evaluation"]["after"]) == {"en", "de", "fr"}


def test_a_person_sees_phases_and_steps_and_no_third_party_noise(first_run: TinyRun) -> None:
    printed = first_run.command.stderr
    assert "loading policy: done in" in printed
    assert [step for step in range(1, STEPS + 1) if f"step {step}/{STEPS} " not in printed] == []
    assert [noise for noise in ("WARNING", "INFO", "Traceback", "(pid=", "it/s]") if noise in printed] == []


def test_no_process_outlives_its_run(first_run: TinyRun, second_run: TinyRun) -> None:
    assert first_run.command.left_behind == second_run.command.left_behind == ()


# --- again ------------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_problems_references_and_groups(first_run: TinyRun, second_run: TinyRun) -> None:
    """Responses of a tiny model are random: 48 of them are equal only if every drawn token is."""
    assert samples(first_run) == samples(second_run)


def test_the_same_seed_gives_the_same_policy(first_run: TinyRun, second_run: TinyRun) -> None:
    """The sums of two ranks' gradients are rounded alike, because two numbers can be added in one order only."""
    assert_same_policy(first_run.folder / "checkpoints" / "final", second_run.folder / "checkpoints" / "final")


def test_the_second_run_was_made_on_the_cluster_of_the_address(
    second_run: TinyRun, ray_cluster: RunningCluster
) -> None:
    assert ray_cluster.address in second_run.command.stderr


# --- a run that fails -------------------------------------------------------------------------------------------------


def test_a_run_that_fails_prints_one_line_and_leaves_a_report_and_no_process(
    tiny_models: TinyModels, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("failing")
    config = write_config(folder, tiny_models)
    done = run_project(
        "train", str(config), "run.name=late", "cluster.start_timeout_s=0.5", cwd=folder, environment=environment
    )
    run = RunFolder(folder / "runs" / "late")
    assert done.code == 1
    (line,) = done.errors
    assert line.startswith("failed: ") and str(run.path) in line
    assert [event.kind for event in read_events(run.events)] == ["run_failed"]
    assert json.loads(run.summary.read_text(encoding="utf-8"))["status"].startswith("failed: ")
    assert (run.path / "report.html").exists()
    assert done.left_behind == ()
