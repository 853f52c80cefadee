"""Test how a worker is noticed that answers heartbeats but hardly moves, and what becomes of its requests.

Workers beat every second of a fake clock; a speed is measured over 20 busy seconds, and slow is a tenth of the others'.
"""

import asyncio

import pytest

from actors.fleets.engines import EnginePool
from actors.fleets.worker import WorkerState
from actors.remote.progress import Progress
from tests.builders import a_sampling_request
from tests.fakes.clock import LoopClock, settle
from tests.fakes.ports import run
from tests.fakes.workers import FakeWorker, PolicyRole, die, opened

READY, DEAD, SUSPECT = WorkerState.READY, WorkerState.DEAD, WorkerState.SUSPECT

FAST = Progress(work=100.0, turns=20.0, busy_s=1.0)
SLOW = Progress(work=2.0, turns=0.4, busy_s=1.0)  # 50 times slower
IDLE = Progress(work=0.0, turns=0.0, busy_s=0.0)


def asking(pool: EnginePool, names: str) -> "list[asyncio.Task[str]]":
    async def one(name: str) -> str:
        return (await pool.sample(a_sampling_request(name)))[0].text

    return [asyncio.ensure_future(one(name)) for name in names]


def states_after(seconds: float, *beats: Progress) -> list[WorkerState]:
    """Return the states of workers that do these beats, after some seconds. None of them is restarted within 4 s."""

    async def work() -> list[WorkerState]:
        role = await opened(PolicyRole(*(FakeWorker(beat=beat) for beat in beats)))
        await role.time.advance(seconds)
        return role.states

    return run(work())


# --- who is slow ------------------------------------------------------------------------------------------------------


def test_a_worker_far_behind_the_others_is_replaced_after_twenty_busy_seconds() -> None:
    assert states_after(20, FAST, FAST, SLOW) == [READY, READY, READY]
    assert states_after(21, FAST, FAST, SLOW) == [READY, READY, DEAD]


def test_one_that_does_nothing_at_all_in_its_busy_time_is_slow() -> None:
    assert states_after(22, FAST, Progress(work=0.0, turns=0.0, busy_s=1.0)) == [READY, DEAD]


def test_the_new_process_is_measured_anew() -> None:
    async def work() -> PolicyRole:
        role = await opened(PolicyRole(FakeWorker(beat=FAST), FakeWorker(beat=SLOW), later=[FakeWorker(beat=FAST)]))
        await role.time.advance(60)
        return role

    role = run(work())
    assert role.states == [READY, READY] and len(role.killed) == 1
    assert [reason for kind, reason, _ in role.events if kind == "slow_worker"] == ["policy-1"]


@pytest.mark.parametrize(
    "beats",
    [
        (SLOW,),  # alone
        (SLOW, SLOW),  # all are equally slow
        (FAST, Progress(work=15.0, turns=3.0, busy_s=1.0)),  # a seventh of the others' speed
        (FAST, Progress(work=2.0, turns=20.0, busy_s=1.0)),  # it has few requests, and as many steps a second
        (FAST, Progress(work=100.0, turns=0.4, busy_s=1.0)),  # it has many, in long steps
        (FAST, Progress(work=0.02, turns=0.004, busy_s=0.01)),  # it had next to nothing to do
        (FAST, IDLE),
        (IDLE, SLOW),  # no other is known to be faster
    ],
)
def test_nobody_else_is_slow(beats: tuple[Progress, ...]) -> None:
    assert states_after(60, *beats) == [READY] * len(beats)


def test_a_worker_is_compared_with_the_last_busy_time_of_one_that_is_idle_now() -> None:
    async def work() -> list[WorkerState]:
        fast = FakeWorker(beat=FAST)
        role = await opened(PolicyRole(fast, FakeWorker(beat=SLOW)))
        await role.time.advance(4)
        fast.beat = IDLE  # it has finished its share and waits for the other
        await role.time.advance(18)
        return role.states

    assert run(work()) == [READY, DEAD]


def test_a_worker_that_was_fast_before_is_slow_over_its_last_twenty_busy_seconds() -> None:
    async def work() -> list[WorkerState]:
        late = FakeWorker(beat=FAST)
        role = await opened(PolicyRole(FakeWorker(beat=FAST), late))
        await role.time.advance(100)
        late.beat = SLOW
        await role.time.advance(21)
        return role.states

    assert run(work()) == [READY, DEAD]


def test_the_last_ready_worker_is_never_replaced() -> None:
    async def work() -> list[WorkerState]:
        role = await opened(PolicyRole(FakeWorker(beat=FAST), FakeWorker(beat=SLOW)))
        await role.time.advance(15)
        role.supervisor.mark_suspect(role.workers[0], "it is silent")
        role.workers[0].handle.is_silent = True
        await role.time.advance(5)
        return role.states

    assert run(work()) == [SUSPECT, READY]


