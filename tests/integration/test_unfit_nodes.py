"""Test what is wrong with a cluster or one of its nodes, on real clusters: one line each, before a model is loaded."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray import _raylet
from ray._common.usage.usage_constants import CLUSTER_METADATA_KEY
from ray.cluster_utils import Cluster

from benchmarks.published import PUBLISHED, published_model
from cluster.launch import connected
from cluster.layout import layout
from cluster.preflight.checks import checks_everywhere
from cluster.preflight.nodes import check_nodes
from contracts.config.workers import ClusterConfig
from contracts.errors import BadInput
from contracts.paths import ROOT
from tests.builders import a_config, a_console
from tests.refusals import refused
from tests.runs.ray_nodes import owner_of_clusters

SMALL, LARGE = 100_000_000, 400_000_000
"""Bytes of the object store of two nodes: two buckets of 128 MiB fit into the second."""


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
        checks = checks_everywhere(config, layout(config, "cpu", roles=("policy",)), nodes)
        with pytest.raises(BadInput) as caught:
            check_nodes(checks, a_console())
    (small,) = (node.name for node in nodes if node.total.cpus and node.object_store_gib < LARGE / (1 << 30))
    lines = [line for line in str(caught.value).splitlines() if "--object-store-memory" in line]
    assert [line.partition(": ")[0] for line in lines] == [small]
    assert "0.09 GiB" in lines[0] and "0.25" in lines[0]


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
