"""Find out for what the installed torch and vLLM are built, without importing them."""

import ast
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("ray", "torch", "vllm", "deepspeed", "transformers")
"""Packages that must have the same version in all processes of a run."""


@dataclass(frozen=True, kw_only=True)
class Builds:
    """Say for what an installation is built."""

    torch_cuda: str | None  # version of CUDA, such as "13.0"; None: torch has no CUDA
    vllm_cuda: bool  # vLLM is built either for GPUs or for CPUs, never for both


def installed_builds() -> Builds:
    """Return for what the packages of this process are built."""
    return Builds(torch_cuda=torch_cuda(), vllm_cuda=vllm_is_for_cuda(package_version("vllm")))


def torch_cuda() -> str | None:
    """Return the version of CUDA that torch is built for; None without CUDA.

    Read from torch's file of constants: an import of torch takes seconds.
    """
    found = find_spec("torch")
    if found is None or found.origin is None:
        return None
    constants = ast.parse((Path(found.origin).parent / "version.py").read_text(encoding="utf-8"))
    for statement in constants.body:
        target = statement.target if isinstance(statement, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id == "cuda" and isinstance(statement, ast.AnnAssign):
            value = statement.value
            return str(value.value) if isinstance(value, ast.Constant) and value.value else None
    return None


def package_version(package: str) -> str:
    """Return the installed version of a package; empty where it is not installed.

    vLLM's build for CPUs is another distribution. As in vLLM itself, its version gets the ending "+cpu".
    """
    for name, ending in ((package, ""), (f"{package}-cpu", "+cpu")):
        try:
            return version(name) + ending
        except PackageNotFoundError:
            continue
    return ""


def vllm_is_for_cuda(installed: str) -> bool:
    """Return whether this version of vLLM is a build for GPUs, by the rule of vLLM's own platform detection."""
    return bool(installed) and "cpu" not in installed
