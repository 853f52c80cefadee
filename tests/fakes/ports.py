"""Provide fakes at the driver's ports, to run the driver without any engine.

They keep every promise of the ports. A test decides when something finishes through events, never through time.
"""

import asyncio
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from contracts.batches import PushResult, StepResult, TokenMeasures, TrainBatch
from contracts.errors import LearnerLost
from contracts.rollouts import (
    Problem,
    PromptDraw,
    Rollout,
    SamplingRequest,
    Score,
    ScoreRequest,
    Unscored,
)
from contracts.sealed_folder import FileSum, SummedFile
from driver.problems.stream import DrawState, StreamState
from driver.tracking.step_record import StepRecord
from tests.builders import a_score

Scores = tuple[Score | Unscored, ...]
T = TypeVar("T")


def run(work: Coroutine[object, object, T]) -> T:
    """Run a coroutine to its end; one that would wait for ever fails instead."""

    async def bounded() -> T:
        async with asyncio.timeout(20):
            return await work

    return asyncio.run(bounded())


def token_ids(text: str) -> tuple[int, ...]:
    """Tokenize as all fakes do: one token a character."""
    return tuple(ord(character) for character in text)


def policy_prompt(problem: Problem) -> tuple[int, ...]:
    return token_ids(problem.question)


@dataclass
class FakeGenerator:
    """Answer at once, or when the test opens the gate of a prompt, with one token per sample, made from its seed."""

    version: Callable[[], int] = lambda: 0
    finish_reasons: Mapping[tuple[int, ...], str] = field(default_factory=dict)  # by prompt; others "stop"
    closed: set[tuple[int, ...]] = field(default_factory=set)  # prompts that wait for `open`
    failure: Exception | None = None
    requests: list[SamplingRequest] = field(default_factory=list)
    asked: "asyncio.Queue[SamplingRequest]" = field(default_factory=asyncio.Queue)  # the same, for a test to wait for
    _gates: dict[tuple[int, ...], asyncio.Event] = field(default_factory=dict)

    async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
        self.requests.append(request)
        self.asked.put_nowait(request)
        if self.failure is not None:
            raise self.failure
        if request.prompt_token_ids in self.closed:
            await self._gate(request.prompt_token_ids).wait()
        finish_reason = self.finish_reasons.get(request.prompt_token_ids, "stop")
        assert finish_reason in ("stop", "length")
        return tuple(
            Rollout(
                token_ids=(seed % 1000,),
                logprobs=(-1.0,),
                text=f"{request.request_id}#{index}",
                finish_reason=finish_reason,
                token_versions=(self.version(),),
            )
            for index, seed in enumerate(request.seeds)
        )

    def open(self, prompt: tuple[int, ...]) -> None:
        self._gate(prompt).set()

    def _gate(self, prompt: tuple[int, ...]) -> asyncio.Event:
        return self._gates.setdefault(prompt, asyncio.Event())


@dataclass
class FakeScorer:
    """Give rewards of 0, 1, 2, ... tenths to the responses of a group, or what the test says about a question."""

    scores: Mapping[str, Scores] = field(default_factory=dict)  # by question
    scored: "asyncio.Queue[str]" = field(default_factory=asyncio.Queue)  # questions, in the order in which they came
    requests: list[ScoreRequest] = field(default_factory=list)

    async def score(self, request: ScoreRequest) -> Scores:
        self.requests.append(request)
        self.scored.put_nowait(request.question)
        if request.question in self.scores:
            return self.scores[request.question]
        return tuple(a_score(index / 10) for index in range(len(request.responses)))

    async def take_stats(self) -> dict[str, float]:
        return {"scorer/batches": 1.0}


