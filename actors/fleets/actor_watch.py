"""Ask every actor of a run from time to time: for its memory, or for what it has done.

A question that is not answered, because a process hangs or is lost, is not asked again: heartbeats act on that.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Generic, TypeVar

from actors.remote.calls import ProcessLost, Unreachable, WorkerRaised, answer
from actors.remote.memory import ProcessMemory
from actors.remote.process import RemoteActor

OnMemory = Callable[[str, ProcessMemory], None]
"""Get the memory of the actor of this name."""
Answer = TypeVar("Answer")


class ActorWatch(Generic[Answer]):
    """Report what the actors that there are answer to one question, by name."""

    def __init__(
        self,
        actors: Callable[[], Mapping[str, RemoteActor]],
        ask: Callable[[RemoteActor], Awaitable[Answer]],
        on_answer: Callable[[str, Answer], None],
        *,
        every_s: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._actors = actors
        self._ask_actor = ask
        self._on_answer = on_answer
        self._every_s = every_s
        self._sleep = sleep
        self._asked: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Ask until cancelled."""
        try:
            while True:
                for name, handle in self._actors().items():
                    if name not in self._asked or self._asked[name].done():
                        self._asked[name] = asyncio.ensure_future(self._ask(name, handle))
                await self._sleep(self._every_s)
        finally:
            for question in self._asked.values():
                question.cancel()
            await asyncio.gather(*self._asked.values(), return_exceptions=True)

    async def _ask(self, name: str, handle: RemoteActor) -> None:
        try:
            self._on_answer(name, await answer(self._ask_actor(handle)))
        except (Unreachable, ProcessLost, WorkerRaised):
            return
