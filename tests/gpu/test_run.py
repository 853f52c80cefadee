"""Test that a whole run trains on GPUs by the command that a user types, and that its folder is proven."""

from pathlib import Path

from driver.tracking.line_logs import read_metrics
from tests.commands import run_project
from tests.gpu.device import DEVICE, needs_gpus
from tests.integration.conftest import STEPS, TinyModels, prepare_tiny


@needs_gpus(4)
def test_a_run_of_every_actor_trains_and_is_verified(
    tiny_models: TinyModels, environment: dict[str, str], tmp_path: Path
) -> None:
    prepared = prepare_tiny(tiny_models, folder=tmp_path)
    shares = ("policy.gpu_memory_utilization=0.2", "pivot.gpu_memory_utilization=0.2")
    words = ("train", str(prepared.path), "run.name=gpu", f"cluster.device={DEVICE}", *shares)
    trained = run_project(*words, cwd=tmp_path, environment=environment)
    assert trained.code == 0, trained.stderr
    folder = tmp_path / "runs" / "gpu"
    assert [step.step for step in read_metrics(folder / "metrics.jsonl")] == list(range(1, STEPS + 1))
    assert run_project("verify", str(folder), cwd=tmp_path, environment=environment).code == 0
