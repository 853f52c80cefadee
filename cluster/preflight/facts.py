"""Look at a machine: what a run needs of it. Run on every node; decides nothing."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import constants

from cluster.builds import PACKAGES, package_version, torch_cuda
from cluster.host_memory import GIB, host_memory_gib
from cluster.preflight.models import why_unusable
from contracts.paths import ROOT

_DRIVER = Path("/proc/driver/nvidia/version")
_SHARED_MEMORY = Path("/dev/shm")
_COMPILERS = ("cc", "gcc", "clang")
_CUDA_TIMEOUT_S = 120.0


@dataclass(frozen=True, kw_only=True)
class NodeNeeds:
    """Say what a run needs of one node."""

    models: Mapping[str, str]  # config key -> folder, or name on the hub
    num_gpus: int  # of the actors there; 0: a node of a run on CPUs
    marker: str = ""  # a file of the driver that the node must see; empty: none


@dataclass(frozen=True, kw_only=True)
class CudaFacts:
    """Hold what torch says about the GPUs of a machine."""

    problem: str = ""  # why torch can't use them; empty if it can
    num_gpus: int = 0
    capability: tuple[int, int] = (0, 0)  # of the oldest GPU
    memory_gib: float = 0.0  # of the smallest GPU


@dataclass(frozen=True, kw_only=True)
class NodeFacts:
    """Hold what was found on one node. All sizes are in GiB."""

    versions: Mapping[str, str]  # of packages; empty: not installed
    torch_cuda: str | None  # version of CUDA that torch is built for
    driver: str | None  # version of NVIDIA's driver
    cuda: CudaFacts | None  # None: no GPU is needed here
    compiler: str | None  # path
    python_headers: bool  # Python.h is there
    host_gib: float  # memory of the machine, or of its container
    shared_memory_gib: float  # size of /dev/shm
    free_gib: Mapping[str, float]  # by folder
    unusable_models: Mapping[str, str]  # config key -> why
    sees_marker: bool  # also where there is none
    unwritable: str = ""  # why nothing can be written beside the marker; empty: it can, or there is no marker


def look(needs: NodeNeeds) -> NodeFacts:
    """Return the facts of this machine. Asks the hub about its models; takes seconds where there are GPUs."""
    return NodeFacts(
        versions={package: package_version(package) for package in PACKAGES},
        torch_cuda=torch_cuda(),
        driver=driver_version(_DRIVER),
        cuda=_cuda() if needs.num_gpus else None,
        compiler=_compiler(os.environ),
        python_headers=(Path(sysconfig.get_path("include")) / "Python.h").exists(),
        host_gib=host_memory_gib(),
        shared_memory_gib=_size_gib(_SHARED_MEMORY),
        free_gib={folder: _free_gib(folder) for folder in _written_to(needs)},
        sees_marker=not needs.marker or Path(needs.marker).exists(),
        unwritable=_why_unwritable(Path(needs.marker).parent) if needs.marker else "",
        unusable_models={key: why for key, model in needs.models.items() if (why := why_unusable(model)) is not None},
    )


def driver_version(file: Path) -> str | None:
    """Return the version in the file of NVIDIA's kernel module; None without one.

    Its first line is like "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build  ...".
    """
    try:
        words = file.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return None
    return next((word for word in words if word[0].isdigit() and word.replace(".", "").isdigit()), None)


def _cuda() -> CudaFacts:
    """Ask torch in a process of its own: afterwards it holds no memory of a GPU."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "cluster.preflight.torch_cuda"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=_CUDA_TIMEOUT_S,
        )
        found = json.loads(done.stdout.splitlines()[-1])
        return CudaFacts(**found | {"capability": tuple(found["capability"])})
    except subprocess.TimeoutExpired:
        return CudaFacts(problem=f"torch did not answer within {_CUDA_TIMEOUT_S:g} s")
    except subprocess.CalledProcessError as failure:
        return CudaFacts(problem=f"torch could not be asked: {_last_line(failure.stderr)}")


def _last_line(text: str) -> str:
    lines: Sequence[str] = text.strip().splitlines()
    return lines[-1] if lines else "it ended without a word"


def _compiler(environment: Mapping[str, str]) -> str | None:
    """Return the C compiler that Triton would take."""
    names = (environment["CC"],) if environment.get("CC") else _COMPILERS
    return next((found for name in names if (found := shutil.which(name)) is not None), None)


def _written_to(needs: NodeNeeds) -> list[str]:
    """Return the folders of this machine that fill up whatever the run does: Ray's logs, and what is downloaded."""
    downloads = any(not Path(model).is_absolute() for model in needs.models.values())
    return [os.environ.get("RAY_TMPDIR", tempfile.gettempdir()), *([constants.HF_HUB_CACHE] if downloads else [])]


def _why_unwritable(folder: Path) -> str:
    """Return why no file can be made in a folder; empty if one can, or the folder is not here."""
    if not folder.is_dir():
        return ""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as failure:
        return failure.strerror or type(failure).__name__


def _size_gib(folder: Path) -> float:
    return shutil.disk_usage(folder).total / GIB if folder.exists() else 0.0


def _free_gib(folder: str) -> float:
    """Return what is free in a folder, or in the nearest folder above it that exists."""
    path = Path(folder)
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free / GIB
