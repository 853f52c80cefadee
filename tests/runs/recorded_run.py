"""Build the folder of a right run for the tests of `verify`, with the run's own writers.

A run is a list of `RecordedStep`s; nothing is generated, and no learner learns. Tests damage the folder afterwards.
"""

import asyncio
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console as Terminal

from contracts.batches import PushResult, StepResult
from contracts.config.reward import GatesConfig
from contracts.config.run import Config
from contracts.rollouts import (
    DroppedGroup,
    Group,
    Problem,
    PromptDraw,
    Rollout,
    Score,
    ScoredGroup,
    Unscored,
)
from contracts.sealed_folder import FileSum
from driver.export.folder import EXPORT, export_to
from driver.problems.sources import open_source
from driver.problems.stream import permuted
from driver.references.store import ReferenceCounts
from driver.run_state.buffered_groups import write_groups
from driver.run_state.checkpoint_files import GROUPS, LEARNER, seal
from driver.run_state.state import RunState, write_state
from driver.tracking.consistency import ConsistencyWatch
from driver.tracking.console import Console
from driver.tracking.recorder import RunRecorder
from driver.tracking.run_folder import RunFolder, create
from driver.tracking.step_record import StepRecord, Update
from tests.builders import a_config, a_reference

GROUP_SIZE = 3
LANGUAGES = ("de", "sw")
SEED = 7
NUM_ITEMS = 32
GATES = dict.fromkeys(GatesConfig().switches, True)


@dataclass(frozen=True, kw_only=True)
class RecordedStep:
    """Hold one step: what became of which draws, and how old their tokens were."""

    learned: tuple[int, ...]  # numbers of draws
    no_signal: tuple[int, ...] = ()  # scored, and dropped because all rewards are the same
    rejected: tuple[int, ...] = ()  # dropped before they were scored
    version: int  # of the weights that learned
    ages: tuple[int, int] = (0, 0)  # of the oldest and the newest token, in versions
    open: tuple[int, ...] | None = None  # draws in flight at a checkpoint after the step; the first half is ready


