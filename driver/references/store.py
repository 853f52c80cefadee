"""Get references: the pivot's English response to each item, asked for once and kept in a cache.

An item is asked for at most once at a time, however many languages need it. The cache's key is defined here. The pivot
is reached through the `Generator` port only.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from contracts.config.run import Config
from contracts.fingerprints import model_fingerprint
from contracts.ports import Generator
from contracts.rollouts import Problem, Reference, SamplingRequest
from contracts.seeds import sampling_seeds
from driver.problems.gold import gold_number
from driver.problems.prompts import Prompter
from driver.references.cache import ReferenceCache
from driver.references.vote import vote
from rewards.answers.final import final_answer, same_answer


@dataclass(frozen=True, kw_only=True)
class PivotSampling:
    """Hold what determines a reference besides the prompt; all but `min_agreement` is part of the cache's key."""

    fingerprint: str  # of the pivot's files, see `model_fingerprint`
    max_tokens: int  # of a response
    temperature: float
    seed: int  # has no effect at temperature 0
    num_references: int = 1  # responses that are drawn and vote
    stop_tokens: tuple[str, ...] = ()
    thinking_markers: tuple[tuple[str, str], ...] = ()  # the reference is what follows the thinking
    min_agreement: float = 0.0  # share of several responses that must give the winning answer; checked at every read

    @classmethod
    def of(cls, config: Config) -> "PivotSampling":
        """Return the settings of a config whose paths are absolute."""
        return cls(
            fingerprint=model_fingerprint(config.pivot.model, with_code=config.pivot.trust_remote_code),
            max_tokens=config.pivot.max_response_tokens,
            temperature=config.pivot.temperature,
            seed=config.run.seed,
            num_references=config.pivot.num_references,
            stop_tokens=config.pivot.stop_tokens,
            thinking_markers=config.pivot.thinking_markers,
            min_agreement=config.pivot.min_agreement,
        )

    def key(self, prompt_token_ids: tuple[int, ...]) -> str:
        """Return the cache key of a prompt [P], whose tokens hold question, exemplars and chat template."""
        seed = self.seed if self.temperature > 0 else 0
        parts = [
            self.fingerprint,
            self.max_tokens,
            self.temperature,
            seed,
            self.num_references,
            self.stop_tokens,
            self.thinking_markers,
            list(prompt_token_ids),
        ]
        return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()

    def origin(self, model: str, prompter: Prompter) -> dict[str, str]:
        """Return what decides the references, by config key, for people. `model` is the pivot's name."""
        day = prompter.template.day
        return {
            "pivot.model": f"{model} ({self.fingerprint[:12]})",
            **({"run.date": day.isoformat()} if day is not None else {}),
            "pivot.max_response_tokens": str(self.max_tokens),
            "pivot.temperature": f"{self.temperature:g}",
            **({"run.seed": str(self.seed)} if self.temperature > 0 else {}),
            "pivot.num_references": str(self.num_references),
            "prompt": self.key(prompter.reference_prompt("1 + 1?"))[:12],
        }

    def with_verdict(self, reference: Reference) -> Reference:
        """Return the reference with its verdict under `min_agreement`.

        The cache does not depend on `min_agreement`: another share needs no new responses.
        """
        share = reference.num_votes / reference.num_drawn
        if reference.verdict == "accepted" and reference.num_drawn > 1 and share < self.min_agreement:
            return replace(reference, verdict="undecided")
        return reference


