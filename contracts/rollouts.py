"""Define the data of a run, from a problem to a response that may be learned from: one frozen dataclass per stage.

    Problem -> Reference, Group -> ScoredGroup -> Candidate -> TrainSample -> TrainBatch -> StepResult

The last three are the learner's data, in a module of their own. Each type checks its shapes when it is created. A stage
returns a new type; no field is filled in later. Driver, actors and rewards import this module, so it imports neither
torch, Ray nor an engine.

Shapes: P prompt tokens, T response tokens, N responses, A answer tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

FinishReason = Literal["stop", "length"]
ReferenceVerdict = Literal["accepted", "truncated", "undecided"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Hold one question in one language, and the English question that the pivot answers.

    `answer` is the gold answer: evaluation and monitoring read it, no reward does.
    """

    item_id: str
    language: str  # ISO 639-1 code of `question`
    question: str
    question_en: str
    answer: str | None = None
    translation: str | None = None  # a reference solution in `language`; only supervised fine-tuning reads it

    @property
    def group_key(self) -> str:
        """Return the name of the (item, language) pair, which is unique in a source."""
        return f"{self.item_id}/{self.language}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptDraw:
    """Hold one draw of a problem. It becomes one group, which is learned from exactly once or dropped with a reason."""

    number: int  # of the draw in the run, from 0; never used twice
    epoch_index: int  # of the problem in the order of its language, from 0; it counts on over all epochs
    problem: Problem

    @property
    def group_id(self) -> str:
        """Return the name of the draw's group, which is unique in a run."""
        return f"{self.number}/{self.problem.group_key}"


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingRequest:
    """Ask an engine for `num_samples` responses to one prompt."""

    request_id: str
    prompt_token_ids: tuple[int, ...]  # [P] chat template applied, special tokens included
    seeds: tuple[int, ...]  # one for each response; a restarted engine samples the same again
    max_tokens: int
    temperature: float  # 0 is greedy

    @property
    def num_samples(self) -> int:
        """Return the number of responses that are asked for."""
        return len(self.seeds)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rollout:
    """Hold one sampled response, exactly as the engine produced it."""

    token_ids: tuple[int, ...]  # [T] response tokens, with the end-of-sequence token if it was sampled
    logprobs: tuple[float, ...]  # [T] of the sampled tokens, under the policy and temperature that sampled them
    text: str  # decoded by the engine, without thinking; never encoded again
    finish_reason: FinishReason
    token_versions: tuple[int, ...]  # [T] policy version that sampled each token; it never falls
    thinking: str = ""  # what a thinking model wrote before its answer, without markers
    num_thinking_tokens: int = 0  # of the T tokens, the first ones: thinking with its markers

    def __post_init__(self) -> None:
        if not self.token_ids:
            raise ValueError("a rollout of 0 tokens; an engine samples at least one")
        for name, values in (("log-probabilities", self.logprobs), ("token versions", self.token_versions)):
            if len(values) != len(self.token_ids):
                raise ValueError(f"{len(self.token_ids)} token ids but {len(values)} {name}")
        for index, (before, after) in enumerate(pairwise(self.token_versions), start=1):
            if after < before:
                raise ValueError(f"the policy version falls from {before} to {after} at token {index} of a rollout")

    @property
    def policy_version(self) -> int:
        """Return the oldest version, which sampled the first token: staleness is counted from it."""
        return self.token_versions[0]

    @property
    def last_policy_version(self) -> int:
        """Return the newest version; above `policy_version` if weights were pushed during sampling."""
        return self.token_versions[-1]

    @property
    def is_truncated(self) -> bool:
        """Return whether the response was cut off at its longest length."""
        return self.finish_reason == "length"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """Hold the pivot's English response to one item; all languages of the item share it.

    Of several responses it is the first with the answer that most of them give. Responses are compared only with an
    accepted reference: a truncated one lacks its end, and an undecided one has no answer that the pivot agrees on.
    """

    item_id: str
    key: str  # cache key, 32 hexadecimal digits: a digest of question, pivot and sampling
    text: str
    num_tokens: int
    verdict: ReferenceVerdict
    num_votes: int  # responses that gave its answer
    num_drawn: int  # responses that could vote


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Hold the rollouts of one problem: the unit that is scored, learned from or dropped."""

    group_id: str  # PromptDraw.group_id: "<number of the draw>/<item_id>/<language>"
    problem: Problem
    prompt_token_ids: tuple[int, ...]  # [P]
    rollouts: tuple[Rollout, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ParallelSolution:
    """Hold a worked solution in one language and its English original, for calibration and for the audit."""

    item_id: str
    language: str  # ISO 639-1 code of `question` and `solution`
    question: str
    solution: str  # reasoning and the declared final answer
    question_en: str
    solution_en: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerProbabilityRequest:
    """Ask for the probability of one answer after several reasonings.

    "mean_probability" is the mean over the answer's tokens, in [0, 1]; "log_likelihood" the sum of their
    log-probabilities, in nats.
    """

    request_id: str
    prompts: tuple[tuple[int, ...], ...]  # [N][P] for each response: prompt, reasoning and closing phrase
    answer_token_ids: tuple[int, ...]  # [A] the same answer after each prompt
    measure: Literal["mean_probability", "log_likelihood"] = "mean_probability"


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreRequest:
    """Ask a scorer to score one group: texts only, without the gold answer.

    `translations` and `answer_probabilities` are engine features: the run's engines compute them. They are empty if the
    reward does not use them.
    """

    language: str
    question: str
    question_en: str
    reference: str
    responses: tuple[str, ...]  # [N] without thinking
    truncated: tuple[bool, ...]  # [N]
    step: int = 0  # of the run; a schedule of weights reads it
    translations: tuple[str, ...] = ()  # [N] each reasoning in English, or ()
    answer_probabilities: tuple[float, ...] = ()  # [N] of the pivot's answer after each reasoning, in [0, 1], or ()
    thinking: tuple[str, ...] = ()  # [N] before each response, without markers, or ()

    def __post_init__(self) -> None:
        for name, values in (
            ("truncated", self.truncated),
            ("translations", self.translations),
            ("answer_probabilities", self.answer_probabilities),
            ("thinking", self.thinking),
        ):
            if len(values) != len(self.responses) and (values or name == "truncated"):
                raise ValueError(f"{len(values)} {name} for {len(self.responses)} responses")


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """Hold the reward of one response, with the components and gates that it comes from."""

    reward: float
    parts: Mapping[str, float]  # e.g. {"answer": 1.0, "reasoning": 0.4}; unweighted, in [0, 1]
    gates: Mapping[str, bool]  # e.g. {"language": True, "format": False}; False is a closed gate, and the reward is 0
    answer: str | None  # the response's final answer, normalised; None if it declares none


@dataclass(frozen=True, kw_only=True, slots=True)
class Unscored:
    """Say why a response could not be scored. It is left out of baseline and loss; it never counts as a reward of 0."""

    reason: str  # short, so that reasons can be counted
    detail: str = ""  # e.g. the traceback of a user's own reward


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredGroup:
    """Hold a group with one score for each rollout, in the same order."""

    group: Group
    reference: Reference
    scores: tuple[Score | Unscored, ...]

    def __post_init__(self) -> None:
        if len(self.scores) != len(self.group.rollouts):
            raise ValueError(f"{len(self.scores)} scores for {len(self.group.rollouts)} rollouts")


@dataclass(frozen=True, kw_only=True, slots=True)
class DroppedGroup:
    """Say why a group is not learned from; it is written to events.jsonl."""

    group_id: str
    problem: Problem
    reason: str  # short, so that reasons can be counted, e.g. "no_signal", "reference_truncated"
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """Hold one response that may be learned from: its reward is known, its advantage is not yet."""

    group_id: str
    prompt_token_ids: tuple[int, ...]  # [P]
    response_token_ids: tuple[int, ...]  # [T]
    sampling_logprobs: tuple[float, ...]  # [T] the engine's, at the sampling temperature
    shaped_reward: float  # the reward that advantages are computed from: after normalising its components, if asked for
    is_truncated: bool
    policy_version: int
