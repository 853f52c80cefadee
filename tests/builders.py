"""Build the values that many tests need, one builder a type. A test names only what it is about."""

import io
from collections.abc import Mapping, Sequence

from pydantic import TypeAdapter
from rich.console import Console as Terminal

from contracts.config.data import DataConfig
from contracts.config.learning import AlgorithmConfig, GrpoConfig, PpoConfig
from contracts.config.reward import ReasoningConfig
from contracts.config.run import Config
from contracts.rollouts import (
    Group,
    Problem,
    PromptDraw,
    Reference,
    Rollout,
    SamplingRequest,
    Score,
    ScoredGroup,
    ScoreRequest,
    Unscored,
)
from driver.evaluation.measure import Example, LanguageResult
from driver.tracking.console import Console
from rewards.reading import Reading, read_group

QUESTION = "Roger hat 5 Tennisbälle und kauft noch 6 Tennisbälle dazu. Wie viele Tennisbälle hat er jetzt?"
REFERENCE = "Together that makes 5 + 6 = 11 balls. The answer is 11."

_LEAST_CONFIG: Mapping[str, Mapping[str, object]] = {
    "policy": {"model": "some-org/policy"},
    "pivot": {"model": "some-org/pivot"},
    "scorer": {"model": "some-org/encoder"},
    "algorithm": {"steps": 1},
}


def a_config(**sections: Mapping[str, object]) -> Config:
    """Return a config with the given keys, section by section; its models are names on a hub."""
    names = {**_LEAST_CONFIG, **sections}
    return Config.model_validate({name: {**_LEAST_CONFIG.get(name, {}), **sections.get(name, {})} for name in names})


def a_console() -> Console:
    """Return a console that prints where no one reads."""
    return Console(Terminal(file=io.StringIO(), width=200))


def a_language_result(
    language: str, accuracy: float, *, num_items: int = 100, examples: tuple[Example, ...] = ()
) -> LanguageResult:
    """Return an evaluation in which every response is in the language that was asked for."""
    return LanguageResult(
        language=language,
        num_items=num_items,
        accuracy=accuracy,
        language_consistency=1.0,
        accuracy_in_language=accuracy,
        declared_rate=0.9,
        truncated_rate=0.0,
        mean_length=30.0,
        examples=examples,
    )


def a_reference(text: str = REFERENCE, *, item_id: str = "a") -> Reference:
    """Return an accepted reference."""
    return Reference(item_id=item_id, key="k", text=text, num_tokens=5, verdict="accepted", num_votes=1, num_drawn=1)


def a_problem(item_id: str = "a", language: str = "de") -> Problem:
    return Problem(
        item_id=item_id,
        language=language,
        question=f"Frage {item_id} ({language})?",
        question_en=f"Question {item_id}?",
    )


def a_rollout(text: str = "x", *, versions: Sequence[int] = (0,), logprob: float = 0.0) -> Rollout:
    """Build a finished rollout of one token per version."""
    return Rollout(
        token_ids=(1,) * len(versions),
        logprobs=(logprob,) * len(versions),
        text=text,
        finish_reason="stop",
        token_versions=tuple(versions),
    )


def a_sampling_request(name: str = "a", *, num_samples: int = 1, max_tokens: int = 4) -> SamplingRequest:
    return SamplingRequest(
        request_id=name,
        prompt_token_ids=(1,),
        seeds=tuple(range(7, 7 + num_samples)),
        max_tokens=max_tokens,
        temperature=1.0,
    )


def a_score_request(
    *responses: str, language: str = "de", question: str = "?", reference: str = "The answer is 1."
) -> ScoreRequest:
    """Build a request for these responses, none of them truncated; for two by default."""
    responses = responses or ("x", "x")
    return ScoreRequest(
        language=language,
        question=question,
        question_en="?",
        reference=reference,
        responses=responses,
        truncated=(False,) * len(responses),
    )


def a_score(reward: float) -> Score:
    return Score(reward=reward, parts={"answer": reward, "reasoning": 0.0}, gates={"language": True}, answer="1")


def a_scored_group(
    problem: Problem, scores: tuple[Score | Unscored, ...], *, number: int = 0, versions: Sequence[int] = (0,)
) -> ScoredGroup:
    """Build a group with one response per score, each of one token per version."""
    draw = PromptDraw(number=number, epoch_index=number, problem=problem)
    rollouts = (a_rollout(versions=versions, logprob=-1.0),) * len(scores)
    return ScoredGroup(
        group=Group(group_id=draw.group_id, problem=problem, prompt_token_ids=(1,), rollouts=rollouts),
        reference=a_reference("The answer is 1.", item_id=problem.item_id),
        scores=scores,
    )


def a_reading(
    response: str,
    *,
    language: str = "de",
    question: str = QUESTION,
    reference: str = REFERENCE,
    is_truncated: bool = False,
) -> Reading:
    """Return a response to a question of one step, read as every response is read."""
    request = ScoreRequest(
        language=language,
        question=question,
        question_en="",
        reference=reference,
        responses=(response,),
        truncated=(is_truncated,),
    )
    (reading,) = read_group(request)
    return reading


_ALGORITHM: TypeAdapter[AlgorithmConfig] = TypeAdapter(AlgorithmConfig)
_DATA: TypeAdapter[DataConfig] = TypeAdapter(DataConfig)
_REASONING: TypeAdapter[ReasoningConfig] = TypeAdapter(ReasoningConfig)


def an_algorithm(**keys: object) -> AlgorithmConfig:
    """Build an [algorithm] section of one step; `name` chooses which, grpo by default."""
    return _ALGORITHM.validate_python({"steps": 1} | keys)


def a_grpo(**keys: object) -> GrpoConfig:
    """Build an [algorithm] section with name "grpo" and one step."""
    return GrpoConfig.model_validate({"steps": 1} | keys)


def a_ppo(**keys: object) -> PpoConfig:
    """Build an [algorithm] section with name "ppo" and one step."""
    return PpoConfig.model_validate({"steps": 1, "name": "ppo"} | keys)


def a_data_section(**keys: object) -> DataConfig:
    """Build a [data] section; `source` chooses which, builtin by default."""
    return _DATA.validate_python(keys)


def a_reasoning_section(**keys: object) -> ReasoningConfig:
    """Build a [reward.reasoning] section; `method` chooses which, embedding by default."""
    return _REASONING.validate_python(keys)
