"""Test the launch files: their schemas, that their nodes hold their runs, what they keep closed, their versions."""

import argparse
import re
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError
from ray.autoscaler._private.util import validate_config

from benchmarks.published import PUBLISHED, published_model
from cluster.capacity import Node, check_fits
from cluster.layout import layout
from cluster.packing import check_packs, packed
from contracts.config.load import load_config
from contracts.paths import ROOT
from driver.commands.plan import run
from tests.clouds.kuberay import RayCluster, RayJob
from tests.clouds.launch_files import (
    CLOUDS,
    LAUNCHERS,
    ON_EQUAL_NODES,
    RUN,
    equal_nodes,
    images,
    nodes_of,
    read,
    read_containers,
    slurm_option,
)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WITH_ROLES = ("aws.yaml", "gcp.yaml", "raycluster.yaml")
WITH_IMAGES = (*WITH_ROLES, "rayjob.yaml")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def pinned(package: str) -> str:
    listed = (ROOT / "requirements" / "gpu.txt").read_text(encoding="utf-8")
    (version,) = re.findall(rf"^{package}==(\S+)$", listed, flags=re.MULTILINE)
    return version


def check_holds(config: Path, nodes: tuple[Node, ...]) -> dict[str, str]:
    """Check that nodes hold the run of a config; return the node of each of its actors."""
    wanted = layout(load_config(config), "cuda")
    check_fits(wanted, nodes)
    check_packs(wanted, nodes)
    parts = packed(wanted, {node.id: node.total for node in nodes}, {node.id: node.labels for node in nodes})
    assert parts is not None
    return {actor.name: part.node for part in parts for slot in part.slots for actor in slot.placements}


@pytest.mark.parametrize("name", LAUNCHERS)
def test_rays_launcher_accepts_its_file_and_no_misspelt_one(name: str) -> None:
    config = read(f"{name}.yaml")
    validate_config(config)
    with pytest.raises(jsonschema.ValidationError):
        validate_config({**config, "max_workrs": 3})
    with pytest.raises(ValueError):
        validate_config({**config, "max_workers": config["max_workers"] - 1})


def test_kuberays_resources_have_known_fields_only_and_the_job_has_the_same_cluster() -> None:
    cluster = RayCluster.model_validate(read("raycluster.yaml"))
    assert RayJob.model_validate(read("rayjob.yaml")).spec.ray_cluster_spec == cluster.spec


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "submisionMode"), "HTTPMode"),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "replicas"), "one"),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "minReplicas"), 2),
        (("spec", "rayClusterSpec", "headGroupSpec", "rayStartParams", "num-cpus"), 0),
        (("spec", "rayClusterSpec", "authOptions", "mode"), "disabled"),
    ],
)
def test_a_mistake_in_a_job_is_found(path: tuple[str | int, ...], value: object) -> None:
    job = deepcopy(read("rayjob.yaml"))
    target: Any = job
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(ValidationError):
        RayJob.model_validate(job)


@pytest.mark.parametrize("name", WITH_ROLES)
def test_nodes_by_role_hold_the_run_and_every_actor_is_on_nodes_of_its_role(name: str) -> None:
    where = check_holds(RUN, nodes_of(name))
    assert {actor: node.partition("-")[0] for actor, node in where.items()} == {
        actor: actor.partition("-")[0] for actor in where
    }


@pytest.mark.parametrize("name", WITH_ROLES)
def test_the_head_has_nothing_for_actors_and_all_workers_that_may_be_added_have_a_node(name: str) -> None:
    nodes = nodes_of(name)
    (head,) = (node for node in nodes if node.labels["role"] == "head")
    assert (head.total.cpus, head.total.gpus) == (0, 0)
    policy = load_config(RUN).policy
    assert sum(node.labels["role"] == "policy" for node in nodes) == policy.most_workers > policy.num_workers


def test_only_policy_nodes_are_spot() -> None:
    aws = {name: kind["node_config"] for name, kind in read("aws.yaml")["available_node_types"].items()}
    assert [name for name, config in aws.items() if "InstanceMarketOptions" in config] == ["policy"]
    gcp = {name: kind["node_config"] for name, kind in read("gcp.yaml")["available_node_types"].items()}
    assert [name for name, config in gcp.items() if "SPOT" in str(config.get("scheduling"))] == ["policy"]
    groups = RayCluster.model_validate(read("raycluster.yaml")).spec.worker_group_specs
    assert [group.group_name for group in groups if "nodeSelector" in group.template.spec] == ["policy"]


