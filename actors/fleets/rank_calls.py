"""A call to all ranks of the learner at once, and how it is found out that one of them will never answer.

Owns the watch over ranks while a call is under way: who died, who raised, who has fallen silent. Ranks meet in
collectives, so one that is lost leaves the others waiting in one: the first sign ends the call. Knows no Ray by itself
(actors/remote/calls.py tells its errors) and nothing of what ranks compute.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import TypeVar

from actors.remote.calls import ProcessLost, WorkerRaised, answer
from actors.remote.process import RemoteActor
from contracts.config.fleet import FleetConfig
from contracts.errors import BadInput, CheckpointFailed

Answer = TypeVar("Answer")

LOOKS = 10
"""Silence is counted in so many looks: a driver that was stopped itself loses one look, not a rank."""
SECOND_OPINION_S = 2.0
"""How long a rank's exception waits for that of another: who lost a connection tells less than who died."""


class RankLost(Exception):
    """A rank will never answer; the others may hang in a collective with it. Names the rank and says why."""


async def all_answers(
    ranks: Mapping[str, RemoteActor],
    calls: Mapping[str, Awaitable[Answer]],
    *,
    rules: FleetConfig,
    timeout_s: float,
) -> list[Answer]:
    """What every rank answers, in the order of the calls.

    A caller that is cancelled leaves the calls to themselves: all ranks or none must carry one out.

    Raises:
        RankLost: a rank died, was silent for fleet.dead_after_s or raised; or all are alive and timeout_s is over.
        BadInput, CheckpointFailed: as a rank raised it: what all ranks agree on, or what nothing was begun after.
    """
    answers = {name: asyncio.ensure_future(answer(call)) for name, call in calls.items()}
    together = asyncio.gather(*answers.values())
    together.add_done_callback(_heard)
    watch = asyncio.ensure_future(_first_lost(ranks, rules))
    try:
        await asyncio.wait({together, watch}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if together.done() and together.exception() is None:
            return list(together.result())
        if together.done():
            raise await _told(answers)
        raise RankLost(watch.result() if watch.done() else f"no answer within {timeout_s:g} s (learner.timeout_s)")
    finally:
        watch.cancel()


async def _told(answers: "Mapping[str, asyncio.Future[Answer]]") -> Exception:
    """What to raise for ranks of which one has raised."""
    failures = _failures(answers)
    known = [failure.cause for failure in failures.values() if isinstance(failure, WorkerRaised)]
    for cause in known:
        if isinstance(cause, BadInput | CheckpointFailed):
            return type(cause)(str(cause))
    if not _dead(failures):
        await asyncio.wait(answers.values(), timeout=SECOND_OPINION_S, return_when=asyncio.ALL_COMPLETED)
        failures = _failures(answers)
    name, failure = next(iter((_dead(failures) or failures).items()))
    return RankLost(_died(name, failure) if name in _dead(failures) else f"{name}: {failure}")


def _died(name: str, failure: BaseException | None) -> str:
    """Ray goes on to list what kills processes in general."""
    return f"{name} has died: {str(failure).partition(' Some common causes include')[0]}"


def _failures(answers: "Mapping[str, asyncio.Future[Answer]]") -> dict[str, BaseException]:
    return {
        name: failure
        for name, answered in answers.items()
        if answered.done() and (failure := answered.exception()) is not None
    }


def _dead(failures: Mapping[str, BaseException]) -> dict[str, BaseException]:
    return {name: failure for name, failure in failures.items() if isinstance(failure, ProcessLost)}


async def _first_lost(ranks: Mapping[str, RemoteActor], rules: FleetConfig) -> str:
    """Why a rank counts as lost. Returns only when one does."""
    watches = [asyncio.ensure_future(_until_lost(name, rank, rules)) for name, rank in ranks.items()]
    try:
        lost, _ = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
        return lost.pop().result()
    finally:
        for watch in watches:
            watch.cancel()


async def _until_lost(name: str, rank: RemoteActor, rules: FleetConfig) -> str:
    """Ask for heartbeats until one stays out or can't come any more."""
    look_s = rules.dead_after_s / LOOKS
    num_silent = 0
    beat = _ask(rank)
    while num_silent < LOOKS:
        await asyncio.wait({beat}, timeout=look_s)
        if not beat.done():
            num_silent += 1
            continue
        failure = beat.exception()
        if isinstance(failure, ProcessLost | WorkerRaised):
            return _died(name, failure)
        num_silent = num_silent + 1 if failure else 0  # where it can't be reached for now, that is silence
        await asyncio.sleep(look_s)
        beat = _ask(rank)
    return f"{name} gave no sign of life for {rules.dead_after_s:g} s (fleet.dead_after_s)"


def _ask(rank: RemoteActor) -> "asyncio.Future[None]":
    beat = asyncio.ensure_future(answer(rank.heartbeat.remote()))
    beat.add_done_callback(_heard)
    return beat


def _heard(answered: "asyncio.Future[Answer]") -> None:
    """Nobody may be left to hear it: asyncio would complain."""
    if not answered.cancelled():
        answered.exception()
