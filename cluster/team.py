"""All actors of a run: started, loaded, and put behind the driver's ports.

Owns who is started with what. Where is cluster/launch.py's business, what an actor does its own.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import TypeVar

from actors.fleet import GeneratorFleet, processes, ready
from actors.learner import LearnerGroup, LearnerWorker, RankArguments
from actors.pivot import PivotWorker
from actors.policy import PolicyWorker
from actors.process import ProcessInfo, RemoteActor, RemoteClass
from actors.scorer import ScorerWorker
from actors.scorer_fleet import ScorerFleet
from actors.scoring import RewardSetup
from actors.weight_buckets import WeightBackend
from cluster.launch import Bundles, start_actor
from cluster.layout import Device, Role
from driver.config import Config, WeightsConfig
from driver.progress import Progress, waiting_for
from driver.references import model_fingerprint
from driver.reward_config import ScorerConfig

Result = TypeVar("Result")


class Team:
    """The actors of one run; what was started is known in `processes`, also when a later start fails."""

    def __init__(self, config: Config, bundles: Bundles, progress: Progress) -> None:
        self._config = config
        self._bundles = bundles
        self._progress = progress
        self.processes: dict[str, ProcessInfo] = {}
        self.policy = GeneratorFleet("policy", ())
        self.pivot = GeneratorFleet("pivot", ())
        self.scorer = scorer_fleet((), config.scorer)
        self.learner = LearnerGroup((), timeout_s=config.learner.timeout_s)

    @property
    def scores(self) -> bool:
        """Whether there are scorers: imitating references needs none."""
        return bool(self._bundles.layout.of("scorer"))

    async def start_frozen_policy(self) -> None:
        """Policy workers that serve their own weights, for an evaluation."""
        workers = self._actors("policy", PivotWorker, self._config.policy, self._bundles.layout.device)
        await self._load("policy", workers)
        self.policy = GeneratorFleet("policy", workers, timeout_s=self._config.policy.timeout_s)

    async def start_scorers(self, languages: Sequence[str], *, custom_source: str = "") -> None:
        """Scorers alone, for a measurement of the reward itself. They score once they were given a calibration."""
        scorers = self._scorers(languages, custom_source)
        await self._load("scorer", scorers)

    async def start_all(self, *, custom_source: str = "") -> None:
        """Everybody whom the layout names, loaded at the same time. `custom_source` is a user's own reward, as text.

        Raises:
            RunFailed: an actor could not load its model, or not within cluster.start_timeout_s.
        """
        config, device = self._config, self._bundles.layout.device
        backend = weight_backend(config.weights, device)
        policy = self._actors("policy", PolicyWorker, config.policy, device, backend)
        pivot = self._actors("pivot", PivotWorker, config.pivot, device)
        scorers = self._scorers(config.data.languages, custom_source)
        ranks = self._actors("learner", LearnerWorker)
        self.policy = GeneratorFleet("policy", policy, timeout_s=config.policy.timeout_s)
        self.pivot = GeneratorFleet("pivot", pivot, timeout_s=config.pivot.timeout_s)
        self.learner = LearnerGroup(ranks, timeout_s=config.learner.timeout_s)
        await asyncio.gather(
            self._load("policy", policy),
            self._load("pivot", pivot),
            self._load("scorer", scorers),
            self._load_learner(ranks, policy, backend),
        )

    def _scorers(self, languages: Sequence[str], custom_source: str) -> list[RemoteActor]:
        config = self._config
        setup = RewardSetup(
            scorer=config.scorer,
            reward=config.reward,
            comet=config.comet,
            translator=config.translator,
            languages=tuple(languages),
            custom_source=custom_source,
            translated_by=f"pivot {model_fingerprint(config.pivot.model)}",
        )
        scorers = self._actors("scorer", ScorerWorker, setup, self._bundles.layout.device)
        self.scorer = scorer_fleet(scorers, config.scorer)
        return scorers

    def _actors(self, role: Role, actor: RemoteClass, *arguments: object) -> list[RemoteActor]:
        """One actor per placement of a role; `arguments` are the same for all, the learner's ranks get their index."""
        return [
            start_actor(actor, placement, self._bundles, arguments or (placement.index,))
            for placement in self._bundles.layout.of(role)
        ]

    async def _load(self, role: Role, workers: Sequence[RemoteActor]) -> None:
        if not workers:  # imitating references needs no scorer, for one
            return
        await self._find(role, workers)
        await self._started(role, ready(self._names(role), workers))

    async def _find(self, role: Role, workers: Sequence[RemoteActor]) -> None:
        self.processes |= await self._started(role, processes(self._names(role), workers))

    def _names(self, role: Role) -> list[str]:
        return [placement.name for placement in self._bundles.layout.of(role)]

    async def _load_learner(
        self, ranks: Sequence[RemoteActor], policy_workers: Sequence[RemoteActor], backend: WeightBackend
    ) -> None:
        config = self._config
        arguments = RankArguments(
            learner=config.learner,
            algorithm=config.algorithm,
            critic=config.critic,
            total_optimizer_steps=config.total_optimizer_steps,
            model=config.policy.model,
            chat_template=Path(template).read_text(encoding="utf-8")
            if (template := config.policy.chat_template)
            else "",
            temperature=config.policy.temperature,
            device=self._bundles.layout.device,
            seed=config.run.seed,
            trust_remote_code=config.policy.trust_remote_code,
            weight_backend=backend,
            bucket_bytes=config.weights.bucket_mib << 20,
            push_timeout_s=config.weights.timeout_s,
            tensor_parallel_size=config.policy.tensor_parallel_size,
        )
        await self._find("learner", ranks)
        await self._started("learner", self.learner.setup(arguments, policy_workers))

    async def _started(self, role: Role, loading: Awaitable[Result]) -> Result:
        with self._progress.phase(f"loading {role}"):
            return await waiting_for(
                loading,
                f"{role} to load",
                timeout_s=self._config.cluster.start_timeout_s,
                report=self._progress.waiting,
            )


def scorer_fleet(workers: Sequence[RemoteActor], config: ScorerConfig) -> ScorerFleet:
    return ScorerFleet(workers, timeout_s=config.timeout_s, attempts=config.attempts, backoff_s=config.backoff_s)


def weight_backend(config: WeightsConfig, device: Device) -> WeightBackend:
    """auto: NCCL between GPUs, Ray's object store without them."""
    if config.backend != "auto":
        return config.backend
    return "nccl" if device == "cuda" else "object_store"
