"""Test how the builds of the installed packages are read without importing them."""

import subprocess
import sys

import pytest
import torch
from vllm.platforms import current_platform

from cluster.builds import installed_builds, package_version, torch_cuda, vllm_is_for_cuda
from contracts.paths import ROOT


def test_what_is_read_from_files_is_what_the_packages_say_themselves() -> None:
    assert torch_cuda() == torch.version.cuda
    assert installed_builds().vllm_cuda == (not current_platform.is_cpu())


def test_nothing_is_imported() -> None:
    program = (
        "import sys; from cluster.builds import installed_builds; installed_builds()\n"
        "print(sorted({'torch', 'vllm', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("version", "expected"),
    [("0.32.0", True), ("0.32.0+cu130", True), ("0.32.0+cpu", False), ("", False)],
)
def test_a_build_for_gpus_is_told_by_its_version(version: str, expected: bool) -> None:
    assert vllm_is_for_cuda(version) is expected


def test_a_package_that_is_not_installed_has_no_version() -> None:
    assert package_version("no-such-package") == ""
    assert package_version("torch") == torch.__version__
