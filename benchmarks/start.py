"""Start the actors of a benchmark: in bundles of their own, in the same environment as a run's actors.

The actors of both sides exist from the start to the end. The side that has no turn sleeps.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from rich.console import Console as Terminal

from actors.fleets.learner import LearnerRanks
from actors.learner import LearnerWorker, RankArguments
from actors.remote.calls import processes
from actors.remote.process import RemoteActor
from cluster.builds import installed_builds
from cluster.device import choose_device
from cluster.launch import connected, start_actor
from cluster.layout import Layout, Placement, Resources, Role, summed
from cluster.reserve import Bundles, placed
from cluster.settings import weight_backend
from contracts.config.run import Config
from contracts.config.section import decided
from contracts.errors import FleetLost
from driver.tracking.console import Console


@contextmanager
def reserved(config: Config, roles: Sequence[Role], *, threads: int | Mapping[Role, int]) -> Iterator[Bundles]:
    """Reserve one bundle for each role, with an even share of Ray's CPUs and GPUs.

    `threads` is the number of threads of every actor, or a number for each role.
    """
    with Console(Terminal(stderr=True)) as console, connected(config.cluster, console) as nodes:
        cluster = summed(node.total for node in nodes)
        device = choose_device(config, cluster, installed_builds(), roles=tuple(roles)).device
        gpus = min(1.0, cluster.gpus / len(roles)) if device == "cuda" else 0.0
        threads_of = {role: threads if isinstance(threads, int) else threads[role] for role in roles}
        layout = Layout(
            device=device,
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


class FixedWorkers:
    """Hold the policy workers of a benchmark. A worker that misses a weight push ends the benchmark."""

    def __init__(self, workers: Sequence[RemoteActor]) -> None:
        self._workers = {f"policy-{index}": worker for index, worker in enumerate(workers)}

    def receivers(self) -> Mapping[str, RemoteActor]:
        """Return all workers by name."""
        return self._workers

    def sending(self, names: Iterable[str]) -> AbstractContextManager[None]:
        """Return a context that does nothing: nobody looks for silent workers here."""
        return nullcontext()

    def received(self, names: Iterable[str], policy_version: int) -> None:
        """Do nothing: nothing depends on it here."""

    def missed(self, name: str, why: str) -> None:
        """Raise FleetLost."""
        raise FleetLost(f"{name} {why}")

    async def wait_receivers(self) -> None:
        """Raise FleetLost."""
        raise FleetLost("this benchmark has no policy workers that could receive weights")


async def start_learner(
    config: Config, bundles: Bundles, *, places: Sequence[Placement], policy_workers: Sequence[RemoteActor]
) -> tuple[LearnerRanks, tuple[int, ...]]:
    """Return ranks that have loaded the policy's model and are connected, and the ids of their processes."""
    device = bundles.layout.device
    ranks = [start_actor(LearnerWorker, place, bundles, (rank,)) for rank, place in enumerate(places)]
    started = await processes([f"learner-{rank}" for rank in range(len(ranks))], ranks)
    learner = LearnerRanks(
        ranks, timeout_s=config.learner.timeout_s, rules=config.fleet, policy=FixedWorkers(policy_workers)
    )
    arguments = RankArguments(
        learner=config.learner,
        algorithm=config.algorithm,
        critic=config.critic,
        total_optimizer_steps=config.total_optimizer_steps,
        policy=config.policy,
        chat_template="",
        device=device,
        seed=config.run.seed,
        weight_backend=weight_backend(config, device),
        bucket_bytes=decided(config.weights.bucket_mib) << 20,
        push_timeout_s=config.weights.timeout_s,
        meetings=tempfile.mkdtemp(),
    )
    await learner.setup(arguments)
    return learner, tuple(process.pid for process in started.values())