@dataclass
class FakeLearner:
    """Count versions as a learner and its policy workers do; every token has the same log-probability and value."""

    policy_version: int = 0  # served by the policy workers
    batches: list[TrainBatch] = field(default_factory=list)  # of optimiser steps, skipped ones too
    measured: list[TrainBatch] = field(default_factory=list)
    pushed: list[int] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    lost: "asyncio.Queue[LearnerLost]" = field(default_factory=asyncio.Queue)  # found lost between two calls
    skips: Mapping[int, tuple[int, ...]] = field(default_factory=dict)  # by number of the step from 0: its sequences
    logprob: float = -1.0
    reference_logprob: float = -1.0
    value: float = 0.0
    sums: Mapping[str, FileSum] = field(default_factory=dict)  # of the last save

    async def measure(self, batch: TrainBatch) -> tuple[TokenMeasures, ...]:
        self.calls.append("measure")
        self.measured.append(batch)
        rows = [row for share in batch.rows for row in share]
        counts = [
            sum(int(((row.sequence_ids == sequence) & row.loss_mask).sum()) for row in rows)
            for sequence in range(batch.num_sequences)
        ]
        return tuple(
            TokenMeasures(
                logprobs=np.full(count, self.logprob, dtype=np.float32),
                reference_logprobs=np.full(count, self.reference_logprob, dtype=np.float32),
                values=np.full(count, self.value, dtype=np.float32),
            )
            for count in counts
        )

    async def step(self, batch: TrainBatch) -> StepResult:
        self.calls.append("step")
        number = len(self.batches)
        self.batches.append(batch)
        if number in self.skips:
            lost = {"policy/loss": math.nan}
            return StepResult(
                metrics=lost, num_tokens=10, seconds=1.0, is_skipped=True, not_finite=tuple(self.skips[number])
            )
        return StepResult(metrics={"policy/loss": 0.5}, num_tokens=10, seconds=1.0)

    async def push_weights(self, policy_version: int) -> PushResult:
        self.calls.append("push")
        self.pushed.append(policy_version)
        self.policy_version = policy_version
        return PushResult(policy_version=policy_version, num_tensors=1, num_bytes=8, seconds=0.1)

    async def until_lost(self) -> LearnerLost:
        return await self.lost.get()

    async def save(self, folder: str, *, policy: str) -> None:
        Path(policy).mkdir()
        with SummedFile(Path(folder, "weights")) as file:
            file.write(str(len(self.batches)).encode())
        self.sums = {str(Path(folder, "weights")): file.sum}

    async def saved(self) -> Mapping[str, FileSum]:
        return self.sums

    async def load(self, folder: str) -> None:
        assert Path(folder, "weights").exists()

    async def export(self, folder: str) -> Mapping[str, FileSum]:
        Path(folder).mkdir(parents=True)
        return {}


@dataclass
class FakeRecorder:
    """Keep what a recipe records."""

    begun: list[int] = field(default_factory=list)
    records: list[StepRecord] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)

    def begin(self, step: int) -> None:
        self.begun.append(step)

    def record(self, step: StepRecord) -> None:
        self.records.append(step)

    def waiting(self, what: str) -> None:
        self.waits.append(what)


@dataclass
class GivenStream:
    """Stream the problems of a list, in its order; the stream ends with the list."""

    problems: Sequence[Problem]
    drawn: int = 0
    languages_asked: list[str] = field(default_factory=list)  # "": any language
    rates: dict[str, float] = field(default_factory=dict)  # success rates by group id

    def draw(self, language: str = "") -> PromptDraw:
        self.languages_asked.append(language)
        draw = PromptDraw(number=self.drawn, epoch_index=self.drawn, problem=self.problems[self.drawn])
        self.drawn += 1
        return draw

    def again(self, state: DrawState) -> PromptDraw:
        return PromptDraw(number=state["number"], epoch_index=state["place"], problem=self.problems[state["place"]])

    def saw(self, draw: PromptDraw, success_rate: float) -> None:
        self.rates[draw.group_id] = success_rate

    def take_passed_over(self) -> int:
        return 0

    def state(self) -> StreamState:
        return StreamState(
            number=self.drawn,
            places={},
            turns={},
            seed=0,
            languages=[],
            shares=[],
            fingerprint="given",
            curriculum={},
        )

    def restore(self, state: StreamState) -> None:
        self.drawn = state["number"]
