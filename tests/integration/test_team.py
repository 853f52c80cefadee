"""A run's actors when processes of theirs are killed: a policy worker gets its weights without a push, a learner that
is lost is started again as a whole, and of each process it is known where it wrote.

One policy worker and one rank, on the tiny model.
"""

import asyncio
import io
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from rich.console import Console as Terminal

from actors.fleets.worker import WorkerState
from actors.remote.process import ProcessInfo
from cluster.layout import layout
from cluster.team import Team
from contracts.batches import PushResult
from contracts.config.device_defaults import with_device_defaults
from contracts.config.load import load_config
from contracts.errors import LearnerLost
from contracts.rollouts import Rollout
from driver.config_paths import with_absolute_paths
from driver.tracking.console import Console
from tests.integration.conftest import TinyModels, write_config
from tests.models.tiny import request
from tests.runs.own_ray import own_bundles

OVERRIDES = ("policy.num_workers=1", "learner.num_ranks=1", "fleet.heartbeat_s=1", "fleet.backoff_s=0.1")
DEADLINE_S = 500


@dataclass
class Seen:
    """Hold the results of the scenario, which is played once."""

    events: list[tuple[str, str, str]] = field(default_factory=list)
    first: tuple[Rollout, ...] = ()
    after_worker: tuple[Rollout, ...] = ()  # after the worker was killed, without a push
    lost: PushResult | BaseException | None = None  # what a push says after the rank was killed
    push: PushResult | None = None  # after the restart
    after_learner: tuple[Rollout, ...] = ()
    processes: dict[str, ProcessInfo] = field(default_factory=dict)


@pytest.fixture(scope="module")
def seen(
    tiny_models: TinyModels, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Seen]:
    folder = tmp_path_factory.mktemp("team")
    config = with_device_defaults(with_absolute_paths(load_config(write_config(folder, tiny_models), OVERRIDES)), "cpu")
    console, seen = Console(Terminal(file=io.StringIO())), Seen()
    with own_bundles(layout(config, "cpu", roles=("policy", "learner")), environment) as bundles:
        team = Team(config, bundles, console, folder=folder, on_event=lambda *event: seen.events.append(event))
        asyncio.run(asyncio.wait_for(play(team, seen), DEADLINE_S))
    yield seen


async def play(team: Team, seen: Seen) -> None:
    try:
        await team.start_all()
        await team.learner.push_weights(0)
        seen.first = await team.policy.sample(request("a"))

        await kill_process(team, "policy-0")
        seen.after_worker = await team.policy.sample(request("a"))

        await kill_process(team, "learner-0")
        (seen.lost,) = await asyncio.gather(team.learner.push_weights(1), return_exceptions=True)
        await team.restart_learner()
        seen.push = await team.learner.push_weights(2)
        seen.after_learner = await team.policy.sample(request("a"))
        seen.processes = team.processes
    finally:
        await team.close()


async def kill_process(team: Team, name: str) -> None:
    os.kill(team.processes[name].pid, signal.SIGKILL)
    (worker,) = team.policy_pool.supervisor.workers
    while name == worker.name and worker.state is WorkerState.READY:
        await asyncio.sleep(0.1)


def tokens(rollouts: tuple[Rollout, ...]) -> list[tuple[int, ...]]:
    return [rollout.token_ids for rollout in rollouts]


def test_a_policy_worker_that_was_killed_serves_the_weights_of_now_without_a_push(seen: Seen) -> None:
    assert tokens(seen.after_worker) == tokens(seen.first)
    assert seen.after_worker[0].policy_version == 0
    assert [reason for kind, reason, _ in seen.events if kind == "worker"] == [
        "policy-0: starting -> stale",
        "policy-0: stale -> ready",
        "policy-0: ready -> dead",
        "policy-0: dead -> restarting",
        "policy-0: restarting -> stale",
        "policy-0: stale -> ready",
    ]


def test_a_learner_that_was_lost_is_started_again_and_pushes_its_first_weights(seen: Seen) -> None:
    assert isinstance(seen.lost, LearnerLost)
    assert seen.push is not None
    assert (seen.push.num_workers, seen.push.missed) == (1, ())
    assert tokens(seen.after_learner) == tokens(seen.first)
    assert seen.after_learner[0].policy_version == 2


def test_every_process_is_known_by_name_the_earlier_ones_by_number(seen: Seen) -> None:
    assert sorted(seen.processes) == ["learner-0", "learner-0.1", "policy-0", "policy-0.1"]
    assert len({process.pid for process in seen.processes.values()}) == 4
    assert len({process.stderr for process in seen.processes.values()}) == 4
