"""Test what a run is computed on: the config, the cluster and the builds of the installed packages must agree."""

from collections.abc import Mapping

import pytest

from cluster.builds import Builds
from cluster.capacity import Node
from cluster.device import choose_device, place, planned_device
from cluster.layout import ROLES, Resources, Role
from contracts.config.device_defaults import Device
from contracts.config.run import Config
from contracts.errors import BadInput
from tests.builders import a_config, a_console
from tests.refusals import refused

FOR_CPUS = Builds(torch_cuda=None, vllm_cuda=False)
FOR_GPUS = Builds(torch_cuda="13.0", vllm_cuda=True)
MIXED = Builds(torch_cuda=None, vllm_cuda=True)


def config(device: str = "auto", **sections: Mapping[str, object]) -> Config:
    """Build a config that takes 3 GPUs where there are some: policy, pivot and one rank."""
    return a_config({"cluster": {"device": device}}, sections)


def nodes(*gpus: float, cpus: float = 32) -> tuple[Node, ...]:
    return tuple(
        Node(id=str(index), name=f"node-{index}", total=Resources(cpus=cpus, gpus=count))
        for index, count in enumerate(gpus)
    )


@pytest.mark.parametrize(
    ("asked", "gpus", "builds", "chosen"),
    [
        ("auto", 0, FOR_CPUS, "cpu"),
        ("auto", 1, FOR_CPUS, "cpu"),
        ("auto", 8, FOR_CPUS, "cpu"),
        ("auto", 3, FOR_GPUS, "cuda"),
        ("auto", 2, FOR_GPUS, "cuda"),  # too few, but this vLLM can't run on CPUs: the sizes are refused later
        ("auto", 0, FOR_GPUS, "cuda"),
        ("cpu", 8, FOR_CPUS, "cpu"),
        ("cuda", 0, FOR_GPUS, "cuda"),
    ],
)
def test_the_device_is_one_that_packages_and_cluster_have(
    asked: str, gpus: float, builds: Builds, chosen: Device
) -> None:
    assert choose_device(config(asked), Resources(cpus=8, gpus=gpus), builds, roles=ROLES).device == chosen


@pytest.mark.parametrize(("gpus", "idle"), [(1, "GPU stays"), (8, "8 GPUs stay")])
def test_gpus_that_stay_idle_are_said_with_what_an_installation_would_change(gpus: float, idle: str) -> None:
    note = choose_device(config(), Resources(cpus=8, gpus=gpus), FOR_CPUS, roles=ROLES).note
    words = (idle, "torch and vLLM", "make clean install-gpu", "takes 3")
    assert [word for word in words if word not in note] == []
    assert "\n" not in note
    assert choose_device(config(), Resources(cpus=8, gpus=0), FOR_CPUS, roles=ROLES).note == ""


@pytest.mark.parametrize(
    ("asked", "builds", "remedies"),
    [
        ("cuda", FOR_CPUS, ("make clean install-gpu", 'cluster.device = "cpu"')),
        ("cuda", MIXED, ("make clean install-gpu",)),
        ("cpu", FOR_GPUS, ("make clean install`", 'cluster.device = "cuda"')),
        ("auto", MIXED, ("make clean install-gpu", "make clean install`")),
    ],
)
def test_a_device_without_a_build_is_refused_with_what_helps(
    asked: str, builds: Builds, remedies: tuple[str, ...]
) -> None:
    with refused("cluster.device", *remedies):
        choose_device(config(asked), Resources(cpus=8, gpus=8), builds, roles=ROLES)


@pytest.mark.parametrize(
    ("num_gpus", "gpus", "builds", "chosen"),
    [
        (0, 8, FOR_GPUS, "cpu"),  # no scorer asks for a GPU
        (1, 8, FOR_GPUS, "cuda"),
        (1, 0, FOR_GPUS, "cpu"),  # scorers need no vLLM: torch for GPUs runs on CPUs too
        (1, 8, FOR_CPUS, "cpu"),
        (1, 8, Builds(torch_cuda="13.0", vllm_cuda=False), "cuda"),
    ],
)
def test_scorers_alone_need_no_build_of_vllm(num_gpus: float, gpus: float, builds: Builds, chosen: Device) -> None:
    roles: tuple[Role, ...] = ("scorer",)
    asked = config(scorer={"num_gpus": num_gpus})
    assert choose_device(asked, Resources(cpus=8, gpus=gpus), builds, roles=roles).device == chosen


def test_where_packages_run_on_gpus_only_too_few_are_refused_without_a_remedy_that_does_not_help() -> None:
    with pytest.raises(BadInput) as caught:
        place(config(), nodes(2), FOR_GPUS, roles=ROLES, console=a_console())
    assert caught.value.key == "cluster"
    assert 'cluster.device = "cpu"' not in str(caught.value)


def test_a_scorer_without_a_gpu_of_its_own_is_on_a_cpu() -> None:
    for num_gpus, expected in ((0, "cpu"), (0.25, "cuda")):
        wanted = place(config(scorer={"num_gpus": num_gpus}), nodes(8), FOR_GPUS, roles=ROLES, console=a_console())
        assert [placement.device for placement in wanted.of("scorer")] == [expected]
        assert {placement.device for role in ("policy", "pivot", "learner") for placement in wanted.of(role)} == {
            "cuda"
        }


def test_a_plan_is_made_for_the_device_that_the_config_names() -> None:
    laptop = Resources(cpus=2, gpus=0)
    assert planned_device(config("cuda"), laptop, FOR_CPUS, roles=ROLES).device == "cuda"
    assert planned_device(config("cpu"), laptop, FOR_GPUS, roles=ROLES).device == "cpu"
    assert planned_device(config(), laptop, FOR_CPUS, roles=ROLES).device == "cpu"
    assert planned_device(config(), laptop, FOR_GPUS, roles=ROLES).device == "cuda"
