"""Run our side: the project's own GRPO recipe on a policy worker and learner ranks, started as a run starts them.

Two parts that TRL's side does not have are replaced: the pivot by one whose responses are empty, and the scorer by one
that counts characters. Both are in the driver's process. Generation, advantages, packing, learning and the push are a
run's.
"""

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from actors.engine import EngineWorker
from actors.fleets.engines import EnginePool
from actors.fleets.learner import LearnerRanks
from actors.fleets.supervisor import Supervisor
from actors.remote.calls import ready
from benchmarks.start import start_learner
from cluster.launch import start_actor
from cluster.reserve import Bundles
from cluster.team import policy_arguments
from contracts.config.learning import GrpoConfig
from contracts.config.run import Config
from contracts.rollouts import Rollout, SamplingRequest, Score, ScoreRequest
from driver.inputs import TrainingInputs, open_stream
from driver.problems.draws import Draws
from driver.problems.stream import first_draws
from driver.recipes.grpo import train_grpo
from driver.recipes.loop import LearningSettings, Loop
from driver.references.cache import ReferenceCache
from driver.references.store import PivotSampling, ReferenceStore
from driver.rollouts.buffer import RolloutBuffer
from driver.rollouts.pipeline import Sampling, Stages
from driver.rollouts.selection import BufferRules
from driver.tracking.step_record import Recorder
from languages.facts import LANGUAGES

SPARE_TOKEN = "<repo_name>"
"""A special token of SmolLM2's tokenizer that is drawn never: it is left over from another training."""


class SilentPivot:
    """Be a `Generator` whose responses are empty: the reward does not read references."""

    async def sample(self, request: SamplingRequest) -> tuple[Rollout, ...]:
        """Return one empty response for each seed."""
        empty = Rollout(token_ids=(0,), logprobs=(0.0,), text="", finish_reason="stop", token_versions=(0,))
        return (empty,) * request.num_samples


class LengthScorer:
    """Be a `Scorer` whose reward is the number of characters of a response, as on TRL's side."""

    async def score(self, request: ScoreRequest) -> tuple[Score, ...]:
        """Return one score for each response."""
        return tuple(Score(reward=float(len(text)), parts={}, gates={}, answer=None) for text in request.responses)

    async def take_stats(self) -> dict[str, float]:
        """Return no counters."""
        return {}


@dataclass(frozen=True)
class OurActors:
    """Hold the loaded actors of a step. The policy worker serves the learner's weights."""

    policy: EnginePool
    learner: LearnerRanks
    processes: tuple[int, ...]  # ids, the driver's own first


async def start_actors(config: Config, bundles: Bundles) -> OurActors:
    """Start one policy worker and the learner's ranks, in the order of the bundles."""
    policy_at, *learner_at = bundles.layout.placements
    worker = start_actor(EngineWorker, policy_at, bundles, policy_arguments(config, bundles.layout.device))
    loaded, (learner, ranks) = await asyncio.gather(
        ready([policy_at.name], [worker]),
        start_learner(config, bundles, places=learner_at, policy_workers=[worker]),
    )
    await learner.push_weights(0)
    return OurActors(
        EnginePool(Supervisor.of_loaded("policy", [worker])),
        learner,
        processes=(os.getpid(), loaded[policy_at.name].pid, *ranks),
    )


async def train(config: Config, inputs: TrainingInputs, actors: OurActors, recorder: Recorder) -> None:
    """Run all steps of the config. The recorder is called at the start and the end of each."""
    stages = Stages(
        policy=actors.policy,
        references=ReferenceStore(
            pivot=SilentPivot(),
            prompt=inputs.pivot_prompter.reference_prompt,
            sampling=PivotSampling(fingerprint="silent", max_tokens=1, temperature=0.0, seed=0),
            cache=ReferenceCache(None),
        ),
        scorer=LengthScorer(),
        prompt=inputs.evaluation.prompter.prompt_token_ids,
        sampling=Sampling(
            group_size=config.algorithm.samples_per_problem,
            max_tokens=config.policy.max_response_tokens,
            temperature=config.policy.temperature,
            run_seed=config.run.seed,
        ),
    )
    assert isinstance(config.algorithm, GrpoConfig)
    settings = LearningSettings.of(config, pad_token_id=inputs.evaluation.pad_token_id)
    loop = Loop(learner=actors.learner, recorder=recorder, settings=settings)
    buffer = RolloutBuffer(
        Draws(open_stream(config, inputs.source)),
        stages=stages,
        rules=BufferRules(algorithm=config.algorithm, reward=config.reward),
        clock=loop.clock,
    )
    try:
        await train_grpo(buffer, loop=loop)
    finally:
        await buffer.close()


def chats(config: Config, inputs: TrainingInputs) -> Sequence[list[dict[str, str]]]:
    """Return the prompts of all steps in order, before the chat template."""
    stream, algorithm = open_stream(config, inputs.source), config.algorithm
    drawn = (draw.problem for draw in first_draws(stream, algorithm.steps * algorithm.groups_per_step))
    prompter = inputs.evaluation.prompter
    return [prompter.messages(problem.question, LANGUAGES[problem.language]) for problem in drawn]


def make_endless(model: Path, folder: Path, *, spare_token: str = SPARE_TOKEN) -> Path:
    """Make a copy of a model in `folder` whose responses always have the longest length, and return `folder`.

    Its end of sequence is a token that is never drawn. Both sides load it, so neither pays for suppressing the end, and
    both draw exactly as many tokens.

    Raises:
        ValueError: the tokenizer has no such token.
    """
    tokens = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    ids = [token["id"] for token in tokens if token["content"] == spare_token]
    if not ids:
        raise ValueError(f"{model} has no token {spare_token!r} to end sequences with; use SmolLM2-135M-Instruct")
    changes: dict[str, dict[str, object]] = {
        "config.json": {"eos_token_id": ids[0]},
        "generation_config.json": {"eos_token_id": ids[0]},
        "tokenizer_config.json": {"eos_token": spare_token},
    }
    for file in model.iterdir():
        if file.name in changes:
            settings = json.loads(file.read_text(encoding="utf-8")) | changes[file.name]
            (folder / file.name).write_text(json.dumps(settings, indent=2), encoding="utf-8")
        else:
            (folder / file.name).symlink_to(file.resolve())
    return folder
