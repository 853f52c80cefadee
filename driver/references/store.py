"""References: the pivot's English response to every item, asked for once and kept in a cache.

Owns the cache's key and the promise that one item is in flight at most once, however many languages ask for it. Asks
the pivot only through the `Generator` port; knows no engine, no reward and no file.
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
from driver.references.cache import ReferenceCache
from driver.references.vote import vote
from rewards.answers.final import final_answer, same_answer


@dataclass(frozen=True, kw_only=True)
class PivotSampling:
    """What, beside the prompt, decides the reference; all but `min_agreement` is part of the cache's key."""

    fingerprint: str  # of the pivot's weights, see `model_fingerprint`
    max_tokens: int
    temperature: float
    seed: int  # without effect at temperature 0
    num_references: int = 1  # responses that are drawn and vote
    min_agreement: float = 0.0  # share of several that must give the winning answer; judged whenever one is read

    @classmethod
    def of(cls, config: Config) -> "PivotSampling":
        """As a config has it, its paths absolute."""
        return cls(
            fingerprint=model_fingerprint(config.pivot.model),
            max_tokens=config.pivot.max_response_tokens,
            temperature=config.pivot.temperature,
            seed=config.run.seed,
            num_references=config.pivot.num_references,
            min_agreement=config.pivot.min_agreement,
        )

    def key(self, prompt_token_ids: tuple[int, ...]) -> str:
        """Cache key of one prompt: the tokens hold the question, the exemplars and the chat template."""
        seed = self.seed if self.temperature > 0 else 0
        parts = [
            self.fingerprint,
            self.max_tokens,
            self.temperature,
            seed,
            self.num_references,
            list(prompt_token_ids),
        ]
        return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()

    def judged(self, reference: Reference) -> Reference:
        """A reference with its verdict under `min_agreement`, which the cache doesn't know: another share needs no new
        responses."""
        share = reference.num_votes / reference.num_drawn
        if reference.verdict == "accepted" and reference.num_drawn > 1 and share < self.min_agreement:
            return replace(reference, verdict="undecided")
        return reference


@dataclass
class ReferenceCounts:
    """Since they were last taken. What is counted of references counts once for each problem that asked."""

    asked: int = 0  # by problems
    cached: int = 0  # of them, found in the cache
    shared: int = 0  # of them, that joined a request which was under way
    requests: int = 0  # that went to the pivot
    answered: int = 0  # of the requests, that came back
    seconds: float = 0.0  # that those took, added up
    tokens: int = 0  # that the pivot drew for them
    truncated: int = 0  # references that were rejected: all responses were cut off
    undecided: int = 0  # references that were rejected: no answer has the votes it needs
    num_voted: int = 0  # references that were voted on: of several responses
    agreement: float = 0.0  # of those, shares of the responses that gave the winning answer, added up
    with_gold: int = 0  # accepted references of problems whose answer is known
    correct: int = 0  # of them, that give it

    def see(self, problem: Problem, reference: Reference) -> None:
        """A problem got its reference."""
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
    """The references that the cache has."""

    prompt: Callable[[str], tuple[int, ...]]  # English question -> prompt token ids
    sampling: PivotSampling
    cache: ReferenceCache
    counts: ReferenceCounts = field(default_factory=ReferenceCounts)

    def find(self, problem: Problem) -> Reference | None:
        """The item's reference, accepted or not; None, and nothing counted, where it would have to be asked for.

        Raises:
            BadInput: the question is too long for the pivot.
        """
        return self._find(problem, self.sampling.key(self.prompt(problem.question_en)))

    def _find(self, problem: Problem, key: str) -> Reference | None:
        if (known := self.cache.get(key)) is None:
            return None
        known = self.sampling.judged(known)
        self.counts.asked += 1
        self.counts.cached += 1
        self.counts.see(problem, known)
        return known


@dataclass(kw_only=True)
class ReferenceStore(KnownReferences):
    """Get-or-ask: the reference of a problem's item, from the cache or from the pivot."""

    pivot: Generator
    clock: Callable[[], float] = time.monotonic
    _in_flight: dict[str, asyncio.Future[Reference]] = field(default_factory=dict)

    async def get(self, problem: Problem) -> Reference:
        """The item's reference, accepted or not. Languages of one item share it, also while it is being written.

        Raises:
            BadInput: the question is too long for the pivot.
            RunFailed: the pivot's workers gave up. Nothing is kept: the next who asks starts a new request.
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
        reference = self.sampling.judged(await asyncio.shield(pending))
        self.counts.see(problem, reference)
        return reference

    def take_counts(self) -> ReferenceCounts:
        """What happened since the last call."""
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
