"""A reward of the user's own, as one more part (docs/custom_reward.md).

Owns loading the user's module, calling its function, and what a wrong result or an exception means: the whole group is
unscored, never worth nothing. Knows no model; the file is read and checked before the start by the driver.
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
"""Name that the user's module has while it runs."""

CustomFunction = Callable[[ScoreRequest], Iterable[float] | Awaitable[Iterable[float]]]


class CustomReward:
    """Calls one function of a user's module, which takes a group and gives one number in [0, 1] per response."""

    def __init__(self, *, source: str, path: str, function: str) -> None:
        """Runs the module. `source` is the file's text; `path` is only what tracebacks call it.

        Raises:
            Exception: whatever the module raises at its top level.
            ValueError: it has no such function.
        """
        found = getattr(_load(source, path), function, None)
        if not callable(found):
            raise ValueError(f"{path} has no function {function!r}; define it or set reward.custom.function")
        self._function = cast(CustomFunction, found)
        self._name = function
        self._runner: asyncio.Runner | None = None

    def score(self, request: ScoreRequest) -> tuple[float, ...] | Unscored:
        """One number in [0, 1] per response, or why the group has none; `detail` is then the traceback."""
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
        """On one event loop from call to call, so that the user's clients and sessions stay open."""

        async def finish() -> Iterable[float]:
            return await result

        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(finish())

    def _checked(self, result: Iterable[float], *, num_responses: int) -> tuple[float, ...]:
        values = tuple(float(value) for value in result)
        if len(values) != num_responses:
            raise ValueError(f"{self._name} gave {len(values)} numbers for {num_responses} responses")
        for index, value in enumerate(values):
            if not math.isfinite(value) or not 0 <= value <= 1:
                raise ValueError(f"{self._name} gave {value} for response {index}; a reward lies in [0, 1]")
        return values


def _load(source: str, path: str) -> ModuleType:
    module = ModuleType(MODULE)
    module.__file__ = path
    # Tracebacks show the user's lines also where the file itself is not: on another node of the cluster.
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    sys.modules[MODULE] = module  # as every import does: dataclasses and pickle look a class's module up there
    exec(compile(source, path, "exec"), module.__dict__)
    return module
