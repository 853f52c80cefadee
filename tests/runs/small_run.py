"""Run GRPO on fakes in a real run folder: start, continue, checkpoints, record and end are the driver's own."""

import asyncio
import json
from pathlib import Path
from typing import cast

from cluster.team import Team
from contracts.config.learning import GrpoConfig
from contracts.config.run import Config
from contracts.rollouts import Score, ScoreRequest
from driver.commands.assembly import RunOutputs, run_checkpointer
from driver.problems.draws import Draws
from driver.problems.sources import open_source
from driver.problems.stream import ProblemStream
from driver.recipes.grpo import train_grpo
from driver.recipes.loop import Loop
from driver.rollouts.buffer import RolloutBuffer
from driver.rollouts.pipeline import Sampling, Stages
from driver.rollouts.selection import BufferRules
from driver.run_state.buffered_groups import read_groups
from driver.run_state.resume import enter_run, open_run
from driver.run_state.state import RunPosition
from driver.tracking.consistency import ConsistencyWatch
from driver.tracking.recorder import RunRecorder
from driver.tracking.summary import summarise
from tests.builders import a_config, a_console, a_problem, a_score
from tests.fakes.ports import FakeGenerator, FakeLearner, FakeScorer, policy_prompt, run
from tests.runs.recipe import references, settings
from tests.runs.recorded_run import GATES

NAME = "small"
LANGUAGES = ("de", "sw")
DULL = "Frage i3 (de)?"
"""Question whose responses have equal rewards: nothing can be learned from them."""


def small_config(place: Path, *, problems: Path, steps: int = 7) -> Config:
    """Return the config of a run in a folder of `place`, on the problems that `write_problems` has written."""
    return a_config(
        run={"folder": str(place), "name": NAME},
        data={"languages": LANGUAGES, "source": "jsonl", "path": str(problems)},
        algorithm={"steps": steps, "groups_per_step": 2, "group_size": 2, "max_staleness": 1},
        checkpoint={"every_steps": 2, "keep_last": 2},
        evaluation={"before": False, "after": False},
    )


def write_problems(path: Path) -> Path:
    items = [a_problem(f"i{index}", language) for index in range(7) for language in LANGUAGES]
    fields = ("item_id", "language", "question", "question_en")
    rows = [json.dumps({name: getattr(problem, name) for name in fields}) for problem in items]
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


class SmallScorer(FakeScorer):
    """Give rewards of 0 and 1 tenth with all that they follow from, or equal ones."""

    async def score(self, request: ScoreRequest) -> tuple[Score, ...]:
        rewards = [0.5 if request.question == DULL else index / 10 for index in range(len(request.responses))]
        names = ("answer", "reasoning", "numbers")
        return tuple(a_score(reward, parts=dict.fromkeys(names, reward), gates=GATES) for reward in rewards)

    async def take_stats(self) -> dict[str, float]:
        return {}


class OnlyALearner:
    """Stand for a team where only its learner is asked for."""

    def __init__(self, learner: FakeLearner) -> None:
        self.learner = learner


def start(config: Config) -> None:
    """Start the run, or continue it, to its end; no report is written.

    Raises:
        BadInput: it can't be continued.
    """
    opened = open_run(config, NAME)
    console = a_console()
    console.start_steps(config.algorithm.steps, done=opened.step)
    with enter_run(opened, config) as folder:
        recorder = RunRecorder(folder, console, watch=ConsistencyWatch(floor=0, steps=1))
        outputs = RunOutputs(folder=folder, recorder=recorder, checkpoint=opened.checkpoint)
        run(_train(config, outputs))
        recorder.close()
        summarise(folder, status="finished", seconds=1.0)


async def _train(config: Config, outputs: RunOutputs) -> None:
    found = outputs.checkpoint
    position = found.state.position if found else RunPosition()
    algorithm = config.algorithm
    assert isinstance(algorithm, GrpoConfig)
    learner = FakeLearner(policy_version=position.policy_version)
    source = open_source(config.data, languages=LANGUAGES, seed=config.run.seed)
    draws = Draws(ProblemStream(source, languages=LANGUAGES, seed=config.run.seed))
    if found is not None:
        draws.restore(found.state.open)
    loop = Loop(learner=learner, recorder=outputs.recorder, settings=settings(algorithm), position=position)
    buffer = RolloutBuffer(
        draws,
        stages=Stages(
            policy=FakeGenerator(version=lambda: learner.policy_version),
            references=references(FakeGenerator()),
            scorer=SmallScorer(),
            prompt=policy_prompt,
            sampling=Sampling(group_size=2, max_tokens=8, temperature=1.0, run_seed=1),
        ),
        rules=BufferRules(algorithm=algorithm, reward=config.reward),
        clock=loop.clock,
        step=position.step,
        version=position.policy_version,
    )
    if found is not None:
        buffer.restore(read_groups(found.groups))
    loop.checkpointer = run_checkpointer(config, cast(Team, OnlyALearner(learner)), buffer, outputs=outputs)
    await train_grpo(buffer, loop=loop)
    await loop.checkpointer.settle()
    await asyncio.sleep(0)
    outputs.recorder.dropped(await buffer.close(), step=loop.position.step + 1)