@dataclass
class ReferenceCounts:
    """Count how references were obtained since the counts were last taken: the basis of a step's `pivot/*` metrics.

    A reference is counted once for each problem that asked for it. Gold answers are compared for the metrics only, and
    are used nowhere else.
    """

    asked: int = 0  # references that problems asked for
    cached: int = 0  # of these, found in the cache
    shared: int = 0  # of these, joined to a running request
    requests: int = 0  # requests to the pivot
    answered: int = 0  # finished requests
    seconds: float = 0.0  # sum over the finished requests
    tokens: int = 0  # drawn by the pivot for the finished requests
    truncated: int = 0  # rejected references: all responses were cut off
    undecided: int = 0  # rejected references: no answer has enough votes
    num_voted: int = 0  # references of several responses, which voted
    agreement: float = 0.0  # sum over these of the share of responses that gave the winning answer
    with_gold: int = 0  # accepted references of problems with a known answer
    correct: int = 0  # of these, references that give this answer

    def count(self, problem: Problem, reference: Reference) -> None:
        """Count the reference that a problem got."""
        if reference.num_drawn > 1:
            self.num_voted += 1
            self.agreement += reference.num_votes / reference.num_drawn
        self.truncated += reference.verdict == "truncated"
        self.undecided += reference.verdict == "undecided"
        if reference.verdict == "accepted" and (gold := gold_number(problem)) is not None:
            answer = final_answer(reference.text, "en")
            self.with_gold += 1
            self.correct += answer is not None and same_answer(answer, gold)


@dataclass(kw_only=True)
class KnownReferences:
    """Find references in the cache."""

    prompt: Callable[[str], tuple[int, ...]]  # English question -> prompt token ids [P]
    sampling: PivotSampling
    cache: ReferenceCache
    counts: ReferenceCounts = field(default_factory=ReferenceCounts)

    def find(self, problem: Problem) -> Reference | None:
        """Return the item's reference, accepted or not; None, uncounted, if the cache does not have it.

        Raises:
            BadInput: the question is too long for the pivot.
        """
        return self._find(problem, self.sampling.key(self.prompt(problem.question_en)))

    def _find(self, problem: Problem, key: str) -> Reference | None:
        if (known := self.cache.get(key)) is None:
            return None
        known = self.sampling.with_verdict(known)
        self.counts.asked += 1
        self.counts.cached += 1
        self.counts.count(problem, known)
        return known


@dataclass(kw_only=True)
class ReferenceStore(KnownReferences):
    """Get the reference of a problem's item from the cache, or ask the pivot for it."""

    pivot: Generator
    clock: Callable[[], float] = time.monotonic
    _in_flight: dict[str, asyncio.Future[Reference]] = field(default_factory=dict)

    async def get(self, problem: Problem) -> Reference:
        """Return the item's reference, accepted or not. Languages of one item share it, even a running request.

        Raises:
            BadInput: the question is too long for the pivot.
            RunFailed: the pivot's workers failed. Nothing is kept: the next call starts a new request.
        """
        prompt_token_ids = self.prompt(problem.question_en)
        key = self.sampling.key(prompt_token_ids)
        if (known := self._find(problem, key)) is not None:
            return known
        self.counts.asked += 1
        if (pending := self._in_flight.get(key)) is None:
            self.counts.requests += 1
            pending = asyncio.ensure_future(self._ask(problem.item_id, key, prompt_token_ids))
            self._in_flight[key] = pending
        else:
            self.counts.shared += 1
        reference = self.sampling.with_verdict(await asyncio.shield(pending))
        self.counts.count(problem, reference)
        return reference

    def take_counts(self) -> ReferenceCounts:
        """Return the counts since the last call."""
        taken, self.counts = self.counts, ReferenceCounts()
        return taken

    async def _ask(self, item_id: str, key: str, prompt_token_ids: tuple[int, ...]) -> Reference:
        started = self.clock()
        try:
            responses = await self.pivot.sample(
                SamplingRequest(
                    request_id=f"reference-{key}",
                    prompt_token_ids=prompt_token_ids,
                    seeds=sampling_seeds(self.sampling.seed, "reference", key, num=self.sampling.num_references),
                    max_tokens=self.sampling.max_tokens,
                    temperature=self.sampling.temperature,
                )
            )
        finally:
            del self._in_flight[key]
        self.counts.answered += 1
        self.counts.seconds += self.clock() - started
        self.counts.tokens += sum(len(response.token_ids) for response in responses)
        outcome = vote(responses)
        reference = Reference(
            item_id=item_id,
            key=key,
            text=responses[outcome.chosen].text,
            num_tokens=len(responses[outcome.chosen].token_ids),
            verdict=outcome.verdict,
            num_votes=outcome.num_votes,
            num_drawn=len(responses),
        )
        self.cache.add(reference)
        return reference
