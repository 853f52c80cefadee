"""Read the launch files of cluster/clouds/, and the nodes that each of them starts."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from cluster.capacity import Node
from cluster.layout import Resources
from contracts.paths import ROOT
from tests.clouds.kuberay import RayCluster

CLOUDS = ROOT / "cluster" / "clouds"
LAUNCHERS = ("aws", "gcp")
RUN, ON_EQUAL_NODES = CLOUDS / "run.toml", ROOT / "configs" / "qwen3-32b-32gpu.toml"
"""Configs that the files start: on nodes of their own for each role, and on nodes of one kind."""


def read(name: str) -> dict[str, Any]:
    """Return the one document of a YAML file."""
    return yaml.safe_load((CLOUDS / name).read_text(encoding="utf-8"))


def nodes_of(name: str) -> tuple[Node, ...]:
    """Return the nodes that a file starts, its head included."""
    return tuple({"aws.yaml": _launcher, "gcp.yaml": _launcher, "raycluster.yaml": _kuberay}[name](name))


def _launcher(name: str) -> Iterator[Node]:
    config = read(name)
    for kind, node_type in config["available_node_types"].items():
        has = node_type["resources"]
        total = Resources(cpus=has["CPU"], gpus=has.get("GPU", 0))
        count = 1 if kind == config["head_node_type"] else node_type["min_workers"]
        yield from _nodes(kind, count, total, node_type["labels"])


def _kuberay(name: str) -> Iterator[Node]:
    spec = RayCluster.model_validate(read(name)).spec
    head = spec.head_group_spec
    yield from _nodes("head", 1, Resources(cpus=float(head.ray_start_params["num-cpus"]), gpus=0), head.labels)
    for group in spec.worker_group_specs:
        (container,) = read_containers(group.template.spec)
        asked = container["resources"]["requests"]
        total = Resources(cpus=float(asked["cpu"]), gpus=float(asked["nvidia.com/gpu"]))
        yield from _nodes(group.group_name, group.replicas, total, group.labels)


def read_containers(pod: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the containers of a pod's template."""
    return pod["containers"]


def _nodes(kind: str, count: int, total: Resources, labels: Mapping[str, str]) -> Iterator[Node]:
    for index in range(count):
        yield Node(id=f"{kind}-{index}", name=f"{kind}-{index}", total=total, labels=labels)


def equal_nodes(count: int, *, cpus: int, gpus: int) -> tuple[Node, ...]:
    """Return nodes of one kind, without labels."""
    return tuple(_nodes("node", count, Resources(cpus=cpus, gpus=gpus), {}))


def slurm_option(script: Path, name: str) -> str:
    """Return the value of an `#SBATCH --name=value` line."""
    (value,) = re.findall(rf"^#SBATCH --{name}=(\S+)", script.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return value


def images(name: str) -> list[str]:
    """Return the images that a file names."""
    return re.findall(r"^\s*image: (\S+)", (CLOUDS / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