def write_problems(path: Path) -> Path:
    """Write the problems of a run, in the order that makes SEED draw the items set/0, set/1, ... in every language."""
    drawn = {permuted(place, NUM_ITEMS, key=f"{SEED}/0"): a_draw(2 * place).problem for place in range(NUM_ITEMS)}
    rows = [
        {"item_id": problem.item_id, "language": language, "question": problem.question, "question_en": "How many?"}
        for _, problem in sorted(drawn.items())
        for language in LANGUAGES
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def a_draw(number: int) -> PromptDraw:
    language = LANGUAGES[number % 2]
    problem = Problem(item_id=f"set/{number // 2}", language=language, question="Wie viele?", question_en="How many?")
    return PromptDraw(number=number, epoch_index=number // 2, problem=problem)


def a_group(number: int, *, version: int, ages: tuple[int, int] = (0, 0), is_equal: bool = False) -> ScoredGroup:
    """Return a scored group; the last response of an even draw with different rewards is unscored."""
    draw = a_draw(number)
    oldest, newest = (max(0, version - age) for age in ages)
    rollout = Rollout(
        token_ids=(5, 6), logprobs=(-0.5, -0.5), text="7", finish_reason="stop", token_versions=(oldest, newest)
    )
    scores: list[Score | Unscored] = [
        Score(reward=reward, parts=dict.fromkeys(("answer", "reasoning", "numbers"), reward), gates=GATES, answer="7")
        for reward in (0.0 if is_equal else index / 4 for index in range(GROUP_SIZE))
    ]
    if number % 2 == 0 and not is_equal:
        scores[-1] = Unscored(reason="timeout")
    return ScoredGroup(
        group=Group(
            group_id=draw.group_id, problem=draw.problem, prompt_token_ids=(1,), rollouts=(rollout,) * GROUP_SIZE
        ),
        reference=a_reference(item_id=draw.problem.item_id),
        scores=tuple(scores),
    )


def recorded_config(folder: Path, *, max_staleness: int = 1, algorithm: str = "grpo") -> Config:
    sampled = {} if algorithm == "sft" else {"group_size": GROUP_SIZE, "max_staleness": max_staleness}
    return a_config(
        run={"folder": str(folder), "name": "recorded", "seed": SEED},
        data={"languages": LANGUAGES, "source": "jsonl", "path": str(write_problems(folder / "problems.jsonl"))},
        algorithm={"name": algorithm, "steps": 100, "groups_per_step": 4} | sampled,
    )


class RecordedRun:
    """Write a run folder step by step."""

    def __init__(self, folder: Path, *, max_staleness: int = 1, algorithm: str = "grpo") -> None:
        config = recorded_config(folder, max_staleness=max_staleness, algorithm=algorithm)
        self.folder: RunFolder = create(folder / "recorded", config)
        console = Console(Terminal(file=io.StringIO(), width=200))
        console.start_steps(100)
        self._recorder = RunRecorder(self.folder, console, watch=ConsistencyWatch(floor=0, steps=1))
        self._num_steps = 0
        self._problems = open_source(config.data, languages=LANGUAGES, seed=SEED).fingerprint
        self._samples = algorithm != "sft"

    def step(self, done: RecordedStep) -> None:
        """Write a step, and a checkpoint where the step asks for one."""
        self._num_steps += 1
        learned = [a_group(number, version=done.version, ages=done.ages) for number in done.learned]
        no_signal = [a_group(number, version=done.version, is_equal=True) for number in done.no_signal]
        dropped = [_dropped(number, "no_signal") for number in done.no_signal]
        rejected = [_dropped(number, "reference_truncated") for number in done.rejected]
        self._recorder.begin(self._num_steps)
        self._recorder.record(
            StepRecord(
                step=self._num_steps,
                policy_version=done.version,
                groups=[*learned, *no_signal, *rejected] if self._samples else [],
                dropped=[*dropped, *rejected],
                learned=[group.group.group_id for group in learned],
                num_samples=sum(isinstance(score, Score) for group in learned for score in group.scores),
                update=_update(done.version, num_groups=len(learned)) if learned else None,
                references=ReferenceCounts(),
                stage_seconds={},
                scorer={},
            )
        )
        if done.open is not None:
            self._checkpoint(done, done.open)

    def _checkpoint(self, done: RecordedStep, in_flight: tuple[int, ...]) -> None:
        place = self.folder.checkpoints / f"step-{self._num_steps:06d}"
        place.mkdir()
        ready, again = in_flight[: len(in_flight) // 2], in_flight[len(in_flight) // 2 :]
        write_groups(place / GROUPS, [(a_draw(number), a_group(number, version=done.version)) for number in ready])
        draws = [a_draw(number) for number in again]
        write_state(
            place,
            RunState(
                step=self._num_steps,
                policy_version=done.version + bool(done.learned),
                optimizer_steps=self._num_steps,
                skipped_in_a_row=0,
                open={
                    "stream": {
                        "number": max([*done.learned, *done.no_signal, *done.rejected, *in_flight], default=-1) + 1,
                        "places": {},
                        "turns": {},
                        "seed": SEED,
                        "languages": list(LANGUAGES),
                        "shares": [1, 1],
                        "fingerprint": self._problems,
                        "curriculum": {},
                    },
                    "again": [
                        {"number": draw.number, "language": draw.problem.language, "place": draw.epoch_index}
                        for draw in draws
                    ],
                },
                num_ranks=2,
                seed=SEED,
            ),
        )
        (place / LEARNER / "policy").mkdir(parents=True)
        (place / LEARNER / "policy" / "shard.pt").write_bytes(b"weights" * 100)
        seal(place, step=self._num_steps, metric="off", score=None, fingerprints={}, sums={})
        (self.folder.checkpoints / "latest").write_text(f"{place.name}\n", encoding="utf-8")

    def export(self) -> None:
        """Export the policy after the last step, as some text."""

        async def write(aside: Path) -> Mapping[str, FileSum]:
            aside.mkdir()
            (aside / "model.safetensors").write_text("weights")
            return {}

        place = self.folder.checkpoints / EXPORT
        asyncio.run(export_to(place, write, run=self.folder.path.name, step=self._num_steps))

    def event(self, kind: str, reason: str) -> None:
        self._recorder.event(kind, reason)

    def kill(self) -> RunFolder:
        """Leave the folder as a kill between two steps does: no summary, and the samples of each step in a file."""
        return self.folder

    def finish(self, *, unused: Sequence[int] = ()) -> RunFolder:
        """End the run; `unused` are the draws that were still under way."""
        self._recorder.dropped([_dropped(number, "run_ended") for number in unused], step=self._num_steps)
        self._recorder.close()
        self.folder.write_summary({"status": "finished"})
        return self.folder


def _dropped(number: int, reason: str) -> DroppedGroup:
    draw = a_draw(number)
    return DroppedGroup(group_id=draw.group_id, problem=draw.problem, reason=reason)


def _update(version: int, *, num_groups: int) -> Update:
    metrics = {"policy/loss": 0.25, "group/used": float(num_groups)}
    return Update(
        step=StepResult(metrics=metrics, num_tokens=10, seconds=1.0),
        push=PushResult(policy_version=version + 1, num_tensors=1, num_bytes=8, seconds=0.1),
    )
