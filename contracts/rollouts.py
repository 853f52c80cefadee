"""The data that flows through a run: one frozen dataclass per arrow of the picture in docs/architecture.md.

    Problem -> Reference, Group -> ScoredGroup -> Candidate -> TrainSample -> TrainBatch -> StepResult
                                                               (contracts/batches.py)

Owns the shapes and their invariants, checked at birth. Must not know torch, Ray or any engine: the driver, the
actors and the rewards all import it. A stage returns a new type; no field is filled in later.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

FinishReason = Literal["stop", "length"]
ReferenceVerdict = Literal["accepted", "truncated", "undecided"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One question in one language, with the English question that the pivot answers.

    `answer` is gold: evaluation and monitoring read it, no reward ever does.
    """

    item_id: str
    language: str  # ISO 639-1 code of `question`
    question: str
    question_en: str
    answer: str | None = None
    translation: str | None = None  # of a reference solution into `language`; only the SFT baseline reads it

    @property
    def group_key(self) -> str:
        """Identity of the (item, language) pair, unique inside a source."""
        return f"{self.item_id}/{self.language}"


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptDraw:
    """A problem's turn in a run: what becomes one group, learned from exactly once or dropped with a reason."""

    number: int  # of the draw in the run, from 0; never used twice
    epoch_index: int  # which turn of its language it is, counted on over all epochs of that language, from 0
    problem: Problem

    @property
    def group_id(self) -> str:
        return f"{self.number}/{self.problem.group_key}"


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingRequest:
    """What an engine is asked for: `num_samples` responses to one prompt."""

    request_id: str
    prompt_token_ids: tuple[int, ...]  # [P] chat template applied, special tokens included
    seeds: tuple[int, ...]  # one per sample: two engines never draw the same sample, a restart draws it again
    max_tokens: int
    temperature: float  # 0 is greedy

    @property
    def num_samples(self) -> int:
        return len(self.seeds)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rollout:
    """One sampled response, exactly as the engine produced it."""

    token_ids: tuple[int, ...]  # [T] response tokens, end-of-sequence token included when it was drawn
    logprobs: tuple[float, ...]  # [T] of the drawn tokens, under the policy and temperature that drew them
    text: str  # decoded by the engine; never encoded again
    finish_reason: FinishReason
    token_versions: tuple[int, ...]  # [T] of the weights that drew each token; never falls

    def __post_init__(self) -> None:
        if not self.token_ids:
            raise ValueError("a rollout of 0 tokens; an engine draws at least one")
        for name, values in (("log-probabilities", self.logprobs), ("token versions", self.token_versions)):
            if len(values) != len(self.token_ids):
                raise ValueError(f"{len(self.token_ids)} token ids but {len(values)} {name}")
        for place, (before, after) in enumerate(pairwise(self.token_versions), start=1):
            if after < before:
                raise ValueError(f"the policy version falls from {before} to {after} at token {place} of a rollout")

    @property
    def policy_version(self) -> int:
        """The oldest, of the weights that drew the first token: staleness is counted from it."""
        return self.token_versions[0]

    @property
    def last_policy_version(self) -> int:
        """The newest: more than `policy_version` where weights were pushed while it was drawn."""
        return self.token_versions[-1]

    @property
    def is_truncated(self) -> bool:
        return self.finish_reason == "length"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """The pivot's English response to one item, shared by all the item's languages.

    Of several it is the first that gives the answer that most of them give. Only an accepted one is compared with:
    one that was cut off says nothing to the end, and where the pivot disagrees with itself nobody knows the answer.
    """

    item_id: str
    key: str  # cache key, 32 hexadecimal digits: question, pivot and sampling (driver/references/store.py)
    text: str
    num_tokens: int
    verdict: ReferenceVerdict
    num_votes: int  # that gave its answer
    num_drawn: int  # responses that could vote


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """The rollouts of one problem; the unit that is scored, learned from or dropped."""

    group_id: str  # PromptDraw.group_id: "<number of the draw>/<item_id>/<language>", unique in a run
    problem: Problem
    prompt_token_ids: tuple[int, ...]  # [P]
    rollouts: tuple[Rollout, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ParallelSolution:
    """One worked solution in a language beside its English original: what calibration and the audit measure on."""

    item_id: str
    language: str  # ISO 639-1 code of `question` and `solution`
    question: str
    solution: str  # reasoning and the declared final answer
    question_en: str
    solution_en: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerProbabilityRequest:
    """How likely one answer is after several reasonings: each prompt is prompt, reasoning and closing phrase."""

    request_id: str
    prompts: tuple[tuple[int, ...], ...]  # [N][P] one a response
    answer_token_ids: tuple[int, ...]  # [A] the same answer after each


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreRequest:
    """What a scorer is told about one group: text only, no gold answer.

    The last two are evidence that only the driver's engines can give; empty where the reward does not ask for it.
    """

    language: str
    question: str
    question_en: str
    reference: str
    responses: tuple[str, ...]
    truncated: tuple[bool, ...]
    step: int = 0  # of the run; weight schedules read it
    translations: tuple[str, ...] = ()  # of each response's reasoning into English
    answer_probabilities: tuple[float, ...] = ()  # of the pivot's answer after each response's reasoning, in [0, 1]

    def __post_init__(self) -> None:
        for name, values in (
            ("truncated", self.truncated),
            ("translations", self.translations),
            ("answer_probabilities", self.answer_probabilities),
        ):
            if len(values) != len(self.responses) and (values or name == "truncated"):
                raise ValueError(f"{len(values)} {name} for {len(self.responses)} responses")


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """What one response is worth, with every named part and gate that made it so."""

    reward: float
    parts: Mapping[str, float]  # e.g. {"answer": 1.0, "reasoning": 0.4}; unweighted, in [0, 1]
    gates: Mapping[str, bool]  # e.g. {"language": True, "format": False}; False is shut, and the reward is 0
    answer: str | None  # the response's final answer, normalised; None where none was declared


@dataclass(frozen=True, kw_only=True, slots=True)
class Unscored:
    """A response that could not be scored: it leaves the baseline and the loss. Never a reward of 0."""

    reason: str  # short and countable
    detail: str = ""  # e.g. the traceback of a user's own reward


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredGroup:
    """A group with one score per rollout, in the same order."""

    group: Group
    reference: Reference
    scores: tuple[Score | Unscored, ...]

    def __post_init__(self) -> None:
        if len(self.scores) != len(self.group.rollouts):
            raise ValueError(f"{len(self.scores)} scores for {len(self.group.rollouts)} rollouts")


@dataclass(frozen=True, kw_only=True, slots=True)
class DroppedGroup:
    """A group that is not learned from, and why; it ends in events.jsonl."""

    group_id: str
    problem: Problem
    reason: str  # short and countable, e.g. "no_signal", "reference_truncated"
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One response that may be learned from: its reward is known, its advantage isn't yet."""

    group_id: str
    prompt_token_ids: tuple[int, ...]  # [P]
    response_token_ids: tuple[int, ...]  # [T]
    sampling_logprobs: tuple[float, ...]  # [T] the engine's, at the sampling temperature
    signal: float  # the reward as the advantage reads it (rewards/compose.py)
    is_truncated: bool
    policy_version: int
