"""Test weight pushes from a learner's ranks on GPUs to policy workers on GPUs, through Ray and NCCL.

On the CPU the same scenario goes through Ray's object store.
"""

import asyncio
import io
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from rich.console import Console as Terminal

from actors.fleets.worker import Worker, WorkerState
from cluster.layout import layout
from cluster.team import Team
from contracts.batches import PushResult
from contracts.config.device_defaults import with_device_defaults
from contracts.config.load import load_config
from contracts.config.run import Config
from contracts.rollouts import SamplingRequest
from driver.config_paths import with_absolute_paths
from driver.tracking.console import Console
from tests.gpu.device import CLOSE, DEVICE, needs_gpus
from tests.integration.conftest import TinyModels, write_config
from tests.integration.test_push import Groups, batch_of, sampling_requests
from tests.runs.own_ray import own_bundles

DEADLINE_S = 400
RATES = ("learner.learning_rate=0.01", "learner.max_grad_norm=1000")
IMPATIENT = (
    "weights.timeout_s=10",
    "fleet.heartbeat_s=1",
    "fleet.suspect_after_s=5",
    "fleet.dead_after_s=10",
    "fleet.backoff_s=0.1",
    "policy.min_workers=1",
)


@dataclass
class Seen:
    """Hold what was seen while a scenario was played."""

    pushes: list[PushResult] = field(default_factory=list)
    checksums: list[tuple[dict[str, str], dict[str, str]]] = field(default_factory=list)  # learner's, worker's
    distances: list[float] = field(default_factory=list)  # of log-probabilities, of each version's own samples


def tiny_config(folder: Path, models: TinyModels, *overrides: str) -> Config:
    path = write_config(folder, models)
    return with_device_defaults(with_absolute_paths(load_config(path, (*RATES, *overrides))), DEVICE)


def play(config: Config, folder: Path, environment: dict[str, str], *, with_hang: bool) -> Seen:
    seen = Seen()
    requests, pad_token_id = sampling_requests(config)
    with own_bundles(layout(config, DEVICE, roles=("policy", "learner")), environment) as bundles:
        team = Team(config, bundles, Console(Terminal(file=io.StringIO())), folder=folder)
        scenario = Scenario(team, requests, config, pad_token_id=pad_token_id, seen=seen)
        asyncio.run(asyncio.wait_for(scenario.play(with_hang=with_hang), DEADLINE_S))
    return seen


@dataclass
class Scenario:
    """Push, draw and learn in turn; with a hang, one worker stands still in a push and is killed there."""

    team: Team
    requests: list[SamplingRequest]
    config: Config
    pad_token_id: int
    seen: Seen

    async def play(self, *, with_hang: bool) -> None:
        try:
            await self.team.start_all()
            for version in range(2):
                await self._push(version)
                await self._step()
            if with_hang:
                await self._push_to_one_that_hangs(2)
                await self._step()
                await self._push(3)
        finally:
            await self.team.close()

    async def _push(self, version: int) -> None:
        self.seen.pushes.append(await self.team.learner.push_weights(version))
        if self.config.policy.tensor_parallel_size == 1:
            worker = self.team.policy_pool.supervisor.workers[0].handle
            self.seen.checksums.append((await self.team.ranks.checksums(), await worker.checksums.remote()))

    async def _step(self) -> None:
        groups = await asyncio.gather(*(self.team.policy.sample(request) for request in self.requests))
        drawn: Groups = list(zip(self.requests, groups, strict=True))
        batch = batch_of(drawn, config=self.config, pad_token_id=self.pad_token_id)
        self.seen.distances.append((await self.team.learner.step(batch)).metrics["policy/logprob_diff_mean"])

    async def _push_to_one_that_hangs(self, version: int) -> None:
        victim = self.team.policy_pool.supervisor.workers[0]
        serves = asyncio.Event()

        def heard(worker: Worker) -> None:
            if worker is victim and worker.state is WorkerState.READY:
                serves.set()

        os.kill(self.team.processes[victim.name].pid, signal.SIGSTOP)
        self.team.policy_pool.supervisor.subscribe(heard)
        self.seen.pushes.append(await self.team.learner.push_weights(version))
        await serves.wait()  # another one in its place, with these weights


@needs_gpus(2)
@pytest.mark.parametrize(
    "overrides", [pytest.param((), id="all weights"), pytest.param(("learner.lora.rank=4",), id="adapters")]
)
def test_a_worker_holds_what_the_learner_sends_after_every_push(
    tiny_models: TinyModels, environment: dict[str, str], tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    config = tiny_config(tmp_path, tiny_models, "learner.num_ranks=1", "policy.gpu_memory_utilization=0.2", *overrides)
    seen = play(config, tmp_path, environment, with_hang=False)
    assert [(push.num_workers, push.missed) for push in seen.pushes] == [(1, ()), (1, ())]
    for learner, worker in seen.checksums:
        assert learner == worker
    assert seen.checksums[0] != seen.checksums[1]
    assert max(seen.distances) < CLOSE


@needs_gpus(2)
def test_a_worker_that_hangs_in_a_push_costs_no_learner(
    tiny_models: TinyModels, environment: dict[str, str], tmp_path: Path
) -> None:
    overrides = ("learner.num_ranks=1", "policy.gpu_memory_utilization=0.2", *IMPATIENT)
    seen = play(tiny_config(tmp_path, tiny_models, *overrides), tmp_path, environment, with_hang=True)
    assert seen.pushes[2].missed == ("policy-0",)
    assert (seen.pushes[3].num_workers, seen.pushes[3].missed) == (1, ())
    assert seen.checksums[-1][0] == seen.checksums[-1][1]
    assert max(seen.distances) < CLOSE


@needs_gpus(3)
@pytest.mark.parametrize(
    "overrides",
    [
        pytest.param(("policy.tensor_parallel_size=2", "learner.num_ranks=1"), id="tensor parallel"),
        pytest.param(("learner.num_ranks=2",), id="two ranks"),
    ],
)
def test_ranks_and_tensor_parallel_workers_agree_on_log_probabilities(
    tiny_models: TinyModels, environment: dict[str, str], tmp_path: Path, overrides: tuple[str, ...]
) -> None:
    if DEVICE == "cpu" and "policy.tensor_parallel_size=2" in overrides:
        pytest.skip("without GPUs a push to tensor parallel engines is refused")
    config = tiny_config(tmp_path, tiny_models, "policy.gpu_memory_utilization=0.2", *overrides)
    seen = play(config, tmp_path, environment, with_hang=False)
    assert all(push.missed == () for push in seen.pushes)
    assert max(seen.distances) < CLOSE
