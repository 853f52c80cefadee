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
    FinishReason,
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
from driver.evaluation.judging import JudgedRow
from driver.evaluation.results import Example, LanguageResult
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


def a_console() -> Console:
    """Return a console that prints where no one reads."""
    return Console(Terminal(file=io.StringIO(), width=200))


def a_language_result(
    language: str,
    accuracy: float,
    *,
    num_items: int = 100,
    examples: tuple[Example, ...] = (),
    is_in_language: bool | None = True,
) -> LanguageResult:
    """Return an evaluation in which every response is in the asked language; None: that was not measured."""
    return LanguageResult(
        language=language,
        num_items=num_items,
        accuracy=accuracy,
        language_consistency=None if is_in_language is None else float(is_in_language),
        accuracy_in_language=None if is_in_language is None else accuracy * is_in_language,
        declared_rate=0.9,
        truncated_rate=0.0,
        mean_length=30.0,
        examples=examples,
    )


def a_judged_row(
    item_id: str, language: str, *, is_correct: bool, task: str = "mgsm", is_in_language: bool | None = True
) -> JudgedRow:
    """Return how one response of a few words was judged."""
    return JudgedRow(
        task=task,
        language=language,
        item_id=item_id,
        sample=0,
        level="",
        category="",
        tag="",
        question=f"Question {item_id}",
        gold="1",
        response="ja gut",
        thinking="",
        answer="1" if is_correct else "2",
        is_correct=is_correct,
        is_declared=True,
        is_in_language=is_in_language,
        is_in_language_by_lingua=None,
        is_in_language_by_langdetect=None,
        is_thinking_in_language=None,
        switched_lines=0.0,
        num_tokens=3,
        num_thinking_tokens=0,
        is_truncated=False,
        is_correct_by_length=None,
        choice_logprobs=(),
    )


def a_config(*layers: Mapping[str, Mapping[str, object]], **sections: Mapping[str, object]) -> Config:
    """Build a config: the keys that are required, then each layer, then the sections; later keys win.

    Its models are names on a hub.
    """
    merged: dict[str, dict[str, object]] = {}
    for layer in (_LEAST_CONFIG, *layers, sections):
        for name, section in layer.items():
            merged[name] = merged.get(name, {}) | dict(section)
    return Config.model_validate(merged)


def a_problem(
    item_id: str = "a", language: str = "de", *, question: str | None = None, answer: str | None = None
) -> Problem:
    return Problem(
        item_id=item_id,
        language=language,
        question=question or f"Frage {item_id} ({language})?",
        question_en=f"Question {item_id}?",
        answer=answer,
    )


def a_rollout(
    text: str = "x",
    *,
    token_ids: Sequence[int] = (),
    versions: Sequence[int] = (0,),
    logprob: float = 0.0,
    finish_reason: FinishReason = "stop",
) -> Rollout:
    """Build a rollout of the given tokens, or of one token per version. A single version is that of all tokens."""
    token_ids = token_ids or (1,) * len(versions)
    versions = tuple(versions) * len(token_ids) if len(versions) == 1 else tuple(versions)
    return Rollout(
        token_ids=tuple(token_ids),
        logprobs=(logprob,) * len(token_ids),
        text=text,
        finish_reason=finish_reason,
        token_versions=versions,
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


def a_score(
    reward: float = 0.5,
    *,
    parts: Mapping[str, float] | None = None,
    gates: Mapping[str, bool] | None = None,
    answer: str | None = "1",
) -> Score:
    """Build the score of a right response in the asked language, if nothing else is given."""
    return Score(
        reward=reward,
        parts={"answer": reward, "reasoning": 0.0} if parts is None else parts,
        gates={"language": True} if gates is None else gates,
        answer=answer,
    )


def a_reference(text: str = REFERENCE, *, item_id: str = "a", key: str = "k", num_tokens: int = 5) -> Reference:
    """Build a reference that was accepted by its only draw."""
    return Reference(
        item_id=item_id, key=key, text=text, num_tokens=num_tokens, verdict="accepted", num_votes=1, num_drawn=1
    )


def a_draw(problem: Problem, *, number: int = 0) -> PromptDraw:
    return PromptDraw(number=number, epoch_index=number, problem=problem)


def a_scored_group(
    problem: Problem,
    scores: Sequence[Score | Unscored],
    *,
    number: int = 0,
    rollouts: Sequence[Rollout] = (),
    versions: Sequence[int] = (0,),
    reference: Reference | None = None,
) -> ScoredGroup:
    """Build a group of these rollouts, or with one response per score, each of one token per version."""
    return ScoredGroup(
        group=Group(
            group_id=a_draw(problem, number=number).group_id,
            problem=problem,
            prompt_token_ids=(1,),
            rollouts=tuple(rollouts) or (a_rollout(versions=versions, logprob=-1.0),) * len(scores),
        ),
        reference=reference or a_reference("The answer is 1.", item_id=problem.item_id),
        scores=tuple(scores),
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
