"""Start all actors of a run, load their models, and put them behind the driver's ports.

Says which actor gets which settings. The layout says where an actor runs, and its supervisor when it is restarted.
"""

import asyncio
import hashlib
import shutil
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from actors.engine import EngineWorker
from actors.fleets.actor_watch import ActorWatch, OnMemory
from actors.fleets.colocated import ColocatedLearner, ColocatedPolicy, Engines, LendingWorkers, SleepingWorkers
from actors.fleets.engines import EnginePool
from actors.fleets.learner import LearnerRanks
from actors.fleets.on_demand import OnDemand
from actors.fleets.policy import PolicyPool
from actors.fleets.readings import ActorReading
from actors.fleets.scorers import ScorerPool
from actors.fleets.supervisor import OnAnswer, OnEvent, Supervisor, WorkerPoolConfig
from actors.fleets.turns import Turns
from actors.fleets.worker import WorkerState
from actors.learner import LearnerWorker, RankArguments
from actors.remote.calls import end_actor, processes
from actors.remote.process import ProcessInfo, RemoteActor, RemoteClass
from actors.scorer import ScorerWorker
from actors.scoring.loaded_reward import RewardSetup
from cluster.elastic.ray_capacity import RayCapacity
from cluster.elastic.scaling import Autoscaler, ScalingLimits
from cluster.launch import start_actor, start_unreserved
from cluster.layout import Layout, Placement, Role
from cluster.preflight.late import LateNodes, check_late_pivot
from cluster.reserve import Bundles
from cluster.settings import weight_backend
from contracts.config.device_defaults import Device
from contracts.config.run import Config
from contracts.config.section import decided
from contracts.config.workers import PivotConfig, PolicyConfig, WeightBackend
from contracts.errors import RunFailed
from contracts.fingerprints import model_fingerprint
from contracts.ports import Console, Generator, Learner
from contracts.waiting import waiting_for

Result = TypeVar("Result")

MEETINGS = ".ranks"
"""Folder of a run, while it goes on, through which the learner's ranks find each other. Only its owner may open it."""

StartIn = Callable[[Placement, Bundles], RemoteActor]
"""Start a new actor in a bundle, without waiting for it."""


