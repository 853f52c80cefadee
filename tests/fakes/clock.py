"""Provide clocks that stand still until a test moves them."""

import asyncio

import pytest


async def settle() -> None:
    """Let everything run that can go on without a clock."""
    for _ in range(100):
        await asyncio.sleep(0)


class Clock:
    """Return a time that a test sets."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class FakeTime:
    """Provide a clock and a `sleep` that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.now + seconds, woken))
        await woken

    async def advance(self, seconds: float, *, step_s: float = 1.0) -> None:
        """Move the clock in steps, and let everything run after each one."""
        await settle()
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + step_s)
            due = [sleeper for sleeper in self._sleepers if sleeper[0] <= self.now]
            self._sleepers = [sleeper for sleeper in self._sleepers if sleeper[0] > self.now]
            for _, woken in due:
                if not woken.done():
                    woken.set_result(None)
            await settle()


class LoopClock:
    """Replace the clock of the running event loop by one that a test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self.now = loop.time()
        monkeypatch.setattr(loop, "time", lambda: self.now)
