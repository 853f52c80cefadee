"""Test what a pool and the ranks say of their actors, from what they know already."""

import asyncio

from actors.fleets.learner import LearnerRanks
from actors.fleets.policy import PolicyPool
from actors.remote.progress import Progress
from tests.builders import a_sampling_request
from tests.fakes.clock import settle
from tests.fakes.ports import run
from tests.fakes.ranks import ARGUMENTS, Rank, a_learner, play
from tests.fakes.workers import FakeWorker, PolicyRole


def test_a_pool_says_who_serves_what_waits_and_which_weights_are_held() -> None:
    async def work() -> None:
        busy = FakeWorker(hangs=True, beat=Progress(work=7, turns=1, busy_s=0.5))
        role = PolicyRole(busy, FakeWorker(), starts_stale=True)
        pool = PolicyPool(role.supervisor, timeout_s=60.0)
        await role.supervisor.open()
        pool.received(["policy-0"], 3)
        asking = asyncio.ensure_future(pool.sample(a_sampling_request("a")))
        await role.time.advance(1)
        first, second = pool.readings()
        assert (first.name, first.role, first.is_serving, first.version) == ("policy-0", "policy", True, 3)
        assert first.queue == a_sampling_request("a").num_samples
        assert first.progress == Progress(work=7, turns=1, busy_s=0.5)
        assert (second.is_serving, second.version, second.queue, second.progress) == (False, None, 0, None)
        busy.release.set()
        await asking
        assert pool.readings()[0].queue == 0

    run(work())


def test_a_restarted_worker_counts_the_restart_and_has_neither_progress_nor_weights() -> None:
    async def work() -> None:
        role = PolicyRole(FakeWorker(beat=Progress(work=7, turns=1, busy_s=0.5)), later=[FakeWorker()])
        pool = PolicyPool(role.supervisor, timeout_s=60.0)
        await role.supervisor.open()
        pool.received(["policy-0"], 3)
        await role.time.advance(1)
        role.supervisor.mark_dead(role.workers[0], "it died")
        await settle()
        assert not pool.readings()[0].is_serving
        await role.time.advance(4)
        (found,) = pool.readings()
        assert (found.num_restarts, found.progress, found.version) == (1, None, None)

    run(work())


def test_ranks_say_what_they_have_done_until_they_are_exchanged() -> None:
    async def steps(learner: LearnerRanks) -> None:
        await learner.setup(ARGUMENTS)
        learner.note_progress("learner-1", Progress(work=5, turns=1, busy_s=2))
        first, second = learner.readings()
        assert (first.name, first.role, first.is_serving, first.num_restarts) == ("learner-0", "learner", True, 0)
        assert (first.progress, second.progress) == (None, Progress(work=5, turns=1, busy_s=2))
        learner.exchange(learner.ranks)
        learner.exchange(learner.ranks)
        assert [(rank.is_serving, rank.num_restarts, rank.progress) for rank in learner.readings()] == [
            (False, 1, None),
            (False, 1, None),
        ]

    play(a_learner(Rank(0), Rank(1)), steps)
