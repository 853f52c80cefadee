"""Texts per second of a scorer worker, beside a bare SentenceTransformer.encode on the same unique texts.

The worker judges gates and answers, encodes, compares and composes rewards; its time runs from the driver's first
request to the last score, Ray included. The bare side does nothing but encode, timed inside its own actor, with the
same model, dtype, batch size and number of threads.
"""

import asyncio
import os
from collections.abc import Sequence

import ray

from actors.fleet import ScorerFleet, ready
from actors.process import ProcessInfo, this_process
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
    config = sizes.config
    with reserved(config, ("scorer", "scorer"), threads=sizes.threads) as bundles, asyncio.Runner() as runner:
        ours_at, bare_at = bundles.layout.placements
        device = bundles.layout.device
        worker = start_actor(
            ScorerWorker, ours_at, bundles, (config.scorer, config.reward, config.data.languages, device)
        )
        bare = start_actor(BareEncoder, bare_at, bundles, (config.scorer, device))
        processes = runner.run(ready([ours_at.name, bare_at.name], [worker, bare]))
        fleet = ScorerFleet([worker], timeout_s=config.scorer.timeout_s)

        def ours(number: int) -> Round:
            requests = score_requests(sizes, number)
            num_texts = float(len(_unique_texts(requests)))
            return timed(lambda: runner.run(_score(fleet, requests)) or num_texts)

        def alone(number: int) -> Round:
            prefix = config.scorer.text_prefix
            texts = [prefix + text for text in _unique_texts(score_requests(sizes, number))]
            return ray.get(bare.encode.remote(texts))

        our_rounds, bare_rounds = interleaved(
            Side(turn=ours, processes=(os.getpid(), processes[ours_at.name].pid)),
            Side(turn=alone, processes=(processes[bare_at.name].pid,)),
            rounds=sizes.rounds,
        )
    return [
        Comparison(
            name="scoring",
            unit="texts",
            ours="scorer worker: gates, answers, embeddings, rewards, Ray",
            bare="SentenceTransformer.encode of the same unique texts",
            aim=0.95,
            our_rounds=our_rounds,
            bare_rounds=bare_rounds,
            work=f"{sizes.groups} groups of {sizes.group_size} responses and a reference, "
            f"{our_rounds[0].work:g} unique texts; {config.scorer.dtype}, {sizes.threads} threads",
        )
    ]


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
