"""Compute a reward of the user's own, as one more part.

Loads the user's module and calls its function. After a wrong result or an exception the whole group is unscored; its
reward is never 0 for that reason. The driver has read and checked the file before the start.
"""

import asyncio
import inspect
import linecache
import math
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable
from types import ModuleType
from typing import cast

from contracts.rollouts import ScoreRequest, Unscored

MODULE = "custom_reward"
"""Name of the user's module while it runs."""

CustomFunction = Callable[[ScoreRequest], Iterable[float] | Awaitable[Iterable[float]]]


class CustomReward:
    """Call one function of a user's module, which takes a group and returns one number in [0, 1] per response."""

    def __init__(self, *, source: str, path: str, function: str) -> None:
        """Run the module. `source` is the text of the file; `path` is only its name in tracebacks.

        Raises:
            Exception: the module raises at its top level.
            ValueError: the module has no such function.
        """
        found = getattr(_load(source, path), function, None)
        if not callable(found):
            raise ValueError(f"{path} has no function {function!r}; define it or set reward.custom.function")
        self._function = cast(CustomFunction, found)
        self._name = function
        self._runner: asyncio.Runner | None = None

    def score(self, request: ScoreRequest) -> tuple[float, ...] | Unscored:
        """Return one number in [0, 1] per response, or why the group has none, with the traceback as `detail`."""
        try:
            return self._checked(self._call(request), num_responses=len(request.responses))
        # The user's code may raise anything; sys.exit() or a cancelled request in it must not end the scorer either.
        except (Exception, SystemExit, asyncio.CancelledError) as failure:  # noqa: BLE001
            return Unscored(
                reason=f"custom reward failed: {type(failure).__name__}",
                detail="".join(traceback.format_exception(failure)),
            )

    def _call(self, request: ScoreRequest) -> Iterable[float]:
        result = self._function(request)
        return self._run(result) if inspect.isawaitable(result) else result

    def _run(self, result: Awaitable[Iterable[float]]) -> Iterable[float]:
        """Wait for a coroutine's result on one event loop for all calls, so that the user's clients stay open."""

        async def finish() -> Iterable[float]:
            return await result

        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(finish())

    def _checked(self, result: Iterable[float], *, num_responses: int) -> tuple[float, ...]:
        """Return the result as numbers; ValueError where their count is wrong or one lies outside [0, 1]."""
        values = tuple(float(value) for value in result)
        if len(values) != num_responses:
            raise ValueError(f"{self._name} gave {len(values)} numbers for {num_responses} responses")
        for index, value in enumerate(values):
            if not math.isfinite(value) or not 0 <= value <= 1:
                raise ValueError(f"{self._name} gave {value} for response {index}; a reward must be in [0, 1]")
        return values


def _load(source: str, path: str) -> ModuleType:
    """Run the user's source as a module."""
    module = ModuleType(MODULE)
    module.__file__ = path
    # Tracebacks show the user's lines even on a node of the cluster that lacks the file.
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    sys.modules[MODULE] = module  # as every import does: dataclasses and pickle look a class's module up there
    exec(compile(source, path, "exec"), module.__dict__)
    return module
