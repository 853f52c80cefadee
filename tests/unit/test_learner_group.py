"""All ranks as one: answers, losses, versions and who may speak when. On hand-written ranks and a fleet of one."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pytest
from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError

from actors.learner import RankArguments
from actors.learner_group import LearnerGroup
from actors.weight_push import PushOrder, PushOutcome
from driver.config import AlgorithmConfig, CriticConfig, LearnerConfig
from driver.errors import BadInput, CheckpointFailed, LearnerLost
from driver.schema import StepReport, TokenMeasures, TrainBatch
from driver.streaming_config import FleetConfig

PATIENT = FleetConfig(dead_after_s=3600, suspect_after_s=60)
HASTY = FleetConfig(heartbeat_s=0.01, suspect_after_s=0.02, dead_after_s=0.1)
ARGUMENTS = RankArguments(
    learner=LearnerConfig(num_ranks=2),
    algorithm=AlgorithmConfig(steps=1),
    critic=CriticConfig(),
    total_optimizer_steps=1,
    model="none",
    chat_template="",
    temperature=1.0,
    device="cpu",
    seed=1,
    trust_remote_code=False,
    weight_backend="object_store",
    bucket_bytes=1,
    push_timeout_s=1,
    tensor_parallel_size=1,
)
BATCH = TrainBatch(rows=((), ()), num_loss_tokens=1, num_sequences=2, policy_version=0, group_ids=("a", "b"))
REPORT = StepReport(metrics={}, num_tokens=1, seconds=1.0)
TAKEN = PushOutcome(taken=("policy-0",), missed={}, gone=frozenset(), num_tensors=3, num_bytes=44)


@dataclass
class Method:
    """`.remote(...)` notes the call and answers as the rank says."""

    rank: "Rank"
    name: str

    def remote(self, *arguments: object, **named: object) -> Awaitable[object]:
        if self.name != "heartbeat":
            self.rank.heard.append((self.name, *arguments, *named.values()))
        return self.rank.answer(self.name)


class Rank:
    """A rank whose answers are set by method name: a value, several in turn, an exception, or an event to wait for."""

    def __init__(self, index: int, **answers: object) -> None:
        self.heard: list[tuple[object, ...]] = []
        self.answers: dict[str, object] = {
            "heartbeat": None,
            "address": ("host", 1),
            "setup": None,
            "measure": [(index, measures(index))],
            "step": REPORT,
            "push": TAKEN,
            "save": None,
            "load": None,
        } | answers

    def __getattr__(self, name: str) -> Method:
        return Method(self, name)

    async def answer(self, name: str) -> object:
        answer = self.answers[name]
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            return REPORT
        if isinstance(answer, Exception):
            raise answer
        return next(answer) if isinstance(answer, Iterator) else answer

    def orders(self) -> list[PushOrder]:
        return [order for call in self.heard for order in call[1:] if isinstance(order, PushOrder)]


class OneWorker:
    """A fleet whose worker takes everything."""

    def __init__(self) -> None:
        self.handle = "policy-0/0"
        self.versions: list[int] = []

    def receivers(self) -> Mapping[str, str]:
        return {"policy-0": self.handle}

    def received(self, names: Iterable[str], policy_version: int) -> None:
        self.versions.append(policy_version)

    def missed(self, name: str, why: str) -> None:
        raise AssertionError(f"{name} {why}")

    async def wait_receivers(self) -> None:
        raise AssertionError("there is one")


def measures(index: int) -> TokenMeasures:
    values = np.full(1, index, dtype=np.float32)
    return TokenMeasures(logprobs=values, reference_logprobs=values[:0], values=values[:0])


def group_of(*ranks: Rank, rules: FleetConfig = PATIENT, timeout_s: float = 3600) -> LearnerGroup:
    return LearnerGroup(ranks, timeout_s=timeout_s, rules=rules, policy=OneWorker())


def replace_worker(group: LearnerGroup) -> None:
    """Another process in the one worker's place."""
    assert isinstance(group.policy, OneWorker)
    group.policy.handle = "policy-0/1"


def task_error(cause: Exception) -> RayTaskError:
    return RayTaskError("step", f"Traceback\n{type(cause).__name__}: {cause}", cause)


def played(group: LearnerGroup, play: Callable[[LearnerGroup], Awaitable[None]]) -> None:
    async def whole() -> None:
        await group.setup(ARGUMENTS)
        await play(group)

    asyncio.run(whole())


