"""Check that a grace that can't hold a checkpoint is told with its numbers, and that nothing else is measured."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from contracts.config.run import Config
from driver.run_state.grace import grace_note, measured_rate
from tests.builders import a_config


@pytest.fixture
def model(tmp_path: Path) -> str:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    save_file({"layer": torch.zeros(1000, 2000, dtype=torch.bfloat16)}, folder / "model.safetensors")
    return str(folder)


def config(model: str, *, grace_s: float) -> Config:
    return a_config(
        policy={"model": model},
        learner={"num_ranks": 2, "dtype": "bfloat16"},
        checkpoint={"grace_s": grace_s},
    )


@pytest.mark.parametrize(("grace_s", "rate", "is_told"), [(0.5, 31e6, True), (0.5, 33e6, False), (0.7, 32e6, False)])
def test_what_rank_0_writes_is_compared_with_the_grace(
    model: str, tmp_path: Path, grace_s: float, rate: float, is_told: bool
) -> None:
    """2 million parameters: 12 bytes of state for each, half of them on rank 0, and 2 bytes of policy: 16 MB."""
    assert bool(grace_note(config(model, grace_s=grace_s), tmp_path, write_rate=lambda folder: rate)) is is_told


def test_what_fits_on_any_disk_is_not_measured(model: str, tmp_path: Path) -> None:
    def measure(folder: Path) -> float:
        raise AssertionError("16 MB fit into a second at 20 MB/s")

    assert grace_note(config(model, grace_s=1), tmp_path, write_rate=measure) == ""


def test_nothing_is_told_of_a_model_that_is_not_here(tmp_path: Path) -> None:
    assert grace_note(config("owner/elsewhere", grace_s=0.001), tmp_path) == ""


def test_the_measurement_leaves_nothing_behind(tmp_path: Path) -> None:
    assert measured_rate(tmp_path) > 0
    assert list(tmp_path.iterdir()) == []
