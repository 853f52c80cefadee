"""Test a fleet's requests when real processes are killed or stopped: plain actors, and the policy's engine.

The plain actors answer a request only while a file exists, so that a test decides what is under way when a process
fails.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from actors.engine import EngineWorker
from actors.fleets.engines import EnginePool
from actors.fleets.policy import PolicyPool
from actors.fleets.pool import Unanswered
from actors.fleets.supervisor import Supervisor, WorkerPoolConfig
from actors.fleets.worker import Worker, WorkerState
from actors.remote.calls import end_actor
from actors.remote.process import ProcessInfo, RemoteActor
from actors.weight_sync.buckets import WeightBucket, WeightManifest
from cluster.launch import collect_logs, start_actor
from cluster.reserve import Bundles
from contracts.config.workers import FleetConfig
from contracts.errors import FleetLost
from contracts.rollouts import Rollout
from tests.fakes.workers import GatedWorker
from tests.integration.conftest import TinyModels
from tests.integration.programs.paced_worker import PacedWorker
from tests.models.tiny import ModelWeights, load_model, request, tiny_policy
from tests.runs.own_ray import a_layout, own_bundles

HASTY = FleetConfig(
    heartbeat_s=0.5, suspect_after_s=4, dead_after_s=8, max_restarts=1, restart_window_s=3600, backoff_s=0.1
)
WARY = HASTY.model_copy(
    update={"suspect_after_s": 20, "dead_after_s": 60, "max_restarts": 3, "slow_factor": 2, "slow_after_s": 3}
)
"""Patient with silence, and strict about slowness."""
DEADLINE_S = 300


@pytest.fixture(scope="module")
def bundles(environment: dict[str, str]) -> Iterator[Bundles]:
    """Reserve two bundles of a Ray that this process started."""
    layout = a_layout("policy", 2, cpus=0.5)
    with own_bundles(layout, environment) as reserved:
        yield reserved


class Watched:
    """Hold a supervisor's events and processes."""

    def __init__(self, starts: list[Callable[[], RemoteActor]], *, starts_stale: bool, rules: FleetConfig) -> None:
        self.events: list[str] = []
        self.processes: list[ProcessInfo] = []
        self.supervisor = Supervisor(
            WorkerPoolConfig(
                role="policy",
                rules=rules,
                start_timeout_s=DEADLINE_S,
                starts_stale=starts_stale,
                on_event=lambda _, reason, detail: self.events.append(reason),
                on_process=lambda _, process: self.processes.append(process),
            )
        )
        for start in starts:
            self.supervisor.add(start)

    def pid(self, index: int) -> int:
        process = self.supervisor.workers[index].process
        assert process is not None
        return process.pid

    def changes(self, name: str) -> list[str]:
        return [reason.removeprefix(f"{name}: ") for reason in self.events if reason.startswith(f"{name}: ")]


@asynccontextmanager
async def watched(
    starts: list[Callable[[], RemoteActor]], *, starts_stale: bool = False, rules: FleetConfig = HASTY
) -> AsyncIterator[Watched]:
    """Run a test whose waits fail after a while, and end the actors afterwards."""
    fleet = Watched(starts, starts_stale=starts_stale, rules=rules)
    try:
        async with asyncio.timeout(DEADLINE_S):
            await fleet.supervisor.open()
            yield fleet
    finally:
        await fleet.supervisor.close()
        for worker in fleet.supervisor.workers:
            end_actor(worker.handle)


def gated(bundles: Bundles, gate: Path) -> list[Callable[[], RemoteActor]]:
    return [partial(start_actor, GatedWorker, at, bundles, (str(gate),)) for at in bundles.layout.placements]


async def until(holds: Callable[[], bool]) -> None:
    """Wait until it is true, within the deadline of `watched`."""
    while not holds():
        await asyncio.sleep(0.05)


def state_is(worker: Worker, state: WorkerState) -> Callable[[], bool]:
    return lambda: worker.state is state


def asks(fleet: EnginePool, names: str) -> "list[asyncio.Task[tuple[Rollout, ...]]]":
    return [asyncio.ensure_future(fleet.sample(request(name, seeds=(3, 4)))) for name in names]


def pid_and_seeds(rollouts: tuple[Rollout, ...]) -> tuple[int, list[int]]:
    texts = [rollout.text.split() for rollout in rollouts]
    (pid,) = {int(pid) for pid, _ in texts}
    return pid, [int(seed) for _, seed in texts]


