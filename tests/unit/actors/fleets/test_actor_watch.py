"""Test which actors are asked, and that one that does not answer keeps nobody from being asked."""

import asyncio
from typing import cast

from actors.fleets.actor_watch import ActorWatch
from actors.remote.memory import ProcessMemory
from actors.remote.process import RemoteActor
from tests.fakes.clock import FakeTime, settle
from tests.fakes.remote import Method, unavailable


class Measured:
    """Stand for an actor that answers with growing numbers, never, or with an error of Ray's."""

    def __init__(self, *, hangs: bool = False, fails: bool = False) -> None:
        self.num_asked = 0
        self._hangs, self._fails = hangs, fails
        self.memory = Method(self._memory)

    async def _memory(self) -> ProcessMemory:
        self.num_asked += 1
        if self._fails:
            raise unavailable()
        if self._hangs:
            await asyncio.Event().wait()
        return ProcessMemory(own=self.num_asked, peak=10, gpu=0)


def test_every_actor_is_asked_in_turn_and_a_silent_one_only_once() -> None:
    actors = {"policy-0": Measured(), "pivot-0": Measured(hangs=True), "scorer-0": Measured(fails=True)}
    seen: list[tuple[str, int]] = []

    async def watch() -> None:
        time = FakeTime()
        watch = ActorWatch(
            lambda: cast("dict[str, RemoteActor]", actors),
            lambda actor: actor.memory.remote(),
            lambda name, memory: seen.append((name, memory.own)),
            every_s=5,
            sleep=time.sleep,
        )
        running = asyncio.ensure_future(watch.run())
        await settle()
        assert seen == [("policy-0", 1)]
        await time.advance(5)
        assert seen == [("policy-0", 1), ("policy-0", 2)]
        assert [actor.num_asked for actor in actors.values()] == [2, 1, 2]
        actors["policy-1"] = Measured()
        await time.advance(5)
        assert seen[2:] == [("policy-0", 3), ("policy-1", 1)]
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(watch())
