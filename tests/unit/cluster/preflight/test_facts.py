"""Test what is found on this machine."""

from pathlib import Path

import pytest
import torch

from cluster.preflight.facts import NodeNeeds, driver_version, look

VERSION_FILE = """NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  (dvs-builder)
GCC version:  gcc version 12.3.0 (Ubuntu 12.3.0-1ubuntu1~22.04)
"""


def test_this_machine_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    facts = look(NodeNeeds(models={"policy.model": str(tmp_path / "none")}, num_gpus=0))
    assert facts.versions["torch"] == torch.__version__
    assert set(facts.versions) == {"ray", "torch", "vllm", "deepspeed", "transformers"}
    assert list(facts.unusable_models) == ["policy.model"]
    assert list(facts.free_gib) == [str(tmp_path)]
    assert facts.free_gib[str(tmp_path)] > 0
    assert facts.cuda is None


def test_a_hubs_models_need_space_in_its_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    assert len(look(NodeNeeds(models={"policy.model": "owner/name"}, num_gpus=0)).free_gib) == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch can use a GPU here")
@pytest.mark.slow
def test_torch_without_cuda_says_why_it_cant_use_a_gpu() -> None:
    facts = look(NodeNeeds(models={}, num_gpus=1))
    assert facts.cuda is not None
    assert facts.cuda.problem
    assert "\n" not in facts.cuda.problem
    assert facts.cuda.num_gpus == 0


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (VERSION_FILE, "580.65.06"),
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.82.01  Wed Oct 27 21:21:55 UTC 2021\n", "470.82.01"),
        ("", None),
    ],
)
def test_the_drivers_version_is_read_from_its_file(text: str, version: str | None, tmp_path: Path) -> None:
    file = tmp_path / "version"
    file.write_text(text, encoding="utf-8")
    assert driver_version(file) == version
    assert driver_version(tmp_path / "none") is None
