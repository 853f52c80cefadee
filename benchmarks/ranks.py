"""The learner's ranks as a run starts them, for the benchmarks that need a real learner."""

from collections.abc import Iterable, Mapping, Sequence

from actors.fleets.learner import LearnerRanks
from actors.learner import LearnerWorker, RankArguments
from actors.remote.calls import processes
from actors.remote.process import RemoteActor
from cluster.launch import Bundles, start_actor
from cluster.layout import Placement
from cluster.team import weight_backend
from contracts.config.run import Config
from contracts.errors import FleetLost


class FixedWorkers:
    """Policy workers of a benchmark (push_rounds.PolicyWorkers): one that misses a push ends it."""

    def __init__(self, workers: Sequence[RemoteActor]) -> None:
        self._workers = {f"policy-{index}": worker for index, worker in enumerate(workers)}

    def receivers(self) -> Mapping[str, RemoteActor]:
        return self._workers

    def received(self, names: Iterable[str], policy_version: int) -> None:
        """Nothing depends on it here."""

    def missed(self, name: str, why: str) -> None:
        raise FleetLost(f"{name} {why}")

    async def wait_receivers(self) -> None:
        raise FleetLost("a benchmark without policy workers has nobody to push weights to")


async def start_learner(
    config: Config, bundles: Bundles, *, places: Sequence[Placement], policy_workers: Sequence[RemoteActor]
) -> tuple[LearnerRanks, tuple[int, ...]]:
    """Ranks that have loaded the policy's model and met each other, and the ids of their processes."""
    device = bundles.layout.device
    ranks = [start_actor(LearnerWorker, place, bundles, (rank,)) for rank, place in enumerate(places)]
    started = await processes([f"learner-{rank}" for rank in range(len(ranks))], ranks)
    group = LearnerRanks(
        ranks, timeout_s=config.learner.timeout_s, rules=config.fleet, policy=FixedWorkers(policy_workers)
    )
    arguments = RankArguments(
        learner=config.learner,
        algorithm=config.algorithm,
        critic=config.critic,
        total_optimizer_steps=config.total_optimizer_steps,
        model=config.policy.model,
        chat_template="",
        temperature=config.policy.temperature,
        device=device,
        seed=config.run.seed,
        trust_remote_code=config.policy.trust_remote_code,
        weight_backend=weight_backend(config.weights, device),
        bucket_bytes=config.weights.bucket_mib << 20,
        push_timeout_s=config.weights.timeout_s,
        tensor_parallel_size=config.policy.tensor_parallel_size,
    )
    await group.setup(arguments)
    return group, tuple(process.pid for process in started.values())
