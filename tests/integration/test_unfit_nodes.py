"""Test what is wrong with a cluster or one of its nodes, on real clusters: one line each, before a model is loaded."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import ray
from ray import _raylet
from ray._common.usage.usage_constants import CLUSTER_METADATA_KEY
from ray.cluster_utils import Cluster

from benchmarks.published import PUBLISHED, published_model
from cluster.capacity import Node
from cluster.launch import connected
from cluster.layout import layout
from cluster.preflight.checks import checks_everywhere, checks_where_placed
from cluster.preflight.nodes import check_nodes
from cluster.preflight.shared_folder import marked
from cluster.reserve import cluster_nodes
from contracts.config.workers import ClusterConfig
from contracts.errors import BadInput
from contracts.paths import ROOT
from tests.builders import a_config, a_console
from tests.refusals import refused
from tests.runs.ray_nodes import owner_of_clusters

SMALL, LARGE = 100_000_000, 400_000_000
"""Bytes of the object store of two nodes: two buckets of 128 MiB fit into the second."""


ODD_CPUS = 7
"""CPUs of a node that sees other files than the driver's; no other node has so many."""


@contextmanager
def node_behind(mount: str, address: str) -> Iterator[None]:
    """Run a node whose view of the file system a command has changed, in a mount namespace of its own."""
    start = [f"--address={address}", f"--num-cpus={ODD_CPUS}", f"--object-store-memory={SMALL}", "--block"]
    process = subprocess.Popen(
        ["unshare", "--mount", "bash", "-c", f'{mount} && exec "$@"', "node", f"{sys.prefix}/bin/ray", "start", *start],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def joined(cpus: float) -> Node:
    """Return the node with so many CPUs, as soon as it has joined the cluster."""
    deadline = time.monotonic() + 120
    while True:
        found = [node for node in cluster_nodes() if node.total.cpus == cpus]
        if found:
            return found[0]
        assert time.monotonic() < deadline, "the node did not join"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def address(ray_folder: Path) -> Iterator[str]:
    """Run a cluster of a head that takes no actor and two nodes of one CPU, and be a person who has its address."""
    with owner_of_clusters(ray_folder, None) as patch:
        head = {"num_cpus": 0, "object_store_memory": SMALL, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            cluster.add_node(num_cpus=1, object_store_memory=SMALL)
            cluster.add_node(num_cpus=1, object_store_memory=LARGE)
            patch.setenv("RAY_ADDRESS", str(cluster.address))
            yield str(cluster.address)
        finally:
            cluster.shutdown()


def test_a_node_with_a_small_object_store_is_named(address: str, tmp_path: Path) -> None:
    model = published_model(tmp_path, PUBLISHED["meta-llama/Llama-3.1-8B-Instruct"])
    config = a_config(policy={"model": model}, cluster={"device": "cpu"})
    with connected(ClusterConfig(), a_console()) as nodes:
        checks = checks_everywhere(config, layout(config, "cpu", roles=("policy", "learner")), nodes)
        with pytest.raises(BadInput) as caught:
            check_nodes(checks, a_console())
    (small,) = (node.name for node in nodes if node.total.cpus and node.object_store_gib < LARGE / (1 << 30))
    lines = [line for line in str(caught.value).splitlines() if "--object-store-memory" in line]
    assert [line.partition(": ")[0] for line in lines] == [small]
    assert "0.09 GiB" in lines[0] and "0.25" in lines[0]


@pytest.mark.skipif(
    subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0,
    reason="this user may not change what a process sees of the file system",
)
@pytest.mark.skipif(
    "PYTEST_XDIST_WORKER" in os.environ,
    reason="`ray start` joins no node in a process that has run other files of tests: run this file by itself",
)
@pytest.mark.parametrize(
    ("mount", "named"),
    [
        ("mount -t tmpfs none {runs}", ("run.folder", "not the driver's folder")),
        ("mount --bind {runs} {runs} && mount -o remount,ro,bind {runs}", ("run.folder", "Read-only file system")),
        (f"mount -t tmpfs none {ROOT / 'cluster'}", ("No module named 'cluster", str(ROOT))),
    ],
    ids=["not shared", "read-only", "without the project"],
)
def test_a_node_that_sees_other_files_is_named(
    address: str, tmp_path: Path, mount: str, named: tuple[str, ...]
) -> None:
    runs = tmp_path / "runs"
    runs.mkdir()
    model = published_model(tmp_path, PUBLISHED["meta-llama/Llama-3.1-8B-Instruct"])
    config = a_config(policy={"model": model}, learner={"num_cpus": ODD_CPUS}, cluster={"device": "cpu"})
    with node_behind(mount.format(runs=runs), address), connected(ClusterConfig(), a_console()):
        node = joined(ODD_CPUS)
        with marked(runs) as marker, pytest.raises(BadInput) as caught:
            wanted = layout(config, "cpu", roles=("learner",))
            check_nodes(
                checks_where_placed(config, wanted, {"learner-0": node.name}, (node,), marker=marker), a_console()
            )
    lines = [line for line in str(caught.value).splitlines() if all(word in line for word in named)]
    assert [line.startswith(f"{node.name}: ") for line in lines] == [True]


@pytest.mark.parametrize(("num_nodes", "code"), [(3, 0), (4, 1)])
def test_a_job_waits_for_its_nodes_and_ends_where_they_dont_come(address: str, num_nodes: int, code: int) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "cluster/clouds/wait_for_nodes.py"), str(num_nodes), "--timeout-s=1"],
        env=os.environ | {"RAY_ADDRESS": address},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert ("3 of 4 nodes" in done.stderr) is (code == 1)


def test_another_ray_or_python_is_refused_with_the_versions_of_both(address: str) -> None:
    """The last test of this cluster: it says from then on that it has an old Ray."""
    client = _raylet.GcsClient(address=address)  # pyright: ignore[reportAttributeAccessIssue]
    found = client.internal_kv_get(CLUSTER_METADATA_KEY, b"cluster", 5)
    assert found is not None
    old = json.loads(found) | {"ray_version": "2.9.0", "python_version": "3.10.1"}
    client.internal_kv_put(CLUSTER_METADATA_KEY, json.dumps(old).encode(), True, b"cluster", 5)
    with refused("RAY_ADDRESS", address, "2.9.0", "3.10.1", ray.__version__), connected(ClusterConfig(), a_console()):
        pytest.fail("the cluster was joined")
