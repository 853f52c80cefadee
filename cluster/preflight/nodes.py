"""Check every node of a run before models load: one Ray task on each, and one line for each fault."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.builds import PACKAGES, package_version
from cluster.estimate.fits import Hardware, check_memory
from cluster.preflight.checks import NodeCheck, checks_where_placed
from cluster.preflight.facts import NodeFacts, look
from cluster.preflight.faults import faults
from cluster.preflight.shared_folder import marked
from cluster.reserve import Bundles, cluster_nodes
from contracts.config.run import Config
from contracts.config.workers import ClusterConfig
from contracts.errors import BadInput
from contracts.paths import ROOT
from contracts.ports import Console

TIMEOUT_S = 300.0
"""Longest time for the answer of all nodes, in seconds: torch is imported there, perhaps from a slow disk."""
LATE_TIMEOUT_S = 60.0
"""The same while a run goes on, which ends no sooner than the answer comes."""


def check_placed(config: Config, bundles: Bundles, console: Console) -> None:
    """Check the nodes on which a run has its bundles, and whether its actors fit into the memory there.

    Raises:
        BadInput: as `check_nodes` does; or a GPU or a node is too small, with the key to change.
    """
    nodes = cluster_nodes()
    names = {node.id: node.name for node in nodes}
    where = {name: names[node] for name, node in bundles.nodes().items() if node in names}
    with marked(Path(config.run.folder)) as marker:
        checks = checks_where_placed(config, bundles.layout, where, nodes, marker=marker)
        found = check_nodes(checks, console)
    check_memory(config, bundles.layout, _hardware(config.cluster, found, where))


def check_nodes(checks: tuple[NodeCheck, ...], console: Console) -> dict[str, NodeFacts]:
    """Check the nodes of a run, all at the same time, and return what was found, by the node's name.

    Raises:
        BadInput: a node can't do its part; the message has one line for each fault, with the node's name; `key` is
            "cluster".
    """
    with console.phase(f"checking {len(checks)} node{'' if len(checks) == 1 else 's'}"):
        answers = _ask(checks, timeout_s=TIMEOUT_S)
    lines = [
        f"{check.node.name}: {fault}"
        for check, answer in zip(checks, answers, strict=True)
        for fault in _faults(check, answer)
    ]
    if lines:
        raise BadInput("\n".join(lines), key="cluster")
    return {
        check.node.name: answer for check, answer in zip(checks, answers, strict=True) if isinstance(answer, NodeFacts)
    }


def node_faults(checks: tuple[NodeCheck, ...]) -> dict[str, str]:
    """Check nodes while a run goes on, and return what is wrong with each that is not fit for it, by the node's id."""
    answers = _ask(checks, timeout_s=LATE_TIMEOUT_S)
    found = {check.node.id: _faults(check, answer) for check, answer in zip(checks, answers, strict=True)}
    return {node: "; ".join(lines) for node, lines in found.items() if lines}


def smallest_gpu_gib(found: Iterable[NodeFacts]) -> float | None:
    """Return the memory of the smallest GPU, in GiB; None if no node was asked for GPUs."""
    return min(
        (facts.cuda.memory_gib for facts in found if facts.cuda is not None and facts.cuda.memory_gib), default=None
    )


def _hardware(cluster: ClusterConfig, found: Mapping[str, NodeFacts], where: Mapping[str, str]) -> Hardware:
    """Return the memory of the nodes and of the smallest GPU, unless the config says how large a GPU is."""
    given = cluster.gpu_memory_gib
    return Hardware(
        gpu_gib=smallest_gpu_gib(found.values()) if given == "auto" else given,
        nodes_gib={node: facts.host_gib for node, facts in found.items()},
        where=where,
    )


def _faults(check: NodeCheck, answer: NodeFacts | str) -> list[str]:
    """Return what is wrong with a node, one sentence each; a node that gave no facts has said why."""
    if isinstance(answer, str):
        return [answer]
    versions = {package: package_version(package) for package in PACKAGES}
    found = faults(answer, check.needs, versions=versions, bfloat16_keys=check.bfloat16_keys)
    return [*found, *_object_store(check)]


def _object_store(check: NodeCheck) -> Iterator[str]:
    has, needs = check.node.object_store_gib, check.object_store_gib
    if has < needs:
        yield (
            f"Ray's object store has {has:.2f} GiB, and weights need {needs:.2f} of it (weights.bucket_mib); enlarge "
            "/dev/shm (--shm-size of a container) or `ray start --object-store-memory` there"
        )


def _ask(checks: tuple[NodeCheck, ...], *, timeout_s: float) -> list[NodeFacts | str]:
    """Return the facts of each node, or why there are none."""
    # The process ends with its task: another actor would find torch's view of the GPUs in it.
    task = ray.remote(num_cpus=0, max_calls=1, max_retries=0)(look)
    asked = [
        task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(check.node.id, soft=False)).remote(check.needs)
        for check in checks
    ]
    ready, _ = ray.wait(asked, num_returns=len(asked), timeout=timeout_s)
    answered = set(ready)
    return [_answer(reference) if reference in answered else _silent(timeout_s) for reference in asked]


def _answer(reference: "ray.ObjectRef[NodeFacts]") -> NodeFacts | str:
    try:
        return ray.get(reference)
    except RayError as failure:
        return f"it could not be checked: {why_unanswered(failure)}"


def why_unanswered(failure: RayError) -> str:
    """Return one line of what Ray says about a task that failed, with what to do where the node lacks the project.

    The text of an error in a task is a traceback, of which the last line is the error.
    """
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()] or [type(failure).__name__]
    line = lines[-1] if isinstance(failure, RayTaskError) or "Traceback" in str(failure) else lines[0]
    if ModuleNotFoundError.__name__ in line:
        line += (
            f"; install the requirements there, and put the project under {ROOT}, as on the driver's node "
            "(`ray job submit --working-dir .` copies it)"
        )
    return line


def _silent(timeout_s: float) -> str:
    return f"it did not answer within {timeout_s:g} s"
