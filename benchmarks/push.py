"""Measure the bytes per second of one weight push, beside a plain copy of the same bytes in memory.

The push is a run's: weights are gathered from the learner's ZeRO-3 ranks, packed, carried to a policy worker, loaded
into vLLM and served. The bare side is one numpy copy of as many bytes between two arrays that exist already: no
transfer between processes can beat it.
"""

import asyncio
import os

import numpy as np

from actors.engine import EngineWorker
from actors.remote.calls import ready
from benchmarks.measure import Round, Side, Sizes, interleaved, timed
from benchmarks.outcomes import Comparison
from benchmarks.start import reserved, start_learner
from cluster.launch import start_actor
from cluster.layout import Role
from cluster.settings import weight_backend
from cluster.team import policy_arguments
from contracts.batches import PushResult


def run(sizes: Sizes) -> list[Comparison]:
    """Measure both sides in turn."""
    config = sizes.config
    num_ranks = config.learner.num_ranks
    config = config.model_copy(update={"policy": config.policy.model_copy(update={"num_cpus": sizes.threads})})
    roles: list[Role] = ["policy", *("learner" for _ in range(num_ranks))]
    with reserved(config, roles, threads=sizes.threads) as bundles, asyncio.Runner() as runner:
        policy_at, *learner_at = bundles.layout.placements
        started_with = policy_arguments(config, bundles.layout.device)
        worker = start_actor(EngineWorker, policy_at, bundles, started_with)
        processes = runner.run(ready([policy_at.name], [worker]))
        learner, ranks = runner.run(start_learner(config, bundles, places=learner_at, policy_workers=[worker]))
        pushes: list[PushResult] = []

        def push(number: int) -> Round:
            async def push() -> float:
                pushes.append(await learner.push_weights(number))
                return pushes[-1].num_bytes / 2**20

            return timed(lambda: runner.run(push()))

        first = push(0)  # tells how many bytes the copy needs
        source = np.ones(pushes[0].num_bytes, dtype=np.uint8)
        target = np.empty_like(source)

        def copy(number: int) -> Round:
            def copy() -> float:
                np.copyto(target, source)
                return source.nbytes / 2**20

            return timed(copy)

        our_rounds, bare_rounds = interleaved(
            Side(turn=push, processes=(os.getpid(), processes[policy_at.name].pid, *ranks)),
            Side(turn=copy, processes=(os.getpid(),)),
            rounds=sizes.rounds,
        )
    return [
        Comparison(
            name="push",
            unit="MiB",
            ours=f"gather, pack, {weight_backend(config, bundles.layout.device)}, load into vLLM, serve",
            bare="numpy.copyto between two arrays of as many bytes",
            aim=None,
            our_rounds=our_rounds,
            bare_rounds=bare_rounds,
            work=f"{pushes[0].num_tensors} tensors, {pushes[0].num_bytes / 2**20:,.0f} MiB in buckets of "
            f"{config.weights.bucket_mib} MiB from {num_ranks} ranks to one worker; threads each: {sizes.threads}",
            notes={
                "seconds of a push": float(np.median([one.seconds for one in our_rounds])),
                "seconds of a copy": float(np.median([one.seconds for one in bare_rounds])),
                "seconds of the first push": first.seconds,
            },
        )
    ]
