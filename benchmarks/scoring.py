"""Texts per second of a scorer worker, beside a bare SentenceTransformer.encode on the same unique texts.

The worker judges gates and answers, encodes, compares and composes rewards; its time runs from the driver's first
request to the last score, Ray included. The bare side does nothing but encode, timed inside its own actor, with the
same model, dtype, batch size and number of threads.
"""

import asyncio
import os
from collections.abc import Callable, Sequence

import ray

from actors.fleet import ScorerFleet, ready
from actors.process import ProcessInfo, RemoteActor, this_process
from actors.scorer import ScorerWorker
from benchmarks.measure import Comparison, Round, Side, Sizes, interleaved, timed
from benchmarks.reserve import reserved
from benchmarks.workload import score_requests
from cluster.launch import start_actor
from driver.config import ScorerConfig
from driver.schema import Score, ScoreRequest
from rewards.answers import split_reasoning
from rewards.semantic import PIVOT_LANGUAGE


@ray.remote
class BareEncoder:
    """What one would write without this project."""

    def __init__(self, config: ScorerConfig, device: str) -> None:
        from sentence_transformers import SentenceTransformer

        self._model = SentenceTransformer(config.model, device=device, model_kwargs={"dtype": config.dtype})
        self._batch_size = config.batch_size

    def ready(self) -> ProcessInfo:
        return this_process()

    def encode(self, texts: Sequence[str]) -> Round:
        def encode() -> float:
            vectors = self._model.encode(list(texts), batch_size=self._batch_size, normalize_embeddings=True)
            return float(len(vectors))

        return timed(encode)


def run(sizes: Sizes) -> list[Comparison]:
    """Twice: every group by itself, which is reproducible, and all that wait together (scorer.batch_across_groups)."""
    scorer = sizes.config.scorer
    with reserved(sizes.config, ("scorer",) * 3, threads=sizes.threads) as bundles, asyncio.Runner() as runner:
        *ours_at, bare_at = bundles.layout.placements
        bare = start_actor(BareEncoder, bare_at, bundles, (scorer, bundles.layout.device))
        bare_process = runner.run(ready([bare_at.name], [bare]))[bare_at.name].pid
        comparisons = []
        for place, together in zip(ours_at, (False, True), strict=True):
            config = scorer.model_copy(update={"batch_across_groups": together})
            arguments = (config, sizes.config.reward, sizes.config.data.languages, bundles.layout.device)
            worker = start_actor(ScorerWorker, place, bundles, arguments)
            process = runner.run(ready([place.name], [worker]))[place.name].pid
            our_rounds, bare_rounds = interleaved(
                Side(turn=_ours(sizes, worker, runner), processes=(os.getpid(), process)),
                Side(turn=_bare(sizes, bare), processes=(bare_process,)),
                rounds=sizes.rounds,
            )
            comparisons.append(_comparison(sizes, our_rounds, bare_rounds, together=together))
    return comparisons


def _ours(sizes: Sizes, worker: RemoteActor, runner: asyncio.Runner) -> Callable[[int], Round]:
    fleet = ScorerFleet([worker], timeout_s=sizes.config.scorer.timeout_s)

    def turn(number: int) -> Round:
        requests = score_requests(sizes, number)
        num_texts = float(len(_unique_texts(requests)))
        return timed(lambda: runner.run(_score(fleet, requests)) or num_texts)

    return turn


def _bare(sizes: Sizes, bare: RemoteActor) -> Callable[[int], Round]:
    def turn(number: int) -> Round:
        texts = [sizes.config.scorer.text_prefix + text for text in _unique_texts(score_requests(sizes, number))]
        return ray.get(bare.encode.remote(texts))

    return turn


def _comparison(
    sizes: Sizes, our_rounds: tuple[Round, ...], bare_rounds: tuple[Round, ...], *, together: bool
) -> Comparison:
    return Comparison(
        name="scoring, groups together" if together else "scoring",
        unit="texts",
        ours="scorer worker: gates, answers, embeddings, rewards, Ray; "
        + ("all groups that wait are encoded together" if together else "every group is encoded by itself"),
        bare=f"SentenceTransformer.encode of the same unique texts, batches of {sizes.config.scorer.batch_size}",
        aim=0.95,
        our_rounds=our_rounds,
        bare_rounds=bare_rounds,
        work=f"{sizes.groups} groups of {sizes.group_size} responses, references shared by the languages of an "
        f"item, {our_rounds[0].work:g} unique texts; {sizes.config.scorer.dtype}, threads: {sizes.threads}",
    )


async def _score(fleet: ScorerFleet, requests: Sequence[ScoreRequest]) -> None:
    groups = await asyncio.gather(*(fleet.score(request) for request in requests))
    for score in (score for group in groups for score in group):
        # A text that a gate shuts out is not encoded: the two sides would not do the same work.
        if not isinstance(score, Score) or not all(score.gates.values()):
            raise RuntimeError(f"a text of the benchmark was not encoded: {score}")


def _unique_texts(requests: Sequence[ScoreRequest]) -> list[str]:
    """What the scorer has to encode."""
    references = [split_reasoning(request.reference, PIVOT_LANGUAGE)[0] for request in requests]
    responses = [split_reasoning(text, request.language)[0] for request in requests for text in request.responses]
    return list(dict.fromkeys([*references, *responses]))
