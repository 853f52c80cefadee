"""All actors of a run: started, loaded, put behind the driver's ports, and started again where they died.

Owns who is started with what. Where is cluster/launch.py's business, when a supervisor's, what an actor does its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from actors.engine import EngineWorker
from actors.fleets.generators import GeneratorFleet
from actors.fleets.learner import LearnerRanks
from actors.fleets.policy import PolicyFleet
from actors.fleets.scorers import ScorerFleet
from actors.fleets.states import WorkerState
from actors.fleets.supervisor import Report, Supervisor, WorkerPoolConfig
from actors.learner import LearnerWorker, RankArguments
from actors.remote.calls import end_actor, processes
from actors.remote.process import ProcessInfo, RemoteActor, RemoteClass
from actors.scorer import ScorerWorker
from actors.scoring.loaded_reward import RewardSetup
from actors.weight_sync.buckets import WeightBackend
from cluster.elastic.decide import Elastic, Limits
from cluster.elastic.ray_room import ClusterRoom
from cluster.launch import Bundles, start_actor
from cluster.layout import Device, Placement, Role
from contracts.config.run import Config, WeightsConfig
from contracts.errors import RunFailed
from contracts.fingerprints import model_fingerprint
from contracts.ports import Console
from contracts.waiting import waiting_for

Result = TypeVar("Result")

StartIn = Callable[[Placement, Bundles], RemoteActor]
"""A new actor in a bundle; does not wait for it."""


class Team:
    """The actors of one run. What was started is known in `processes`, also when a later start fails: by name, an
    actor's earlier processes as "policy-0.1", "policy-0.2"."""

    def __init__(self, config: Config, bundles: Bundles, console: Console, *, report: Report | None = None) -> None:
        """`report` hears of every change among the workers; without one, what goes wrong is a note on the console."""
        self._config = config
        self._bundles = bundles
        self._console = console
        self._report = report or self._note
        self._supervisors: list[Supervisor] = []
        self._room: ClusterRoom | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.processes: dict[str, ProcessInfo] = {}
        self.policy = GeneratorFleet(self._nobody("policy"))
        self.pivot = GeneratorFleet(self._nobody("pivot"))
        self.scorer = self._scorer_fleet(self._nobody("scorer"))
        self.learner = LearnerRanks((), timeout_s=config.learner.timeout_s, rules=config.fleet, policy=None)

    @property
    def scores(self) -> bool:
        """Whether there are scorers: imitating references needs none."""
        return bool(self._bundles.layout.of("scorer"))

    @property
    def generates(self) -> bool:
        """Whether there are policy workers to push weights to: imitating references needs one only to evaluate."""
        return bool(self._bundles.layout.of("policy"))

    async def start_frozen_policy(self) -> None:
        """Policy workers that serve their own weights, for an evaluation."""
        supervisor = self._supervised("policy", self._starter(EngineWorker, self._config.policy, self._device))
        self.policy = GeneratorFleet(supervisor, timeout_s=self._config.policy.timeout_s)
        await self._open(supervisor)

    async def start_scorers(self, languages: Sequence[str], *, custom_source: str = "") -> None:
        """Scorers alone, for a measurement of the reward itself. They score once they were given a calibration."""
        await self._open(self._scorers(languages, custom_source))

    async def start_pivot(self) -> None:
        """Pivot workers alone, to ask for references ahead of a run."""
        await self._open(self._pivots())

    async def start_all(self, *, custom_source: str = "") -> None:
        """Everybody whom the layout names, loaded at the same time. `custom_source` is a user's own reward, as text.

        Raises:
            RunFailed: an actor could not load its model, or not within cluster.start_timeout_s.
        """
        config = self._config
        start_policy = self._starter(EngineWorker, config.policy, self._device, self._weight_backend)
        least = config.policy.min_workers
        policy = self._supervised("policy", start_policy, min_workers=least, starts_stale=True)
        fleet = PolicyFleet(policy, timeout_s=config.policy.timeout_s)
        self.policy, self.learner.policy = fleet, fleet if policy.workers else None
        self.learner.exchange(self._ranks())
        await asyncio.gather(
            self._open(policy),
            self._open(self._pivots()),
            self._open(self._scorers(config.data.languages, custom_source)),
            self._set_up_learner(),
        )
        if self.generates:
            self._keep(self._bring_up_stale(fleet), policy)
            self._keep(self._follow_cluster(policy, start_policy), policy)

    async def restart_learner(self) -> None:
        """New processes for all ranks, in the bundles of the old, with the model's first weights.

        Raises:
            RunFailed: a rank could not be started, or not within cluster.start_timeout_s.
        """
        for rank in self.learner.ranks:
            end_actor(rank)
        self.learner.exchange(self._ranks())
        await self._set_up_learner()

    async def close(self) -> None:
        """Nobody is watched or started again from now on. The processes end with Ray."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(supervisor.close() for supervisor in self._supervisors))
        if self._room is not None:
            self._room.close()

    # --- who is started with what -------------------------------------------------------------------------------------

    @property
    def _device(self) -> Device:
        return self._bundles.layout.device

    @property
    def _weight_backend(self) -> WeightBackend:
        return weight_backend(self._config.weights, self._device)

    def _starter(self, actor: RemoteClass, *arguments: object) -> StartIn:
        return lambda placement, bundles: start_actor(actor, placement, bundles, arguments)

    def _pivots(self) -> Supervisor:
        supervisor = self._supervised("pivot", self._starter(EngineWorker, self._config.pivot, self._device))
        self.pivot = GeneratorFleet(supervisor, timeout_s=self._config.pivot.timeout_s)
        return supervisor

    def _scorers(self, languages: Sequence[str], custom_source: str) -> Supervisor:
        config = self._config
        setup = RewardSetup(
            scorer=config.scorer,
            reward=config.reward,
            comet=config.comet,
            translator=config.translator,
            languages=tuple(languages),
            own_languages=config.data.own_languages,
            custom_source=custom_source,
            translated_by=f"pivot {model_fingerprint(config.pivot.model)}",
        )
        supervisor = self._supervised("scorer", self._starter(ScorerWorker, setup, self._device))
        self.scorer = self._scorer_fleet(supervisor)
        return supervisor

    def _scorer_fleet(self, supervisor: Supervisor) -> ScorerFleet:
        config = self._config.scorer
        return ScorerFleet(supervisor, timeout_s=config.timeout_s, attempts=config.attempts, backoff_s=config.backoff_s)

    def _supervised(
        self, role: Role, start: StartIn, *, min_workers: int = 1, starts_stale: bool = False
    ) -> Supervisor:
        """A role's actors, each in its bundle, now and at every restart."""
        supervisor = Supervisor(
            WorkerPoolConfig(
                role=role,
                rules=self._config.fleet,
                start_timeout_s=self._config.cluster.start_timeout_s,
                min_workers=min_workers,
                starts_stale=starts_stale,
                report=self._report,
                waiting=self._console.waiting,
                found=self._found,
            )
        )
        self._supervisors.append(supervisor)
        for placement in self._bundles.layout.of(role):
            supervisor.hire(partial(start, placement, self._bundles))
        return supervisor

    def _nobody(self, role: Role) -> Supervisor:
        return Supervisor.around(role, ())

    def _ranks(self) -> list[RemoteActor]:
        return [
            start_actor(LearnerWorker, placement, self._bundles, (placement.index,))
            for placement in self._bundles.layout.of("learner")
        ]

    # --- until they have loaded ---------------------------------------------------------------------------------------

    async def _open(self, supervisor: Supervisor) -> None:
        if supervisor.workers:  # imitating references needs no scorer, for one
            await self._started(supervisor.staffing.role, supervisor.open())

    async def _set_up_learner(self) -> None:
        config = self._config
        template = config.policy.chat_template
        arguments = RankArguments(
            learner=config.learner,
            algorithm=config.algorithm,
            critic=config.critic,
            total_optimizer_steps=config.total_optimizer_steps,
            model=config.policy.model,
            chat_template=Path(template).read_text(encoding="utf-8") if template else "",
            temperature=config.policy.temperature,
            device=self._device,
            seed=config.run.seed,
            trust_remote_code=config.policy.trust_remote_code,
            weight_backend=self._weight_backend,
            bucket_bytes=config.weights.bucket_mib << 20,
            push_timeout_s=config.weights.timeout_s,
            tensor_parallel_size=config.policy.tensor_parallel_size,
        )
        names = [placement.name for placement in self._bundles.layout.of("learner")]
        for name, process in (await self._started("learner", processes(names, self.learner.ranks))).items():
            self._found(name, process)
        await self._started("learner", self.learner.setup(arguments))

    def _note(self, kind: str, reason: str, detail: str) -> None:
        if f": {WorkerState.STARTING} -> " not in reason:  # the phases tell of that
            self._console.note(f"{kind} {reason}: {detail}")

    async def _started(self, role: str, loading: Awaitable[Result]) -> Result:
        with self._console.phase(f"loading {role}"):
            return await waiting_for(
                loading,
                f"{role} to load",
                timeout_s=self._config.cluster.start_timeout_s,
                on_wait=self._console.waiting,
            )

    def _found(self, name: str, process: ProcessInfo) -> None:
        if (earlier := self.processes.pop(name, None)) is not None:
            number = sum(known.startswith(f"{name}.") for known in self.processes) + 1
            self.processes[f"{name}.{number}"] = earlier
        self.processes[name] = process

    # --- while the run goes on ----------------------------------------------------------------------------------------

    async def _bring_up_stale(self, fleet: PolicyFleet) -> None:
        """Workers that were started between two pushes get the weights of now."""
        while True:
            await fleet.stale.wait()
            fleet.stale.clear()
            try:
                await self.learner.bring_up()
            except RunFailed as failure:  # whoever asks the learner or the fleet next hears of it as well
                self._report("fleet", "policy: a stale worker was not brought up", str(failure))

    async def _follow_cluster(self, policy: Supervisor, start: StartIn) -> None:
        """Policy workers as many as the cluster has room for, within what the config allows."""
        limits = self._config.policy
        self._room = ClusterRoom(self._bundles, "policy", start=start)
        elastic = Elastic(
            "policy",
            policy,
            self._room,
            limits=Limits(least=limits.min_workers, most=limits.most_workers, bundle=self._room.bundle),
            report=self._report,
        )
        elastic.seat(self._room.keys, policy.workers)
        await elastic.run()

    def _keep(self, work: Coroutine[object, object, None], supervisor: Supervisor) -> None:
        """For as long as the run goes on; a fault of ours in it ends the run, as one in the supervisor does."""
        task = asyncio.ensure_future(work)
        task.add_done_callback(supervisor.hear_of)
        self._tasks.append(task)


def weight_backend(config: WeightsConfig, device: Device) -> WeightBackend:
    """auto: NCCL between GPUs, Ray's object store without them."""
    if config.backend != "auto":
        return config.backend
    return "nccl" if device == "cuda" else "object_store"