@pytest.mark.parametrize(
    ("blow", "seen"),
    [
        (signal.SIGKILL, ["ready -> dead", "dead -> restarting", "restarting -> ready"]),
        (
            signal.SIGSTOP,
            ["ready -> suspect", "suspect -> dead", "dead -> restarting", "restarting -> ready"],
        ),
    ],
)
def test_the_requests_of_a_worker_that_is_struck_are_answered_by_the_other_and_it_is_replaced(
    bundles: Bundles, tmp_path: Path, blow: signal.Signals, seen: list[str]
) -> None:
    async def scenario() -> None:
        gate = tmp_path / "gate"
        async with watched(gated(bundles, gate)) as seen_by:
            fleet = EnginePool(seen_by.supervisor, timeout_s=DEADLINE_S)
            struck, other = seen_by.pid(0), seen_by.pid(1)
            asked = asks(fleet, "abcd")
            await asyncio.sleep(0.5)
            os.kill(struck, blow)
            worker = seen_by.supervisor.workers[0]
            await until(lambda: worker.state is WorkerState.READY and seen_by.pid(0) != struck)
            gate.touch()
            answers = [pid_and_seeds(rollouts) for rollouts in await asyncio.gather(*asked)]
            # What was under way on the one that was struck went to the other, with its seeds.
            assert answers == [(other, [3, 4])] * 4
            assert not Path(f"/proc/{struck}").exists() or _is_zombie(struck)
            later = [pid_and_seeds(rollouts)[0] for rollouts in await asyncio.gather(*asks(fleet, "ef"))]
            assert later == [seen_by.pid(0), other]
            assert seen_by.changes("policy-0")[1:] == seen
            assert seen_by.changes("policy-1")[1:] == []
            assert len(seen_by.processes) == 3

    asyncio.run(scenario())


