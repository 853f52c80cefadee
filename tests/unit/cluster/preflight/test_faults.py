"""Test which facts of a node are faults, and that each fault is one line with what helps."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from cluster.preflight.facts import CudaFacts, NodeFacts, NodeNeeds
from cluster.preflight.faults import faults

VERSIONS: Mapping[str, str] = {"torch": "2.13.0", "vllm": "0.32.0"}
SOUND = NodeFacts(
    versions=VERSIONS,
    torch_cuda="13.0",
    driver="580.65.06",
    cuda=CudaFacts(num_gpus=8, capability=(9, 0), memory_gib=79.6),
    compiler="/usr/bin/cc",
    python_headers=True,
    host_gib=1000,
    shared_memory_gib=64,
    free_gib={"/tmp": 100},
    unusable_models={},
    sees_marker=True,
)
ON_GPUS = NodeNeeds(models={"policy.model": "/models/policy"}, num_gpus=8, marker="/runs/m")
ON_CPUS = NodeNeeds(models={"policy.model": "/models/policy"}, num_gpus=0)


def found(facts: Mapping[str, Any], needs: NodeNeeds = ON_GPUS, *, bfloat16: bool = True) -> list[str]:
    """Return the faults of a node that is sound but for these facts."""
    keys = ("policy.dtype",) if bfloat16 else ()
    return faults(replace(SOUND, **facts), needs, versions=VERSIONS, bfloat16_keys=keys)


def test_a_sound_node_has_no_fault() -> None:
    assert found({}) == []
    assert found({}, ON_CPUS) == []


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ({"versions": {"torch": "2.12.0", "vllm": "0.32.0"}}, ("torch", "2.12.0", "2.13.0")),
        ({"versions": {"torch": "2.13.0", "vllm": ""}}, ("vllm", "not installed", "0.32.0")),
        ({"driver": "570.124.06"}, ("570.124.06", "13.0", "580")),
        ({"driver": "470.82.01", "torch_cuda": "12.8"}, ("470.82.01", "12.8", "525")),
        ({"cuda": CudaFacts(problem="CUDA unknown error")}, ("CUDA unknown error",)),
        ({"cuda": CudaFacts(num_gpus=4, capability=(9, 0))}, ("4 GPUs", "for 8", "CUDA_VISIBLE_DEVICES")),
        ({"cuda": CudaFacts(num_gpus=8, capability=(7, 0))}, ("7.0", "policy.dtype")),
        ({"compiler": None}, ("C compiler", "gcc")),
        ({"python_headers": False}, ("Python.h", "python3.11-dev")),
        ({"shared_memory_gib": 64 / 1024}, ("/dev/shm", "0.06", "--shm-size")),
        ({"free_gib": {"/tmp": 0.5, "/data": 3}}, ("/tmp", "0.50 GiB")),
        ({"sees_marker": False}, ("/runs", "run.folder")),
        ({"unwritable": "Read-only file system"}, ("/runs", "Read-only file system", "run.folder")),
        (
            {"unusable_models": {"policy.model": "is not on this node"}},
            ("policy.model", "/models/policy", "is not on this node"),
        ),
    ],
)
def test_each_fault_is_one_line_that_names_what_was_found_and_what_helps(
    facts: Mapping[str, object], named: tuple[str, ...]
) -> None:
    (fault,) = found(facts)
    assert "\n" not in fault
    assert [word for word in named if word not in fault] == []


def test_what_only_gpus_need_is_no_fault_on_a_node_without() -> None:
    bare = {
        "driver": "470.82.01",
        "cuda": None,
        "compiler": None,
        "python_headers": False,
        "shared_memory_gib": 64 / 1024,
    }
    assert found(bare, ON_CPUS) == []


def test_an_old_driver_hides_what_torch_says_about_it() -> None:
    old = found({"driver": "535.54.03", "cuda": CudaFacts(problem="The NVIDIA driver on your system is too old")})
    assert len(old) == 1


def test_a_driver_that_is_not_known_is_left_to_torch() -> None:
    assert found({"driver": None}) == []
    assert found({"torch_cuda": "99.1", "driver": "100.0"}) == []


def test_older_gpus_are_enough_where_nothing_asks_for_bfloat16() -> None:
    assert found({"cuda": CudaFacts(num_gpus=8, capability=(7, 0))}, bfloat16=False) == []


def test_all_faults_of_a_node_are_told() -> None:
    facts = {"compiler": None, "python_headers": False, "shared_memory_gib": 0.0, "versions": {}}
    assert len(found(facts)) == 5
