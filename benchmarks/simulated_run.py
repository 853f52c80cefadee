"""The driver's side of a run, complete, around engines that somebody simulates.

Owns what is real in such a measurement and how large it is: the stream of problems, the buffer, the references with
their cache, the recipe, packing, metrics, events and samples.parquet, in a folder. Knows no engine; whoever measures
hands them in at the driver's ports.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.console import Console as Terminal

from contracts.config.learning import AlgorithmConfig, LearnerConfig
from contracts.config.reward import RewardConfig
from contracts.ports import Generator, Learner, Scorer
from contracts.rollouts import Problem
from driver.problems.draws import Draws
from driver.problems.stream import ProblemStream
from driver.recipes.grpo import train_grpo
from driver.recipes.loop import LearningSettings, Loop
from driver.references.cache import ReferenceCache
from driver.references.store import PivotSampling, ReferenceStore
from driver.rollouts.buffer import RolloutBuffer
from driver.rollouts.pipeline import Sampling, Stages
from driver.rollouts.selection import BufferRules
from driver.rollouts.stage_clock import StageClock
from driver.run_state.position import RunPosition
from driver.tracking.consistency import ConsistencyWatch
from driver.tracking.console import Console
from driver.tracking.recorder import RunRecorder
from driver.tracking.run_folder import RunFolder

_SENTENCE = "A shop sells {} boxes with {} pens each and gives every fifth pen away; how many pens are sold? "
_QUESTION_SENTENCES = 3
_NUM_ITEMS = 1_000_000
SEED = 1


@dataclass(frozen=True, kw_only=True)
class Engines:
    """All that a driver asks."""

    policy: Generator
    pivot: Generator
    scorer: Scorer
    learner: Learner


@dataclass(frozen=True, kw_only=True)
class RunSize:
    """How much a run does."""

    algorithm: AlgorithmConfig
    languages: Sequence[str]  # an item is asked in all of them, and of the pivot once
    num_ranks: int = 1
    response_tokens: int = 8
    row_tokens: int = 4096


class EndlessProblems:
    """A parallel set, as a source of problems; each is made when it is asked for."""

    name = "simulated problems"
    fingerprint = "simulated"

    def __init__(self, languages: Sequence[str]) -> None:
        self._languages = tuple(languages)

    @property
    def counts(self) -> Mapping[str, int]:
        return dict.fromkeys(self._languages, _NUM_ITEMS)

    def problem(self, language: str, position: int) -> Problem:
        question = _SENTENCE.format(position, 5 + position % 91) * _QUESTION_SENTENCES
        return Problem(
            item_id=f"item-{position}",
            language=language,
            question=f"({language}) {question}",
            question_en=question,
            answer=str(position % 1000),
        )


@dataclass(frozen=True, kw_only=True)
class _NoCheckpoints:
    """What a run without checkpoints does after a step: nobody will ever step back."""

    buffer: RolloutBuffer

    async def after_step(self, position: RunPosition) -> None:
        self.buffer.checkpointed()


async def simulate(engines: Engines, *, size: RunSize, folder: Path) -> None:
    """A whole run of GRPO, its references asked for one by one; what a run writes is in `folder` afterwards."""
    algorithm, reward, clock = size.algorithm, RewardConfig(), StageClock()
    (folder / "references").mkdir()
    stages = Stages(
        policy=engines.policy,
        references=ReferenceStore(
            pivot=engines.pivot,
            prompt=_tokens,
            sampling=PivotSampling(
                fingerprint="simulated", max_tokens=size.response_tokens, temperature=0.0, seed=SEED
            ),
            cache=ReferenceCache(folder / "references"),
        ),
        scorer=engines.scorer,
        prompt=lambda problem: _tokens(problem.question),
        sampling=Sampling(
            group_size=algorithm.group_size, max_tokens=size.response_tokens, temperature=1.0, run_seed=SEED
        ),
    )
    stream = ProblemStream(EndlessProblems(size.languages), languages=size.languages, seed=SEED)
    buffer = RolloutBuffer(
        Draws(stream), stages=stages, rules=BufferRules(algorithm=algorithm, reward=reward), clock=clock
    )
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        recorder = _recorder(folder, reward, algorithm.steps, screen=nowhere)
        loop = Loop(
            learner=engines.learner,
            recorder=recorder,
            settings=_settings(size, reward),
            checkpointer=_NoCheckpoints(buffer=buffer),
            clock=clock,
        )
        await engines.learner.push_weights(0)
        await train_grpo(buffer, loop=loop)
        recorder.dropped(await buffer.close(), step=algorithm.steps + 1)
        recorder.close()


def _tokens(text: str) -> tuple[int, ...]:
    """A prompt of a token a byte, some 300; what a tokenizer and a chat template cost is not the matter here."""
    return tuple(text.encode())


def _recorder(folder: Path, reward: RewardConfig, num_steps: int, *, screen: TextIO) -> RunRecorder:
    console = Console(Terminal(file=screen))
    console.start_steps(num_steps)
    watch = ConsistencyWatch(floor=reward.consistency_floor, steps=reward.consistency_steps)
    return RunRecorder(RunFolder(folder), console, watch=watch)


def _settings(size: RunSize, reward: RewardConfig) -> LearningSettings:
    return LearningSettings(
        algorithm=size.algorithm,
        reward=reward,
        learner=LearnerConfig(num_ranks=size.num_ranks),
        max_response_tokens=size.response_tokens,
        row_tokens=size.row_tokens,
        pad_token_id=0,
        seed=SEED,
    )
