"""Call Ray actors: translate Ray's exceptions into three of our own, load workers, and end their processes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import ray
from ray.exceptions import ActorUnavailableError, RayError, RayTaskError

from actors.remote.process import ProcessInfo, RemoteActor
from contracts.errors import BadInput, RunFailed

Answer = TypeVar("Answer")


class Unreachable(RuntimeError):
    """Report that Ray can't reach the worker and doesn't know whether it is alive. The call will not be answered."""


class ProcessLost(RuntimeError):
    """Report that the worker's process has ended, or that its answer was lost."""


class WorkerRaised(RuntimeError):
    """Report that the worker answered with an exception."""

    def __init__(self, text: str, cause: BaseException) -> None:
        super().__init__(text)
        self.cause = cause  # as the worker raised it


class RequestFailed(RuntimeError):
    """Report that a worker can't answer one request; other requests in the same message may be answered."""


@contextmanager
def translated_errors() -> Iterator[None]:
    """Replace Ray's exceptions of a remote call.

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
    """Return what one remote call gives. Raises as `translated_errors`."""
    with translated_errors():
        return await call


async def answers(calls: AsyncIterator[Awaitable[Answer]]) -> AsyncIterator[Answer]:
    """Yield what a remote stream gives, item by item. Raises as `translated_errors`."""
    with translated_errors():
        async for call in calls:
            yield await call


def ignore_late_failure(task: "asyncio.Future[Answer]") -> None:
    """Read a task's exception (use as a done callback): asyncio complains about one that no caller awaits any more."""
    if not task.cancelled():
        task.exception()


def one_line(failure: BaseException) -> str:
    """Return the last line with content of an error: Ray puts the actor's whole traceback around it.

    The traceback is in the actor's log.
    """
    lines = [line.strip() for line in str(failure).splitlines()]
    content = [line for line in lines if line and not line.startswith("For further information")]
    return content[-1] if content else type(failure).__name__


def end_actor(handle: RemoteActor) -> None:
    """Have Ray end the actor's process, also one that is stopped or hangs (Ray then takes five seconds more).

    Returns at once. A new actor for the same devices waits by itself until the old process has released them.
    """
    ray.kill(handle, no_restart=True)


async def processes(names: Sequence[str], workers: Sequence[RemoteActor]) -> dict[str, ProcessInfo]:
    """Return where the workers run, by name. They answer before they load anything.

    Raises:
        RunFailed: a worker's process did not start; `key` is its name.
    """
    return await _all(names, [worker.process.remote() for worker in workers])


async def ready(names: Sequence[str], workers: Sequence[RemoteActor]) -> dict[str, ProcessInfo]:
    """Wait until every worker has loaded its model.

    Raises:
        BadInput: as a worker raised it: the config does not fit the model or the installed libraries.
        RunFailed: a worker died or raised while it was loading; `key` is its name.
    """
    return await _all(names, [worker.ready.remote() for worker in workers])


async def _all(names: Sequence[str], calls: Sequence[Awaitable[ProcessInfo]]) -> dict[str, ProcessInfo]:
    async def one(name: str, call: Awaitable[ProcessInfo]) -> ProcessInfo:
        try:
            return await call
        except RayError as failure:
            if isinstance(failure, RayTaskError) and isinstance(failure.cause, BadInput):
                raise BadInput(str(failure.cause), key=failure.cause.key) from failure
            raise RunFailed(f"{name} did not start: {one_line(failure)}", key=name) from failure

    infos = await asyncio.gather(*(one(name, call) for name, call in zip(names, calls, strict=True)))
    return dict(zip(names, infos, strict=True))