def test_slowness_never_takes_the_last_restart_and_is_said_once() -> None:
    async def work() -> PolicyRole:
        slow = [FakeWorker(beat=SLOW) for _ in range(3)]
        role = await opened(PolicyRole(FakeWorker(beat=FAST), slow[0], later=slow[1:]))
        await role.time.advance(80)  # of two restarts in 100 s, slowness takes one
        assert role.states == [READY, READY] and len(role.killed) == 1
        die(role, 1)
        await role.time.advance(10)
        return role

    role = run(work())
    assert role.states == [READY, READY]
    assert [reason for kind, reason, _ in role.events if kind == "fleet"] == ["policy-1: slow, and not replaced"]


def test_requests_of_a_slow_worker_go_to_others_and_are_not_taken_for_the_cause() -> None:
    async def work() -> tuple[list[str], PolicyRole]:
        slow = FakeWorker(beat=SLOW, hangs=True)
        role = PolicyRole(FakeWorker(beat=FAST), slow)
        pool = EnginePool(role.supervisor, timeout_s=600)
        await opened(role)
        answers = asking(pool, "ab")
        await role.time.advance(22)
        return await asyncio.gather(*answers), role

    answers, role = run(work())
    assert answers == ["a", "b"] and role.workers[1].state is DEAD
    assert role.workers[0].handle.messages == [["a"], ["b#again-1"]]


# --- second tries -----------------------------------------------------------------------------------------------------


class Waiting:
    """Hold a pool whose requests wait for 16 s, on an event loop whose clock a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *workers: FakeWorker) -> None:
        self.clock = LoopClock(monkeypatch)
        self.role = PolicyRole(*workers)
        self.pool = EnginePool(self.role.supervisor, timeout_s=16)

    async def wait(self, seconds: float) -> None:
        for _ in range(round(seconds)):
            self.clock.now += 1
            await settle()

    @property
    def second_tries(self) -> int:
        return sum(kind == "second_try" for kind, _, _ in self.role.events)


def test_a_request_that_waited_half_its_time_is_tried_elsewhere_and_the_first_answer_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work() -> None:
        slow, fast = FakeWorker(hangs=True), FakeWorker()
        waiting = Waiting(monkeypatch, slow, fast)
        await opened(waiting.role)
        (answer,) = asking(waiting.pool, "a")
        await waiting.wait(7)
        assert fast.messages == [] and not answer.done()
        await waiting.wait(3)
        assert (await answer, fast.messages, waiting.second_tries) == ("a", [["a#again-1"]], 1)
        assert fast.seeds == slow.seeds  # it is the same request
        slow.release.set()  # its answer comes too late, and does no harm
        await settle()
        (other,) = asking(waiting.pool, "b")
        assert await other == "b"
        assert waiting.role.states == [READY, READY]

    run(work())


def test_the_first_worker_may_still_be_the_first_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        slow, other = FakeWorker(hangs=True), FakeWorker(hangs=True)
        waiting = Waiting(monkeypatch, slow, other)
        await opened(waiting.role)
        (answer,) = asking(waiting.pool, "a")
        await waiting.wait(12)
        assert other.messages == [["a#again-1"]] and waiting.second_tries == 1  # once, not at every look
        slow.release.set()
        assert await answer == "a"

    run(work())


def test_workers_that_are_equally_far_behind_take_no_work_from_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        workers = [FakeWorker(hangs=True), FakeWorker(hangs=True)]
        waiting = Waiting(monkeypatch, *workers)
        await opened(waiting.role)
        answers = asking(waiting.pool, "a")
        await waiting.wait(1)
        answers += asking(waiting.pool, "b")
        await waiting.wait(11)
        assert [worker.messages for worker in workers] == [[["a"]], [["b"]]] and waiting.second_tries == 0
        workers[1].release.set()  # now it has nothing to do
        await waiting.wait(2)
        assert await asyncio.gather(*answers) == ["a", "b"] and waiting.second_tries == 1

    run(work())


def test_a_worker_that_holds_only_later_requests_takes_all_the_late_ones_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work() -> None:
        slow, fast = FakeWorker(hangs=True), FakeWorker()
        waiting = Waiting(monkeypatch, slow, fast)
        await opened(waiting.role)
        early = asking(waiting.pool, "abcd")
        await waiting.wait(5)
        fast.hangs = True
        later = asking(waiting.pool, "ef")
        await waiting.wait(5)
        assert waiting.second_tries == 2  # "a" and "c", which the slow one holds
        fast.release.set()
        assert await asyncio.gather(*early, *later) == list("abcdef")

    run(work())


def test_a_request_that_a_second_worker_has_is_not_sent_again_when_one_of_them_dies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work() -> None:
        slow, other = FakeWorker(hangs=True), FakeWorker(hangs=True)
        waiting = Waiting(monkeypatch, slow, other)
        await opened(waiting.role)
        (answer,) = asking(waiting.pool, "a")
        await waiting.wait(10)
        die(waiting.role, 0)
        await settle()
        assert other.messages == [["a#again-1"]]
        die(waiting.role, 1)
        await waiting.role.time.advance(5)  # both come back
        assert await answer == "a"

    run(work())
