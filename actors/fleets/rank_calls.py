"""Call all ranks of the learner at once, and detect early that one of them will never answer.

Ranks wait for each other in collectives. If one is lost the others hang, so the first sign of a loss ends the call.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import TypeVar

from actors.remote.calls import ProcessLost, Unreachable, WorkerRaised, answer, ignore_late_failure
from actors.remote.process import RemoteActor
from actors.remote.silence import SilenceDetector
from contracts.config.workers import FleetConfig
from contracts.errors import BadInput, CheckpointFailed

Answer = TypeVar("Answer")

LOOKS = 10
"""Checks within fleet.dead_after_s. A late check counts as two at most, so a driver that was stopped loses no rank."""
SECOND_OPINION_S = 2.0
"""Seconds to wait for the other ranks' errors after the first one: the death of a rank explains more than a lost
connection to it."""


class RankLost(Exception):
    """Report that a rank will never answer; the others may hang in a collective with it. `rank` is empty if all are
    alive and too slow."""

    def __init__(self, message: str, *, rank: str = "") -> None:
        super().__init__(message)
        self.rank = rank


async def all_answers(
    ranks: Mapping[str, RemoteActor],
    calls: Mapping[str, Awaitable[Answer]],
    *,
    rules: FleetConfig,
    timeout_s: float,
) -> list[Answer]:
    """Return what every rank answers, in the order of the calls.

    If the caller is cancelled, the calls go on: a call must be carried out by all ranks or by none.

    Raises:
        RankLost: a rank died, was silent for fleet.dead_after_s or raised; or all are alive and timeout_s is over.
        BadInput, CheckpointFailed: as a rank raised it: all ranks agree on it, or nothing was begun after it.
    """
    answers = {name: asyncio.ensure_future(answer(call)) for name, call in calls.items()}
    together = asyncio.gather(*answers.values())
    together.add_done_callback(ignore_late_failure)
    watch = asyncio.ensure_future(_first_lost(ranks, rules))
    try:
        await asyncio.wait({together, watch}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if together.done() and together.exception() is None:
            return list(together.result())
        if together.done():
            raise await _error_of(answers)
        raise watch.result() if watch.done() else RankLost(f"no answer within {timeout_s:g} s (learner.timeout_s)")
    finally:
        watch.cancel()


async def _error_of(answers: "Mapping[str, asyncio.Future[Answer]]") -> Exception:
    """Return what to raise after a rank has raised."""
    failures = _failures(answers)
    known = [failure.cause for failure in failures.values() if isinstance(failure, WorkerRaised)]
    for cause in known:
        if isinstance(cause, BadInput):
            return BadInput(str(cause), key=cause.key)
        if isinstance(cause, CheckpointFailed):
            return CheckpointFailed(str(cause))
    if not _dead(failures):
        await asyncio.wait(answers.values(), timeout=SECOND_OPINION_S, return_when=asyncio.ALL_COMPLETED)
        failures = _failures(answers)
    name, failure = next(iter((_dead(failures) or failures).items()))
    return _died(name, failure) if name in _dead(failures) else RankLost(f"{name}: {failure}", rank=name)


def _died(name: str, failure: BaseException | None) -> RankLost:
    """Leave out what Ray adds about common causes."""
    return RankLost(f"{name} has died: {str(failure).partition(' Some common causes include')[0]}", rank=name)


def _failures(answers: "Mapping[str, asyncio.Future[Answer]]") -> dict[str, BaseException]:
    return {
        name: failure
        for name, answered in answers.items()
        if answered.done() and (failure := answered.exception()) is not None
    }


def _dead(failures: Mapping[str, BaseException]) -> dict[str, BaseException]:
    return {name: failure for name, failure in failures.items() if isinstance(failure, ProcessLost)}


async def _first_lost(ranks: Mapping[str, RemoteActor], rules: FleetConfig) -> RankLost:
    """Return why a rank counts as lost, as soon as one does."""
    watches = [asyncio.ensure_future(_until_lost(name, rank, rules)) for name, rank in ranks.items()]
    try:
        lost, _ = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
        return lost.pop().result()
    finally:
        for watch in watches:
            watch.cancel()


async def _until_lost(name: str, rank: RemoteActor, rules: FleetConfig) -> RankLost:
    """Ask for heartbeats until the rank is silent for too long, or its process is gone."""
    lost: asyncio.Future[RankLost] = asyncio.get_running_loop().create_future()

    async def beat() -> bool:
        try:
            await answer(rank.heartbeat.remote())
        except Unreachable:
            return False
        except (ProcessLost, WorkerRaised) as failure:
            if not lost.done():
                lost.set_result(_died(name, failure))
            return False
        return True

    look_s = rules.dead_after_s / LOOKS
    silence = SilenceDetector(beat, look_s=look_s)
    while not lost.done():
        if silence.look() >= rules.dead_after_s:
            text = f"{name} did not answer for {rules.dead_after_s:g} s (fleet.dead_after_s)"
            return RankLost(text, rank=name)
        await asyncio.wait({lost}, timeout=look_s)
    return lost.result()
