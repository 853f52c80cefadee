"""Ray's actors as those see them who call them: how their errors read, where they run, and how they are ended.

Owns what Ray's exceptions mean for a caller; whoever calls through here needs not know them. Knows nothing of what the
actors compute.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import ray
from ray.exceptions import ActorUnavailableError, RayError, RayTaskError

from actors.remote.process import ProcessInfo, RemoteActor
from contracts.errors import RunFailed

Answer = TypeVar("Answer")


class Unreachable(RuntimeError):
    """Ray can't reach the worker and doesn't know whether it lives; what it was asked will not be answered."""


class ProcessLost(RuntimeError):
    """The worker's process is gone, or an answer of it is."""


class WorkerRaised(RuntimeError):
    """The worker answered with an exception."""

    def __init__(self, text: str, cause: BaseException) -> None:
        super().__init__(text)
        self.cause = cause  # as the worker raised it


class RequestFailed(RuntimeError):
    """One request that a worker can't answer, where others in the same message may be answered."""


@contextmanager
def told() -> Iterator[None]:
    """Ray's errors of a call, as one of the three above.

    Raises:
        Unreachable, ProcessLost, WorkerRaised: instead of what Ray raises.
    """
    try:
        yield
    except ActorUnavailableError as failure:
        raise Unreachable(one_line(failure)) from failure
    except RayTaskError as failure:
        raise WorkerRaised(one_line(failure), failure.cause) from failure
    except RayError as failure:
        raise ProcessLost(one_line(failure)) from failure


async def answer(call: Awaitable[Answer]) -> Answer:
    """What one remote call gives. Raises as `told`."""
    with told():
        return await call


async def answers(calls: AsyncIterator[Awaitable[Answer]]) -> AsyncIterator[Answer]:
    """What a remote stream gives, one by one. Raises as `told`."""
    with told():
        async for call in calls:
            yield await call


def one_line(failure: BaseException) -> str:
    """The last line that says something: Ray wraps the actor's whole traceback around it; the logs keep that."""
    lines = [line.strip() for line in str(failure).splitlines()]
    telling = [line for line in lines if line and not line.startswith("For further information")]
    return telling[-1] if telling else type(failure).__name__


def end_actor(handle: RemoteActor) -> None:
    """Have Ray end the actor's process, also one that is stopped or hangs (which takes it five seconds more).

    Returns at once. A new actor for the same devices waits by itself until the old process has let go of them.
    """
    ray.kill(handle, no_restart=True)


async def processes(names: Sequence[str], workers: Sequence[RemoteActor]) -> dict[str, ProcessInfo]:
    """Where the workers run, by name; they answer before they load anything.

    Raises:
        RunFailed: a worker's process did not start.
    """
    return await _all(names, [worker.process.remote() for worker in workers])


async def ready(names: Sequence[str], workers: Sequence[RemoteActor]) -> dict[str, ProcessInfo]:
    """Wait until every worker has loaded its model; the first that can't is named.

    Raises:
        RunFailed: a worker died or raised while it was loading.
    """
    return await _all(names, [worker.ready.remote() for worker in workers])


async def _all(names: Sequence[str], calls: Sequence[Awaitable[ProcessInfo]]) -> dict[str, ProcessInfo]:
    async def one(name: str, call: Awaitable[ProcessInfo]) -> ProcessInfo:
        try:
            return await call
        except RayError as failure:
            raise RunFailed(f"{name} did not start: {one_line(failure)}") from failure

    infos = await asyncio.gather(*(one(name, call) for name, call in zip(names, calls, strict=True)))
    return dict(zip(names, infos, strict=True))