def _is_zombie(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_worker_that_only_paused_is_ready_again_and_answers_itself(bundles: Bundles, tmp_path: Path) -> None:
    async def pause() -> None:
        gate = tmp_path / "gate"
        async with watched(gated(bundles, gate)[:1]) as seen_by:
            fleet = EnginePool(seen_by.supervisor, timeout_s=DEADLINE_S)
            (asked,) = asks(fleet, "a")
            await asyncio.sleep(0.5)
            paused, worker = seen_by.pid(0), seen_by.supervisor.workers[0]
            os.kill(paused, signal.SIGSTOP)
            await until(state_is(worker, WorkerState.SUSPECT))
            os.kill(paused, signal.SIGCONT)
            gate.touch()
            assert pid_and_seeds(await asked)[0] == paused
            await until(state_is(worker, WorkerState.READY))
            assert seen_by.changes("policy-0")[1:] == ["ready -> suspect", "suspect -> ready"]

    asyncio.run(pause())


def test_when_every_restart_is_spent_all_that_wait_hear_who_was_given_up_and_why(
    bundles: Bundles, tmp_path: Path
) -> None:
    async def kill_all() -> None:
        async with watched(gated(bundles, tmp_path / "never")) as seen_by:
            fleet = EnginePool(seen_by.supervisor, timeout_s=DEADLINE_S)
            asked = asks(fleet, "ab")
            for worker in seen_by.supervisor.workers:
                for _ in range(HASTY.max_restarts + 1):
                    await until(state_is(worker, WorkerState.READY))
                    os.kill(seen_by.pid(worker.index), signal.SIGKILL)
                    await until(lambda worker=worker: worker.state is not WorkerState.READY)
            for lost in await asyncio.gather(*asked, return_exceptions=True):
                assert isinstance(lost, FleetLost)
                assert lost.key == "policy"
                assert all(f"{worker.name}: {worker.why}" in str(lost) for worker in seen_by.supervisor.workers)

    asyncio.run(kill_all())


def test_a_worker_that_answers_but_hardly_moves_is_replaced_and_the_other_does_its_work(bundles: Bundles) -> None:
    async def limp(pid: int) -> None:
        """Let the process run for a fifth of the time."""
        try:
            while True:
                os.kill(pid, signal.SIGSTOP)
                await asyncio.sleep(0.2)
                os.kill(pid, signal.SIGCONT)
                await asyncio.sleep(0.05)
        except ProcessLookupError:
            return

    async def scenario() -> None:
        starts = [partial(start_actor, PacedWorker, at, bundles, ()) for at in bundles.layout.placements]
        async with watched(starts, rules=WARY) as seen_by:
            fleet = EnginePool(seen_by.supervisor, timeout_s=DEADLINE_S)
            limping = asyncio.ensure_future(limp(seen_by.pid(0)))
            other = seen_by.pid(1)
            asked = [asyncio.ensure_future(fleet.sample(request(name, max_tokens=1000))) for name in "ab"]
            assert [int(rollout.text) for (rollout,) in await asyncio.gather(*asked)] == [other, other]
            await limping
            assert seen_by.events.count("policy-0") == 1  # the event of a slow worker names it alone
            assert seen_by.changes("policy-0")[1:2] == ["ready -> dead"] and seen_by.changes("policy-1")[1:] == []

    asyncio.run(scenario())


def real_engine(bundles: Bundles, tiny_models: TinyModels) -> Callable[[], RemoteActor]:
    """Load in a thread: the process answers meanwhile."""
    arguments = (tiny_policy(tiny_models.policy), "cpu", "object_store")
    return partial(start_actor, EngineWorker, bundles.layout.placements[0], bundles, arguments)


def test_an_engine_that_hangs_while_it_loads_again_is_found_by_its_silence(
    bundles: Bundles, tiny_models: TinyModels
) -> None:
    async def scenario() -> None:
        async with watched([real_engine(bundles, tiny_models)], starts_stale=True) as seen_by:
            (worker,) = seen_by.supervisor.workers
            os.kill(seen_by.pid(0), signal.SIGKILL)
            await until(lambda: worker.state is WorkerState.RESTARTING and worker.has_answered)
            os.kill(seen_by.pid(0), signal.SIGSTOP)
            await until(state_is(worker, WorkerState.RETIRED))  # its second loss: HASTY allows one restart
            assert seen_by.changes("policy-0")[1:] == [
                "stale -> dead",
                "dead -> restarting",
                "restarting -> dead",
                "dead -> retired",
            ]
            assert worker.why.startswith("no heartbeat for ")

    asyncio.run(scenario())


def test_a_policy_worker_that_was_killed_serves_again_only_after_it_was_given_the_weights(
    bundles: Bundles, tiny_models: TinyModels, tmp_path: Path
) -> None:
    start = real_engine(bundles, tiny_models)
    weights = ModelWeights(load_model(tiny_models.policy))

    async def give(worker: Worker, version: int) -> None:
        handle = worker.handle
        await handle.start_weight_update.remote(WeightManifest.of(weights))
        for tensors in weights.buckets():
            await handle.receive_bucket.remote(WeightBucket.pack(tensors))
        await handle.finish_weight_update.remote(version)

    async def scenario() -> None:
        async with watched([start], starts_stale=True) as seen_by:
            fleet = PolicyPool(seen_by.supervisor, timeout_s=DEADLINE_S)
            (worker,) = seen_by.supervisor.workers
            fleet.received(fleet.receivers(), 0)  # which is not so: the engine itself refuses
            (asked,) = asks(fleet, "a")
            await asyncio.wait_for(fleet.stale.wait(), DEADLINE_S)
            assert (worker.state, asked.done()) == (WorkerState.STALE, False)
            await give(worker, 0)
            fleet.received(fleet.receivers(), 0)
            first = await asked
            assert [rollout.token_versions[0] for rollout in first] == [0, 0]

            fleet.stale.clear()
            os.kill(seen_by.pid(0), signal.SIGKILL)
            await until(lambda: fleet.stale.is_set() and worker.state is WorkerState.STALE)
            (asked,) = asks(fleet, "a")
            await asyncio.sleep(1)
            assert not asked.done()
            await give(worker, 1)
            fleet.received(fleet.receivers(), 1)
            again = await asked
            assert [rollout.token_ids for rollout in again] == [rollout.token_ids for rollout in first]
            assert [rollout.token_versions[0] for rollout in again] == [1, 1]

            too_long = asyncio.ensure_future(fleet.sample(request("b", max_tokens=1000)))
            (kept,) = asks(fleet, "c")
            (refused,) = await asyncio.gather(too_long, return_exceptions=True)
            assert isinstance(refused, Unanswered)
            assert (refused.key, refused.failure.kind) == ("policy-0", "failed")
            assert len(await kept) == 2
        collect_logs({f"policy-0.{index}": process for index, process in enumerate(seen_by.processes)}, tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "policy-0.0.err",
            "policy-0.0.out",
            "policy-0.1.err",
            "policy-0.1.out",
        ]

    asyncio.run(scenario())