def test_equal_nodes_of_slurm_and_skypilot_hold_the_large_run() -> None:
    script = CLOUDS / "slurm.sh"
    count, cpus, gpus = (int(slurm_option(script, name)) for name in ("nodes", "cpus-per-task", "gpus-per-node"))
    check_holds(ON_EQUAL_NODES, equal_nodes(count, cpus=cpus, gpus=gpus))
    sky = read("sky.yaml")
    kinds = [kind["accelerators"] for kind in sky["resources"]["any_of"]]
    assert {kind.partition(":")[2] for kind in kinds} == {str(gpus)}
    check_holds(
        ON_EQUAL_NODES, equal_nodes(sky["num_nodes"], cpus=int(sky["resources"]["cpus"].rstrip("+")), gpus=gpus)
    )
    assert ROOT / sky["envs"]["CONFIG"] == ON_EQUAL_NODES


@pytest.mark.parametrize("gpu_gib", [44.4, 79.2])  # an L40S (the smallest GPU on AWS), an A100 of 80 GB
def test_the_models_of_the_run_fit_into_the_gpus(gpu_gib: float, tmp_path: Path) -> None:
    given = load_config(RUN)
    models = {"policy": given.policy.model, "pivot": given.pivot.model, "scorer": given.scorer.model}
    local = [f"{role}.model={published_model(tmp_path / role, PUBLISHED[name])}" for role, name in models.items()]
    words = [*local, f"pivot.cache={tmp_path / 'none'}", f"cluster.gpu_memory_gib={gpu_gib}"]
    plan = run(argparse.Namespace(config=RUN, overrides=words, json=True, check=False))
    assert plan["device"] == "cuda"


def test_no_port_of_a_host_is_opened_and_no_pod_has_more_rights_than_it_needs() -> None:
    for spec in _pods():
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        assert not [volume for volume in spec["volumes"] if "hostPath" in volume]
        assert spec["securityContext"]["runAsNonRoot"] and not spec["automountServiceAccountToken"]
        for container in read_containers(spec):
            assert not [port for port in container.get("ports", []) if "hostPort" in port]
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            }


def test_the_network_policy_is_for_the_pods_of_the_cluster() -> None:
    claim, policy = read("storage.yaml"), read("network.yaml")
    chosen = policy["spec"]["podSelector"]["matchLabels"]
    cluster = RayCluster.model_validate(read("raycluster.yaml")).spec
    groups = [cluster.head_group_spec, *cluster.worker_group_specs]
    assert {str(group.template.metadata["labels"]) for group in groups} == {str(chosen)}
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    named = {volume["persistentVolumeClaim"]["claimName"] for spec in _pods() for volume in spec["volumes"][:1]}
    assert named == {claim["metadata"]["name"]}
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]


@pytest.mark.parametrize("name", LAUNCHERS)
def test_ray_asks_for_a_token_and_its_dashboard_is_on_loopback(name: str) -> None:
    config = read(f"{name}.yaml")
    for command in (config["head_start_ray_commands"][-1], config["worker_start_ray_commands"][-1]):
        assert "RAY_AUTH_MODE=token ray start" in command
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][-1]
    assert config["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}


@pytest.mark.parametrize("name", ["slurm.sh", "sky.yaml"])
def test_the_scripts_ask_for_a_token_too(name: str) -> None:
    text = (CLOUDS / name).read_text(encoding="utf-8")
    assert "RAY_AUTH_MODE=token" in text
    assert "--dashboard-host=127.0.0.1" in text


def test_versions_are_the_pinned_ones() -> None:
    for spec in (read("raycluster.yaml")["spec"], read("rayjob.yaml")["spec"]["rayClusterSpec"]):
        assert spec["rayVersion"] == pinned("ray")
    python = PROJECT["requires-python"].removeprefix(">=").partition(",")[0]
    assert set(re.findall(r"python(3\.\d+)", DOCKERFILE)) == {python}
    assert set(re.findall(r"python(3\.\d+)", (CLOUDS / "sky.yaml").read_text(encoding="utf-8"))) == {python}


def test_all_files_name_the_image_that_the_dockerfile_says_how_to_build() -> None:
    (built,) = re.findall(r"-t REGISTRY/(\S+)", DOCKERFILE)
    assert built == f"pb-rlsvr:{PROJECT['version']}-gpu"
    named = {image.rpartition("/")[2] for name in WITH_IMAGES for image in images(name)}
    assert named == {built}
    assert all(images(name) for name in WITH_IMAGES)


def test_the_image_does_not_run_as_root_and_its_user_owns_the_pods_files() -> None:
    (uid,) = re.findall(r"useradd --uid (\d+)", DOCKERFILE)
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, flags=re.MULTILINE) == [uid]
    for spec in _pods():
        assert {spec["securityContext"][key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {int(uid)}


def _pods() -> list[dict]:
    """Return the specs of all pods of the RayCluster, which are those of the RayJob."""
    spec = read("raycluster.yaml")["spec"]
    return [group["template"]["spec"] for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"])]
