"""Train from the command line with ranks that split rows, and with adapters that are pushed as adapters.

Both runs repeat the run of `first_run` with one key changed. Until a weight has changed they draw the same responses,
so their first step must have the same rewards and the same loss.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoConfig

from contracts.config.load import load_config
from driver.tracking.line_logs import StepMetrics, read_metrics
from driver.tracking.run_folder import RunFolder
from tests.commands import run_project
from tests.integration.conftest import TinyModels, TinyRun, prepare_tiny
from tests.models.exported import load_policy

NUM_STEPS = 2
LORA_RANK = 4

Train = Callable[..., RunFolder]


@pytest.fixture
def train(tiny_models: TinyModels, environment: dict[str, str], tmp_path: Path) -> Train:
    """Return what trains two steps with some keys changed, and has `verify` look at the folder."""

    def run(*overrides: str) -> RunFolder:
        path = prepare_tiny(tiny_models, folder=tmp_path).path
        keys = (f"algorithm.steps={NUM_STEPS}", "evaluation.after=false", "run.name=run", *overrides)
        trained = run_project("train", str(path), *keys, cwd=tmp_path, environment=environment)
        assert trained.code == 0, trained.stderr
        assert trained.left_behind == ()
        folder = RunFolder(tmp_path / "runs" / "run")
        verified = run_project("verify", str(folder.path), "--json", cwd=tmp_path, environment=environment)
        assert verified.code == 0, verified.stdout
        assert json.loads(verified.stdout.splitlines()[-1])["violations"] == []
        return folder

    return run


def test_ranks_that_split_rows_learn_what_ranks_with_rows_of_their_own_learn(train: Train, first_run: TinyRun) -> None:
    folder = train("learner.sequence_parallel_size=2")
    steps, whole = read_metrics(folder.metrics), read_metrics(RunFolder(first_run.folder).metrics)
    assert [step.metrics["weights/policy_version"] for step in steps] == [1, 2]
    assert first_rewards(folder.path) == first_rewards(first_run.folder)
    assert_same_first_step(steps, whole)
    assert load_config(folder.config).learner.sequence_parallel_size == 2


def test_adapters_alone_are_pushed_and_the_export_holds_what_they_learned(
    train: Train, first_run: TinyRun, tiny_models: TinyModels
) -> None:
    folder = train(f"learner.lora.rank={LORA_RANK}", "learner.learning_rate=1e-2")
    steps, whole = read_metrics(folder.metrics), read_metrics(RunFolder(first_run.folder).metrics)
    assert [step.metrics["weights/policy_version"] for step in steps] == [1, 2]
    assert [step.metrics["weights/num_bytes"] for step in steps] == [adapter_bytes(tiny_models.policy)] * NUM_STEPS
    assert first_rewards(folder.path) == first_rewards(first_run.folder)
    assert_same_first_step(steps, whole)
    learned, base = load_policy(folder.checkpoints / "final").state_dict(), load_policy(tiny_models.policy).state_dict()
    assert learned.keys() == base.keys()
    changed = {name for name, weight in base.items() if not torch.equal(learned[name], weight)}
    assert changed == {name for name in base if name.endswith("_proj.weight")}


def first_rewards(run: Path) -> list[object]:
    """Return the rewards of a run's first step, in the order of its responses."""
    table = pq.read_table(run / "samples.parquet", columns=["step", "response", "reward"])
    return [row for row in table.to_pylist() if row["step"] == 1]


def assert_same_first_step(found: list[StepMetrics], expected: list[StepMetrics]) -> None:
    names = ("policy/loss", "policy/entropy", "policy/logprob_diff_mean", "learner/sequences")
    assert [found[0].metrics[name] for name in names] == pytest.approx(
        [expected[0].metrics[name] for name in names], rel=0.02, abs=1e-4
    )


def adapter_bytes(model: Path) -> int:
    """Return the bytes of both factors, in bf16, on all seven matrices of each layer of a Llama."""
    config = AutoConfig.from_pretrained(model)
    hidden, inner = config.hidden_size, config.intermediate_size
    queries, keys = config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim
    widths = 2 * (hidden + queries) + 2 * (hidden + keys) + 3 * (hidden + inner)
    return 2 * LORA_RANK * config.num_hidden_layers * widths
