"""Start Ray clusters of several nodes on this machine, with as many CPUs and GPUs as a test says.

A node is a raylet of its own. Its GPUs need not exist: Ray counts them and tells each actor which are its own.
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from ray import _raylet
from ray.cluster_utils import Cluster

MEMORY = 100_000_000
"""Bytes of each node's object store."""


@contextmanager
def owner_of_clusters(ray_folder: Path, token_file: Path | None) -> Iterator[pytest.MonkeyPatch]:
    """Let this process start clusters, protected by a token if there is a file for it; afterwards all is as before.

    Ray has read its settings when it was imported, so it is told to read them again.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
            patch.delenv(name, raising=False)
        patch.setenv("RAY_TMPDIR", str(ray_folder))
        patch.setenv("RAY_AUTH_MODE", "disabled" if token_file is None else "token")
        if token_file is not None:
            token_file.write_text(secrets.token_hex(32), encoding="utf-8")
            patch.setenv("RAY_AUTH_TOKEN_PATH", str(token_file))
        read_settings_again()
        yield patch
    read_settings_again()


def read_settings_again() -> None:
    """Let Ray take the variables of this process as they are now."""
    _raylet.Config.initialize("")  # pyright: ignore[reportAttributeAccessIssue]
    _raylet.AuthenticationTokenLoader.instance().reset_cache()  # pyright: ignore[reportAttributeAccessIssue]


@contextmanager
def cluster_of(sizes: Sequence[tuple[int, int]]) -> Iterator[str]:
    """Run a cluster whose nodes have so many (CPUs, GPUs), and yield its address."""
    (cpus, gpus), *others = sizes
    head = {"num_cpus": cpus, "num_gpus": gpus, "object_store_memory": MEMORY, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for cpus, gpus in others:
            cluster.add_node(num_cpus=cpus, num_gpus=gpus, object_store_memory=MEMORY)
        yield str(cluster.address)
    finally:
        cluster.shutdown()