class Team:
    """Hold the actors of one run.

    `processes` names every process that was started, also if a later start fails. The earlier processes of an actor are
    "policy-0.1", "policy-0.2", ...
    """

    def __init__(
        self,
        config: Config,
        bundles: Bundles,
        console: Console,
        *,
        folder: Path,
        on_event: OnEvent | None = None,
        late_pivot: Layout | None = None,
    ) -> None:
        """Start with no actors.

        Args:
            config: of the run.
            bundles: where the actors run.
            console: shows what is being loaded.
            folder: of the run; the learner's ranks meet in it.
            on_event: gets every change of a worker; without it, the console prints failures.
            late_pivot: pivot workers that have no bundles, and that the first request to the pivot starts.
        """
        self._config = config
        self._bundles = bundles
        self._console = console
        self._on_event = on_event or self._note
        self.on_answer: OnAnswer = lambda worker, request, sent: None
        """Gets every answer of a worker, and when it was asked. It is set before workers are started."""
        self._late_pivot = late_pivot
        self._supervisors: list[Supervisor] = []
        self._capacity: RayCapacity | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._meetings = folder / MEETINGS
        self.processes: dict[str, ProcessInfo] = {}
        self.policy_pool = EnginePool(Supervisor.of_loaded("policy", ()))
        self.policy: Engines = self.policy_pool
        self.pivot: Generator = EnginePool(Supervisor.of_loaded("pivot", ()))
        self._pivot_pool: EnginePool | None = None  # none before its workers are started, which may be late
        self.scorer = self._scorer_pool(Supervisor.of_loaded("scorer", ()))
        self.ranks = LearnerRanks((), timeout_s=config.learner.timeout_s, rules=config.fleet, policy=None)
        self.learner: Learner = self.ranks
        self._turns: Turns | None = None  # of policy workers and learner ranks on the same GPUs

    @property
    def scores(self) -> bool:
        """Return whether the run has scorers: supervised fine-tuning needs none."""
        return bool(self._bundles.layout.of("scorer"))

    @property
    def generates(self) -> bool:
        """Return whether the run has policy workers: supervised fine-tuning needs them only to evaluate."""
        return bool(self._bundles.layout.of("policy"))

    async def start_frozen_policy(self) -> None:
        """Start policy workers that keep the weights of their model, for an evaluation."""
        start = self._starter(EngineWorker, self._config.policy, self._device)
        supervisor = self._supervise("policy", self._in_bundles("policy", start))
        self.policy = self.policy_pool = EnginePool(supervisor, timeout_s=self._config.policy.timeout_s)
        await self._open(supervisor)

    async def start_scorers(self, languages: Sequence[str], *, custom_source: str = "") -> None:
        """Start scorers alone, to measure the reward itself. They score once they have a calibration."""
        await self._open(self._add_scorers(languages, custom_source))

    async def start_pivot(self) -> None:
        """Start pivot workers alone, to get references ahead of a run."""
        await self._open_pivots()

    async def start_all(self, *, custom_source: str = "", on_memory: OnMemory | None = None) -> None:
        """Start all actors of the layout and load them at the same time.

        Args:
            custom_source: a user's reward, as text.
            on_memory: gets the memory of each actor every fleet.heartbeat_s; without it, nobody is asked for memory,
                nor the ranks for what they have done.

        Raises:
            RunFailed: an actor did not load its model, or not within cluster.start_timeout_s.
        """
        config = self._config
        start_policy = self._starter(EngineWorker, *policy_arguments(config, self._device))
        policy = self._supervise(
            "policy",
            self._in_bundles("policy", start_policy),
            min_workers=config.policy.min_workers,
            starts_stale=True,
        )
        pool = PolicyPool(policy, timeout_s=config.policy.timeout_s)
        self.policy = self.policy_pool = pool
        self.ranks.policy = pool if policy.workers else None
        if self._is_colocated:
            self._turns = self._take_turns(pool)
        if self._late_pivot is not None:
            self.pivot = OnDemand(partial(self._start_late_pivot, self._late_pivot))
        await asyncio.gather(
            self._open_pivots(),
            self._open(self._add_scorers(config.data.languages, custom_source)),
            self._load_policy_and_learner(policy),
        )
        if on_memory is not None:
            every_s = config.fleet.heartbeat_s
            memory = ActorWatch(self._loaded, lambda actor: actor.memory.remote(), on_memory, every_s=every_s)
            progress = ActorWatch(
                self.ranks.by_name, lambda rank: rank.progress.remote(), self.ranks.note_progress, every_s=every_s
            )
            self._keep(memory.run(), policy)
            self._keep(progress.run(), policy)
        if self.generates:
            self._keep(self._bring_up_stale(pool), policy)
            if self._turns is None:
                self._keep(self._scale(policy, start_policy), policy)

    async def _load_policy_and_learner(self, policy: Supervisor) -> None:
        """Load both at the same time; on the same GPUs one after the other."""
        if self._turns is None:
            self.ranks.exchange(self._start_ranks())
            await asyncio.gather(self._open(policy), self._set_up_learner())
        else:
            await self._open(policy)
            await self._turns.restarting(self._start_and_set_up_learner)

    def _take_turns(self, pool: PolicyPool) -> Turns:
        """Put policy and learner behind turns, because they use the same GPUs."""
        turns = Turns(SleepingWorkers(pool), self.ranks, send_again=self.ranks.push_again)
        self.policy, self.learner = ColocatedPolicy(pool, turns), ColocatedLearner(self.ranks, turns)
        self.ranks.policy = LendingWorkers(pool, turns)
        pool.supervisor.loading = turns.loading
        return turns

    def readings(self) -> list[ActorReading]:
        """Return how all actors stand now. Nobody is asked: workers say it with their heartbeats."""
        sources = (self.policy_pool, self._pivot_pool, self.scorer, self.ranks)
        return [reading for source in sources if source is not None for reading in source.readings()]

    async def restart_learner(self) -> None:
        """Start new processes for all ranks, in the same bundles, with the model's first weights.

        Raises:
            RunFailed: a rank did not start, or not within cluster.start_timeout_s.
        """
        for rank in self.ranks.ranks:
            end_actor(rank)
        if self._turns is None:
            await self._start_and_set_up_learner()
        else:
            await self._turns.restarting(self._start_and_set_up_learner)

    async def _start_and_set_up_learner(self) -> None:
        self.ranks.exchange(self._start_ranks())
        await self._set_up_learner()

    async def close(self) -> None:
        """Stop heartbeats, restarts and scaling. The processes end with Ray."""
        if isinstance(self.pivot, OnDemand):
            await self.pivot.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(supervisor.close() for supervisor in self._supervisors))
        if self._capacity is not None:
            self._capacity.close()
        shutil.rmtree(self._meetings, ignore_errors=True)

    # --- which actor gets which settings ------------------------------------------------------------------------------

    @property
    def _device(self) -> Device:
        return self._bundles.layout.device

    @property
    def _is_colocated(self) -> bool:
        """Return whether policy workers and learner ranks use the same GPUs in turns."""
        return any(placement.shares for placement in self._bundles.layout.of("learner"))

    def _starter(self, actor: RemoteClass, *arguments: object) -> StartIn:
        return lambda placement, bundles: start_actor(actor, placement, bundles, arguments)

    async def _open_pivots(self) -> None:
        """Start and load the pivot workers of the layout; none where they are late."""
        start = self._starter(EngineWorker, self._config.pivot, self._device)
        pool = self._add_pivots(self._in_bundles("pivot", start))
        if self._late_pivot is None:
            self.pivot = pool
        await self._open(pool.supervisor)

    async def _start_late_pivot(self, layout: Layout) -> EnginePool:
        """Start pivot workers during the run. Each waits for free resources, for which nothing was reserved.

        Raises:
            RunFailed: no node is fit for it, or a worker found no resources, or did not load, within
                cluster.start_timeout_s.
        """
        self._on_event("fleet", "pivot: started", f"a reference is not in the cache; it needs {layout.total}")
        await asyncio.to_thread(check_late_pivot, self._config, layout)
        arguments = (self._config.pivot, self._device)
        pool = self._add_pivots(
            [partial(start_unreserved, EngineWorker, placement, arguments) for placement in layout.placements]
        )
        await self._open(pool.supervisor)
        return pool

    def _add_pivots(self, starts: Sequence[Callable[[], RemoteActor]]) -> EnginePool:
        supervisor = self._supervise("pivot", starts)
        self._pivot_pool = EnginePool(supervisor, timeout_s=self._config.pivot.timeout_s)
        return self._pivot_pool

    def _add_scorers(self, languages: Sequence[str], custom_source: str) -> Supervisor:
        config = self._config
        setup = RewardSetup(
            scorer=config.scorer,
            reward=config.reward,
            comet=config.comet,
            translator=config.translator,
            languages=tuple(languages),
            own_languages=config.data.own_languages,
            custom_source=custom_source,
            translated_by=_translator_name(config.pivot),
        )
        device = next((placement.device for placement in self._bundles.layout.of("scorer")), "cpu")
        start = self._starter(ScorerWorker, setup, device)
        supervisor = self._supervise("scorer", self._in_bundles("scorer", start))
        self.scorer = self._scorer_pool(supervisor)
        return supervisor

    def _scorer_pool(self, supervisor: Supervisor) -> ScorerPool:
        config = self._config.scorer
        return ScorerPool(supervisor, timeout_s=config.timeout_s, attempts=config.attempts, backoff_s=config.backoff_s)

    def _in_bundles(self, role: Role, start: StartIn) -> list[Callable[[], RemoteActor]]:
        """Return what starts each of a role's actors in its bundle."""
        return [partial(start, placement, self._bundles) for placement in self._bundles.layout.of(role)]

    def _supervise(
        self,
        role: Role,
        starts: Sequence[Callable[[], RemoteActor]],
        *,
        min_workers: int = 1,
        starts_stale: bool = False,
    ) -> Supervisor:
        """Start a role's actors, now and at every restart."""
        supervisor = Supervisor(
            WorkerPoolConfig(
                role=role,
                rules=self._config.fleet,
                start_timeout_s=self._config.cluster.start_timeout_s,
                min_workers=min_workers,
                starts_stale=starts_stale,
                on_event=self._on_event,
                on_answer=self.on_answer,
                on_wait=self._console.waiting,
                on_process=self._note_process,
            )
        )
        self._supervisors.append(supervisor)
        for start in starts:
            supervisor.add(start)
        return supervisor

    def _start_ranks(self) -> list[RemoteActor]:
        return [
            start_actor(LearnerWorker, placement, self._bundles, (placement.index,))
            for placement in self._bundles.layout.of("learner")
        ]

    # --- loading ------------------------------------------------------------------------------------------------------

    async def _open(self, supervisor: Supervisor) -> None:
        if supervisor.workers:  # some runs need no scorer, no pivot or no policy worker
            await self._load(supervisor.config.role, supervisor.open())

    async def _set_up_learner(self) -> None:
        config = self._config
        template = config.policy.chat_template
        arguments = RankArguments(
            learner=config.learner,
            algorithm=config.algorithm,
            critic=config.critic,
            total_optimizer_steps=config.total_optimizer_steps,
            policy=config.policy,
            chat_template=Path(template).read_text(encoding="utf-8") if template else "",
            device=self._device,
            seed=config.run.seed,
            weight_backend=weight_backend(config, self._device),
            bucket_bytes=decided(config.weights.bucket_mib) << 20,
            push_timeout_s=config.weights.timeout_s,
            meetings=str(self._meetings),
        )
        shutil.rmtree(self._meetings, ignore_errors=True)  # of ranks that were lost, or of a run that was killed
        self._meetings.mkdir(mode=0o700)
        names = [placement.name for placement in self._bundles.layout.of("learner")]
        started = await self._load("learner", processes(names, self.ranks.ranks), doing="starting")
        for name, process in started.items():
            self._note_process(name, process)
        await self._load("learner", self.ranks.setup(arguments))

    async def _load(self, role: str, loading: Awaitable[Result], *, doing: str = "loading") -> Result:
        with self._console.phase(f"{doing} {role}"):
            return await waiting_for(
                loading,
                f"{role} to load",
                timeout_s=self._config.cluster.start_timeout_s,
                on_wait=self._console.waiting,
            )

    def _note(self, kind: str, reason: str, detail: str) -> None:
        if f": {WorkerState.STARTING} -> " not in reason:  # the console shows the loading already
            self._console.note(f"{kind} {reason}: {detail}")

    def _note_process(self, name: str, process: ProcessInfo) -> None:
        if (earlier := self.processes.pop(name, None)) is not None:
            number = sum(known.startswith(f"{name}.") for known in self.processes) + 1
            self.processes[f"{name}.{number}"] = earlier
        self.processes[name] = process

    # --- while the run goes on ----------------------------------------------------------------------------------------

    async def _bring_up_stale(self, pool: PolicyPool) -> None:
        """Send the current weights to workers that were started between two pushes."""
        while True:
            await pool.stale.wait()
            pool.stale.clear()
            try:
                if self._turns is None:
                    await self.ranks.bring_up()
                else:
                    await self._turns.bringing_up(self.ranks.bring_up)
            except RunFailed as failure:  # the next call of the learner or of the pool raises it as well
                self._on_event("fleet", "policy: a new worker did not receive the current weights", str(failure))

    async def _scale(self, policy: Supervisor, start: StartIn) -> None:
        """Keep as many policy workers as the cluster has resources for, within the limits of the config."""
        config = self._config.policy
        known = [node for node in self._bundles.nodes().values() if node is not None]
        late = LateNodes(self._config, self._bundles.layout, "policy", known=known)
        capacity = self._capacity = RayCapacity(self._bundles, "policy", start=start, refuse=late.look)
        limits = ScalingLimits(min_workers=config.min_workers, max_workers=config.most_workers, bundle=capacity.bundle)
        autoscaler = Autoscaler("policy", policy, capacity, limits=limits, on_event=self._on_event)
        autoscaler.occupy(capacity.keys, policy.workers)
        await autoscaler.run()

    def _loaded(self) -> dict[str, RemoteActor]:
        """Return the actors that hold their models, by name."""
        workers = (worker for supervisor in self._supervisors for worker in supervisor.workers)
        return self.ranks.by_name() | {worker.name: worker.handle for worker in workers if worker.is_loaded}

    def _keep(self, work: Coroutine[object, object, None], supervisor: Supervisor) -> None:
        """Run `work` until `close`. A bug in it ends the run, as a bug in the supervisor does."""
        task = asyncio.ensure_future(work)
        task.add_done_callback(supervisor.on_task_done)
        self._tasks.append(task)


def _translator_name(pivot: PivotConfig) -> str:
    """Return what identifies a pivot that translates: its files, its chat template and the template's arguments.

    The date of a template that writes one is left out: it decides nothing about a translation.
    """
    template = Path(pivot.chat_template).read_text(encoding="utf-8") if pivot.chat_template else ""
    given = hashlib.blake2b(repr((template, sorted(pivot.chat_template_arguments.items()))).encode(), digest_size=8)
    model = model_fingerprint(pivot.model, with_code=pivot.trust_remote_code)
    return f"pivot {model};{given.hexdigest()}"


def policy_arguments(config: Config, device: Device) -> tuple[PolicyConfig, Device, WeightBackend, int]:
    """Return what a policy worker that follows the learner is started with."""
    lora = config.learner.lora
    return config.policy, device, weight_backend(config, device), 0 if lora is None else lora.rank
