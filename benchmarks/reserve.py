"""Where the two sides of a benchmark run: actors in bundles of their own, in the same environment as a run's actors.

Owns the sharing of one machine among them. Both sides are there from the start to the end; the one whose turn it isn't
sleeps.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich.console import Console as Terminal

from cluster.launch import Bundles, connected, placed
from cluster.layout import Layout, Placement, Resources, Role, choose_device
from contracts.config.run import Config
from driver.tracking.console import Console


@contextmanager
def reserved(config: Config, roles: Sequence[Role], *, threads: int | Mapping[Role, int]) -> Iterator[Bundles]:
    """One bundle an actor, with an even share of Ray's CPUs and GPUs each, and `threads` threads, of all or by role."""
    with Console(Terminal(stderr=True)) as console, connected(config.cluster, console) as cluster:
        gpus = min(1.0, cluster.gpus / len(roles))
        threads_of = {role: threads if isinstance(threads, int) else threads[role] for role in roles}
        layout = Layout(
            device=choose_device(config, cluster),
            placements=tuple(
                Placement(
                    role=role,
                    index=index,
                    bundle=Resources(cpus=min(float(threads_of[role]), cluster.cpus / len(roles)), gpus=gpus),
                    num_threads=threads_of[role],
                )
                for index, role in enumerate(roles)
            ),
        )
        with placed(layout, config.cluster, console.waiting) as bundles:
            yield bundles
