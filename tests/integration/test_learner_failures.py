"""Test a learner and its pushes when processes die, hang or raise: real ranks, and plain actors for workers.

One scenario, played once. Ranks start twice: at the beginning, and after one of them was killed.
"""

import asyncio
import os
import signal
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import ray

from actors.fleets.learner import LearnerRanks
from actors.learner import LearnerWorker, RankArguments
from actors.remote.calls import end_actor, processes
from actors.remote.process import ProcessInfo, RemoteActor, RemoteClass
from actors.weight_sync.buckets import WeightBucket, WeightManifest
from contracts.batches import PushResult, StepResult, TrainBatch
from contracts.config.workers import FleetConfig, PolicyConfig
from contracts.errors import FleetLost, LearnerLost
from tests.integration.conftest import TinyModels
from tests.integration.programs.learner_ranks import TEMPERATURE, Job, make_samples, packed
from tests.runs.own_ray import own_ray

PATIENT = FleetConfig(dead_after_s=600)
HASTY = FleetConfig(heartbeat_s=1, suspect_after_s=2, dead_after_s=5)
THREADS = {"env_vars": {"OMP_NUM_THREADS": "1", "DS_ACCELERATOR": "cpu"}}


@ray.remote(num_cpus=0.1)
class Receiver:
    """Imitate a policy worker without an engine; `fault` happens at the second bucket of its first update."""

    def __init__(self, fault: str) -> None:
        self._fault = fault
        self._heard: list[str] = []
        self._names: set[str] = set()
        self._missing: set[str] = set()

    async def start_weight_update(self, manifest: WeightManifest) -> None:
        self._heard.append("start")
        self._names = {spec.name for spec in manifest.specs}
        self._missing = set(self._names)

    async def receive_bucket(self, bucket: WeightBucket) -> None:
        names = {spec.name for spec in bucket.specs}
        if self._fault and self._missing != self._names:
            fault, self._fault = self._fault, ""
            match fault:
                case "dies":
                    os._exit(1)
                case "raises":
                    raise RuntimeError("out of memory")
                case "hangs":
                    await asyncio.sleep(3600)
        self._missing -= names

    async def finish_weight_update(self, policy_version: int) -> None:
        if self._missing:
            raise ValueError(f"lacks {len(self._missing)} tensors")
        self._heard.append(f"finish {policy_version}")

    async def abandon_weight_update(self) -> None:
        self._heard.append("abandon")

    async def heard(self) -> list[str]:
        return self._heard


class Receivers:
    """Hold policy workers by name; one that missed two pushes is removed."""

    def __init__(self, **faults: str) -> None:
        self.workers = {name.replace("_", "-"): Receiver.remote(fault) for name, fault in faults.items()}
        self.versions: dict[str, int] = {}
        self.blamed: dict[str, list[str]] = {}

    def receivers(self) -> Mapping[str, RemoteActor]:
        return dict(self.workers)

    def sending(self, names: Iterable[str]) -> AbstractContextManager[None]:
        return nullcontext()

    def received(self, names: Iterable[str], policy_version: int) -> None:
        self.versions |= dict.fromkeys(names, policy_version)

    def missed(self, name: str, why: str) -> None:
        self.blamed.setdefault(name, []).append(why)
        if len(self.blamed[name]) == 2:
            del self.workers[name]

    async def wait_receivers(self) -> None:
        raise FleetLost("there are no more")

    async def heard(self) -> dict[str, list[str]]:
        return {name: await worker.heard.remote() for name, worker in self.workers.items()}


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """Hold one push, and the messages that the remaining workers received."""

    report: PushResult
    versions: dict[str, int]
    blamed: dict[str, list[str]]
    heard: dict[str, list[str]]


@dataclass(frozen=True, kw_only=True)
class Played:
    """Hold what was seen while the scenario was played."""

    pushes: dict[str, Pushed]  # by the fault of policy-1
    undisturbed: StepResult  # after the checkpoint, nothing having happened
    killed: BaseException | None  # what a step raises whose rank is killed under it
    afterwards: BaseException | None  # what the next call raises
    again: StepResult  # after the checkpoint, by the ranks that were started then
    later_push: Pushed
    stopped: BaseException | None  # what a step raises whose rank is stopped under it
    raised: BaseException | None  # what a step raises in one of whose ranks something breaks


@pytest.fixture(scope="module")
def played(
    tiny_models: TinyModels, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Played]:
    folder = tmp_path_factory.mktemp("failures")
    with own_ray(environment):
        yield asyncio.run(play(arguments(tiny_models.policy, folder), folder / "checkpoint"))


def arguments(model: Path, meetings: Path) -> RankArguments:
    setup = Job(model=model).setup()
    return RankArguments(
        learner=setup.learner,
        algorithm=setup.algorithm,
        critic=setup.critic,
        total_optimizer_steps=setup.total_optimizer_steps,
        policy=PolicyConfig(model=str(model), temperature=TEMPERATURE),
        chat_template="",
        device="cpu",
        seed=setup.seed,
        weight_backend="object_store",
        bucket_bytes=setup.bucket_bytes,
        push_timeout_s=5,
        meetings=str(meetings),
    )


