"""Start a Ray of a test's own in this process, for the tests that drive actors without a command."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from rich.console import Console as Terminal

from cluster.environment import LOOPBACK
from cluster.launch import connected
from cluster.layout import Layout, Placement, Resources, Role
from cluster.reserve import Bundles, placed
from contracts.config.run import ClusterConfig
from driver.tracking.console import Console


@contextmanager
def own_ray(environment: Mapping[str, str]) -> Iterator[Console]:
    """Connect to a new Ray. Afterwards the variables that Ray sets in this process are as before.

    Ray is imported already and has chosen an address: its processes must not choose another one.
    """
    console = Console(Terminal(file=io.StringIO()))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("RAY_ADDRESS", *LOOPBACK):  # a command that ran in this process may have set them
            patch.delenv(name, raising=False)
        patch.setenv("RAY_TMPDIR", environment["RAY_TMPDIR"])
        patch.setenv("RAY_AUTH_MODE", "")  # so that it is restored to what it was before this block
        patch.delenv("RAY_AUTH_MODE")
        with connected(ClusterConfig(), console):
            yield console


@contextmanager
def own_bundles(layout: Layout, environment: Mapping[str, str]) -> Iterator[Bundles]:
    """Reserve the bundles of a layout on a new Ray."""
    with own_ray(environment) as console, placed(layout, ClusterConfig(), console.waiting) as bundles:
        yield bundles


def a_layout(role: Role, num_actors: int, *, cpus: float) -> Layout:
    """Build a layout of so many actors of one role, each of one thread."""
    bundle = Resources(cpus=cpus, gpus=0)
    return Layout(
        device="cpu",
        placements=tuple(
            Placement(role=role, index=index, bundle=bundle, num_threads=1) for index in range(num_actors)
        ),
    )