def test_every_rank_is_told_where_the_first_one_waits() -> None:
    ranks = Rank(0), Rank(1)
    asyncio.run(group_of(*ranks).setup(ARGUMENTS))
    assert ranks[0].heard == [("address",), ("setup", ARGUMENTS, ("host", 1))]
    assert ranks[1].heard == [("setup", ARGUMENTS, ("host", 1))]


def test_measures_come_back_in_the_order_of_the_sequences() -> None:
    async def play(group: LearnerGroup) -> None:
        answers = await group.measure(BATCH)
        assert [float(answer.logprobs[0]) for answer in answers] == [0, 1]

    played(group_of(Rank(0, measure=[(1, measures(1))]), Rank(1, measure=[(0, measures(0))])), play)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (RayActorError(error_msg="killed"), "could not take a step: learner-1 has died: killed"),
        (ActorUnavailableError("the node is gone", None), "could not take a step: learner-1: .*the node is gone"),
        (task_error(MemoryError("no memory left")), "could not take a step: learner-1: MemoryError: no memory left"),
    ],
)
def test_a_rank_that_dies_or_raises_is_named_though_the_other_hangs_in_a_collective(
    failure: Exception, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.rank_calls.SECOND_OPINION_S", 0.01)

    async def play(group: LearnerGroup) -> None:
        with pytest.raises(LearnerLost, match=message):
            await group.step(BATCH)
        assert group.is_lost

    played(group_of(Rank(0, step=asyncio.Event()), Rank(1, step=failure)), play)


def test_who_died_is_named_rather_than_who_lost_the_connection_to_it() -> None:
    lost = task_error(RuntimeError("Connection closed by peer"))

    async def play(group: LearnerGroup) -> None:
        with pytest.raises(LearnerLost, match="learner-1 has died: killed"):
            await group.step(BATCH)

    played(group_of(Rank(0, step=lost), Rank(1, step=RayActorError(error_msg="killed"))), play)


def test_a_rank_without_a_heartbeat_is_lost_long_before_the_call_is_late() -> None:
    stopped = Rank(1, step=asyncio.Event(), heartbeat=asyncio.Event())

    async def play(group: LearnerGroup) -> None:
        with pytest.raises(LearnerLost, match=r"learner-1 gave no sign of life for 0.1 s \(fleet.dead_after_s\)"):
            await group.step(BATCH)

    group = group_of(Rank(0, step=asyncio.Event()), stopped, rules=HASTY)

    async def whole() -> None:
        stopped.answers["heartbeat"] = None
        await group.setup(ARGUMENTS)
        stopped.answers["heartbeat"] = asyncio.Event()
        await play(group)

    asyncio.run(whole())


def test_a_rank_that_is_out_of_reach_for_a_while_is_not_lost() -> None:
    class Flickering(Rank):
        async def answer(self, name: str) -> object:
            if name == "heartbeat":
                self.beats = self.__dict__.get("beats", 0) + 1
                if self.beats <= 5:
                    raise ActorUnavailableError("no route", None)
                done.set()
            return await super().answer(name)

    done = asyncio.Event()

    async def play(group: LearnerGroup) -> None:
        assert await group.step(BATCH) == REPORT

    played(group_of(Rank(0), Flickering(1, step=done), rules=HASTY), play)


def test_ranks_that_live_and_do_not_answer_are_given_up_in_the_end() -> None:
    async def play(group: LearnerGroup) -> None:
        with pytest.raises(LearnerLost, match=r"no answer within 0.05 s \(learner.timeout_s\)"):
            await group.step(BATCH)

    played(group_of(Rank(0, step=asyncio.Event()), Rank(1), timeout_s=0.05), play)


@pytest.mark.parametrize("kind", [BadInput, CheckpointFailed])
def test_what_a_rank_knows_to_be_the_users_or_the_disks_fault_is_told_as_such_and_nothing_is_lost(
    kind: type[Exception],
) -> None:
    failure = task_error(kind("the disk is full"))

    async def play(group: LearnerGroup) -> None:
        with pytest.raises(kind, match="the disk is full"):
            await group.save("folder")
        assert not group.is_lost
        assert await group.step(BATCH) == REPORT

    played(group_of(Rank(0, save=failure), Rank(1, save=failure)), play)


def test_a_lost_group_refuses_everything_until_other_ranks_are_set_up() -> None:
    async def play(group: LearnerGroup) -> None:
        with pytest.raises(LearnerLost):
            await group.step(BATCH)
        for call in (group.step(BATCH), group.measure(BATCH), group.push_weights(1), group.save("f"), group.load("f")):
            with pytest.raises(LearnerLost, match="must be started again: it could not take a step: learner-1"):
                await call
        await group.bring_up()  # says nothing: nobody waits for it

        others = Rank(0), Rank(1)
        group.exchange(others)
        with pytest.raises(LearnerLost, match="have not loaded yet"):
            await group.step(BATCH)
        await group.setup(ARGUMENTS)
        await group.load("folder")
        assert await group.step(BATCH) == REPORT
        assert [call[0] for call in others[1].heard] == ["setup", "load", "step"]

    played(group_of(Rank(0), Rank(1, step=RayActorError(error_msg="killed"))), play)


def test_versions_only_go_up_and_a_version_names_one_state_of_the_weights() -> None:
    async def play(group: LearnerGroup) -> None:
        await group.push_weights(3)
        await group.push_weights(3)  # nothing has changed
        with pytest.raises(ValueError, match="version 2 can't be pushed after version 3: versions only go up"):
            await group.push_weights(2)
        await group.step(BATCH)
        with pytest.raises(ValueError, match="version 3 was pushed with other weights than those of now"):
            await group.push_weights(3)
        report = await group.push_weights(4)
        assert (report.policy_version, report.num_workers, report.num_bytes) == (4, 1, 44)

    group = group_of(Rank(0), Rank(1))
    played(group, play)
    assert isinstance(group.policy, OneWorker) and group.policy.versions == [3, 3, 4]


def test_a_learner_that_was_restarted_goes_on_counting_versions() -> None:
    async def play(group: LearnerGroup) -> None:
        await group.push_weights(3)
        group.exchange((Rank(0), Rank(1)))
        await group.setup(ARGUMENTS)
        await group.load("folder")
        with pytest.raises(ValueError, match="other weights"):
            await group.push_weights(3)
        assert (await group.push_weights(4)).policy_version == 4

    played(group_of(Rank(0), Rank(1)), play)


def test_every_attempt_has_a_name_of_its_own() -> None:
    ranks = Rank(0), Rank(1)

    async def play(group: LearnerGroup) -> None:
        await group.push_weights(3)
        await group.push_weights(4)

    played(group_of(*ranks), play)
    for rank in ranks:
        assert [(order.policy_version, order.update) for order in rank.orders()] == [(3, (3, 1)), (4, (4, 2))]
        assert rank.orders()[0].names == ("policy-0",)


@pytest.mark.parametrize(
    ("report", "is_pushed"), [(REPORT, False), (replace(REPORT, is_skipped=True), True)], ids=["taken", "skipped"]
)
def test_a_new_worker_is_brought_up_only_while_the_weights_are_those_of_the_last_version(
    report: StepReport, is_pushed: bool
) -> None:
    ranks = Rank(0, step=report), Rank(1, step=report)

    async def play(group: LearnerGroup) -> None:
        await group.bring_up()  # nothing was pushed yet: the first push does it
        await group.push_weights(3)
        await group.step(BATCH)
        replace_worker(group)
        await group.bring_up()

    played(group_of(*ranks), play)
    assert len(ranks[0].orders()) == (2 if is_pushed else 1)


def test_bringing_up_waits_for_the_step_under_way_and_is_then_not_needed() -> None:
    stepping = asyncio.Event()
    ranks = Rank(0, step=stepping), Rank(1)

    async def play(group: LearnerGroup) -> None:
        await group.push_weights(3)
        step = asyncio.ensure_future(group.step(BATCH))
        await asyncio.sleep(0)
        replace_worker(group)
        bringing = asyncio.ensure_future(group.bring_up())
        await asyncio.sleep(0)
        assert not bringing.done()
        stepping.set()
        await asyncio.gather(step, bringing)

    played(group_of(*ranks), play)
    assert [call[0] for call in ranks[0].heard] == ["address", "setup", "push", "step"]


def test_nccl_meets_anew_only_for_other_processes_or_after_a_failure() -> None:
    failed = replace(TAKEN, taken=())
    ranks = Rank(0, push=iter((TAKEN, TAKEN, TAKEN, failed, TAKEN, TAKEN))), Rank(1)

    async def play(group: LearnerGroup) -> None:
        await group.setup(replace(ARGUMENTS, weight_backend="nccl"))
        await group.push_weights(1)  # the first: meets
        await group.push_weights(2)  # the same process: the group still fits
        replace_worker(group)
        await group.push_weights(3)  # another process: meets
        await group.push_weights(4)  # the group fits, the attempt fails, and the next one meets
        group.exchange(ranks)
        await group.setup(replace(ARGUMENTS, weight_backend="nccl"))
        await group.push_weights(5)  # another learner: meets

    played(group_of(*ranks), play)
    meets = [order.meeting is not None for order in ranks[0].orders()]
    assert meets == [True, False, True, False, True, True]