async def play(arguments: RankArguments, checkpoint: Path) -> Played:
    batch = packed(make_samples(), num_ranks=2)
    ranks, found = await started()
    learner = LearnerRanks(ranks, timeout_s=600, rules=PATIENT, policy=None)
    await learner.setup(arguments)
    await learner.step(batch)
    pushes = {fault: await pushed(learner, version, fault) for version, fault in enumerate(("dies", "raises", "hangs"))}
    checkpoint.mkdir()
    await learner.save(str(checkpoint), policy=str(checkpoint.with_name("policy")))
    undisturbed = await learner.step(batch)
    await learner.saved()

    os.kill(found[0].pid, signal.SIGSTOP)  # so that the step can't be over before rank 1 is killed
    stepping = asyncio.ensure_future(learner.step(batch))
    await asyncio.sleep(0)
    os.kill(found[1].pid, signal.SIGKILL)
    (killed,) = await asyncio.gather(stepping, return_exceptions=True)
    (afterwards,) = await asyncio.gather(learner.measure(batch), return_exceptions=True)

    for rank in learner.ranks:
        end_actor(rank)
    ranks, found = await started()
    learner.exchange(ranks)
    await learner.setup(arguments)
    await learner.load(str(checkpoint))
    again = await learner.step(batch)
    later_push = await pushed(learner, 9, "")
    return Played(
        pushes=pushes,
        undisturbed=undisturbed,
        killed=failure(killed),
        afterwards=failure(afterwards),
        again=again,
        later_push=later_push,
        stopped=await stopped(ranks, found, batch),
        raised=await raised(ranks, batch),
    )


async def started() -> tuple[list[RemoteActor], list[ProcessInfo]]:
    worker: RemoteClass = LearnerWorker
    ranks = [worker.options(num_cpus=0.2, runtime_env=THREADS).remote(rank) for rank in range(2)]
    found = await processes(["learner-0", "learner-1"], ranks)
    return ranks, list(found.values())


async def pushed(learner: LearnerRanks, version: int, fault: str) -> Pushed:
    """Push once to two new workers, the second of which has a fault."""
    workers = learner.policy = Receivers(policy_0="", policy_1=fault)
    await workers.heard()  # they have started
    report = await learner.push_weights(version)
    return Pushed(report=report, versions=workers.versions, blamed=workers.blamed, heard=await workers.heard())


async def stopped(ranks: list[RemoteActor], found: list[ProcessInfo], batch: TrainBatch) -> BaseException | None:
    """Stop a rank; it continues afterwards, and so do its step and the others'."""
    learner = LearnerRanks(ranks, timeout_s=600, rules=HASTY, policy=None)
    os.kill(found[1].pid, signal.SIGSTOP)
    try:
        (outcome,) = await asyncio.gather(learner.step(batch), return_exceptions=True)
    finally:
        os.kill(found[1].pid, signal.SIGCONT)
    return failure(outcome)


async def raised(ranks: list[RemoteActor], batch: TrainBatch) -> BaseException | None:
    """Give a rank a token that no vocabulary has; the other rank waits for it in a collective."""
    learner = LearnerRanks(ranks, timeout_s=600, rules=PATIENT, policy=None)
    spoilt = tuple(replace(row, token_ids=row.token_ids + 10**6) for row in batch.rows[1])
    spoilt_batch = replace(batch, rows=(batch.rows[0], spoilt))
    (outcome,) = await asyncio.gather(learner.step(spoilt_batch), return_exceptions=True)
    return failure(outcome)


def failure(outcome: object) -> BaseException | None:
    return outcome if isinstance(outcome, BaseException) else None


def test_a_push_reaches_the_others_when_a_worker_dies_in_the_middle_of_it(played: Played) -> None:
    push = played.pushes["dies"]
    assert push.report.missed == ("policy-1",) and push.report.num_workers == 1
    assert push.report.attempts == 1  # nothing is sent to a dead process a second time
    assert push.versions == {"policy-0": 0}
    assert push.heard == {"policy-0": ["start", "finish 0"]}


def test_a_half_done_push_is_cleared_and_repeated(played: Played) -> None:
    push = played.pushes["raises"]
    assert push.report.missed == ("policy-1",) and push.report.num_workers == push.report.attempts == 2
    assert push.versions == {"policy-0": 1, "policy-1": 1}
    assert push.heard == {"policy-0": ["start", "finish 1"], "policy-1": ["start", "abandon", "start", "finish 1"]}
    (why,) = push.blamed["policy-1"]
    assert "RuntimeError: out of memory" in why


def test_a_worker_that_hangs_in_a_push_is_waited_for_no_longer_than_a_message_may_take(played: Played) -> None:
    push = played.pushes["hangs"]
    assert push.report.missed == ("policy-1",)
    (why,) = push.blamed["policy-1"]
    assert "5 s" in why and "weights.timeout_s" in why
    assert push.versions == {"policy-0": 2, "policy-1": 2}  # an async actor receives the second try nevertheless


def test_a_killed_rank_ends_its_step_though_another_one_hangs(played: Played) -> None:
    assert isinstance(played.killed, LearnerLost)
    assert "learner-1" in str(played.killed) and "\n" not in str(played.killed)
    assert isinstance(played.afterwards, LearnerLost)
    assert "learner-1" in str(played.afterwards)


def test_new_ranks_go_on_from_the_checkpoint_as_if_nothing_had_happened(played: Played) -> None:
    ours, theirs = played.again.metrics, played.undisturbed.metrics
    for name in ("policy/loss", "policy/grad_norm", "policy/entropy", "policy/learning_rate"):
        assert ours[name] == theirs[name]
    assert played.later_push.versions == {"policy-0": 9, "policy-1": 9}


def test_a_stopped_rank_is_lost_when_its_heartbeat_stays_out(played: Played) -> None:
    assert isinstance(played.stopped, LearnerLost)
    assert played.stopped.key == "learner-1"
    assert "fleet.dead_after_s" in str(played.stopped)


def test_what_breaks_in_one_rank_is_told_while_the_other_waits_for_it(played: Played) -> None:
    assert isinstance(played.raised, LearnerLost)
    assert "learner-1" in str(played.raised) and "IndexError" in str(played.raised)
