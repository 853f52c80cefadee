"""Draw a few responses of the policy, and bring them through references, gates and reward as a run does."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cluster.layout import Role, training_roles
from cluster.preflight.models import is_here
from cluster.team import Team
from contracts.config.run import Config
from contracts.ports import Console
from contracts.rollouts import DroppedGroup, Rollout, Score, ScoredGroup
from driver.calibration import TranslatedSimilarities, calibration_for
from driver.config_paths import loaded_models
from driver.inputs import TrainingInputs, open_stream
from driver.references.cache import ReferenceCache
from driver.references.store import PivotSampling, ReferenceStore
from driver.rollouts.engine_features import engine_feature_source
from driver.rollouts.pipeline import Sampling, Stages, score_draw
from driver.rollouts.stage_clock import StageClock

_IN_A_GROUP = 2
_MOST = 0.5
"""A share of the samples above which a closed gate, or a response that is cut off, is worth a warning."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Hold one response, and what became of it."""

    language: str
    text: str
    reward: float | None  # None: it was not scored
    closed: tuple[str, ...] = ()  # gates
    why: str = ""  # why it was not scored
    is_truncated: bool = False
    answer: str | None = None


def sampled_roles(config: Config) -> tuple[Role, ...]:
    """Return the roles that samples need; none where a run scores nothing."""
    roles = training_roles(config)
    return tuple(role for role in roles if role != "learner") if "scorer" in roles else ()


def missing_models(config: Config) -> list[str]:
    """Return the models that samples need and that are not on this machine; nothing is downloaded."""
    sections = loaded_models(config, sampled_roles(config))
    return [getattr(config, section).model for section in sections if not is_here(getattr(config, section).model)]


async def draw_samples(
    config: Config, inputs: TrainingInputs, team: Team, *, num: int, console: Console
) -> list[Sample]:
    """Return about `num` samples of the first draws of a run, the languages in turn.

    Raises:
        RunFailed: an actor could not load its model, or died.
    """
    try:
        await team.start_pivot()
        await team.start_frozen_policy()
        await team.start_scorers(config.data.languages, custom_source=inputs.custom_source)
        stages = await _stages(config, inputs, team, console)
        stream, clock = open_stream(config, inputs.source), StageClock()
        samples: list[Sample] = []
        with console.phase("drawing samples", total=num) as done:
            while len(samples) < num:
                draw = stream.draw()
                found = await score_draw(draw, step=0, attempt=0, stages=stages, clock=clock)
                samples += _samples_of(found)
                done(min(len(samples), num))
        stages.references.cache.save()
        return samples[:num]
    finally:
        await team.close()


async def _stages(config: Config, inputs: TrainingInputs, team: Team, console: Console) -> Stages:
    features = engine_feature_source(config, policy=team.policy, pivot=team.pivot)
    scorers = team.scorer
    if features is not None and features.translations is not None:
        scorers = TranslatedSimilarities(scorers=team.scorer, translations=features.translations)
    reasoning, languages = config.reward.reasoning, config.data.languages
    calibration = await calibration_for(reasoning, scorers, languages=languages, console=console)
    if calibration is not None:
        await team.scorer.use_calibration(calibration)
    return Stages(
        policy=team.policy,
        references=ReferenceStore(
            pivot=team.pivot,
            prompt=inputs.pivot_prompter.reference_prompt,
            sampling=PivotSampling.of(config),
            cache=ReferenceCache(config.pivot.cache_folder, note=console.note),
        ),
        scorer=team.scorer,
        prompt=inputs.evaluation.prompter.prompt_token_ids,
        sampling=Sampling(
            group_size=_IN_A_GROUP,
            max_tokens=config.policy.max_response_tokens,
            temperature=config.policy.temperature,
            run_seed=config.run.seed,
        ),
        engine_features=features,
    )


def _samples_of(found: ScoredGroup | DroppedGroup) -> list[Sample]:
    if isinstance(found, DroppedGroup):
        return [Sample(language=found.problem.language, text="", reward=None, why=found.reason)]
    pairs = zip(found.group.rollouts, found.scores, strict=True)
    return [_sample(found.group.problem.language, rollout, score) for rollout, score in pairs]


def _sample(language: str, rollout: Rollout, score: object) -> Sample:
    text, is_truncated = " ".join(rollout.text.split()), rollout.is_truncated
    if not isinstance(score, Score):
        why = str(getattr(score, "reason", ""))
        return Sample(language=language, text=text, reward=None, why=why, is_truncated=is_truncated)
    closed = tuple(gate for gate, is_open in score.gates.items() if not is_open)
    return Sample(
        language=language,
        text=text,
        reward=score.reward,
        closed=closed,
        is_truncated=is_truncated,
        answer=score.answer,
    )


def lessons(samples: Sequence[Sample], config: Config) -> Iterator[str]:
    """Yield what the samples warn of: most are cut off, not scored, or shut out by one gate; or none earns anything."""
    num = len(samples)
    if cut := _many(sum(sample.is_truncated for sample in samples), num):
        limit = config.policy.max_response_tokens
        yield f"{cut} samples are cut off at policy.max_response_tokens {limit}; raise it"
    for why, count in Counter(sample.why for sample in samples if sample.why).items():
        way = {
            "reference_truncated": f"; raise pivot.max_response_tokens ({config.pivot.max_response_tokens})",
            "reference_undecided": "; lower pivot.min_agreement, or choose a stronger pivot",
        }.get(why, "")
        yield f"{count} of {num} samples can't be scored ({why}){way}"
    for gate, count in Counter(gate for sample in samples for gate in sample.closed).items():
        if many := _many(count, num):
            yield f"{many} samples are shut out by the gate {gate!r} (docs/rewards.md)"
    rewards = [sample.reward for sample in samples if sample.reward is not None]
    if rewards and max(rewards) == 0:
        yield "no sample earns a reward: a run learns only from groups whose responses differ in it"


def _many(count: int, num: int) -> str:
    return f"{count} of {num}" if count > _MOST * num else ""
