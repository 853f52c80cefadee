"""Ray shell of a scorer: owns a process with the encoder, batches across groups, forwards to rewards/semantic.py.

No reward is computed here. Groups that wait are scored together, so that each distinct text is encoded once and batches
are full.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import ray

from actors.process import ProcessInfo, this_process
from driver.config import RewardConfig, ScorerConfig
from driver.schema import Score, ScoreRequest, Unscored


@ray.remote
class ScorerWorker:
    def __init__(self, config: ScorerConfig, reward: RewardConfig, languages: tuple[str, ...], device: str) -> None:
        from rewards.encoder import SentenceEncoder
        from rewards.semantic import SemanticReward

        self._encoder = SentenceEncoder(
            config.model,
            text_prefix=config.text_prefix,
            batch_size=config.batch_size,
            dtype=config.dtype,
            device=device,
        )
        self._reward = SemanticReward(self._encoder, languages=languages, config=reward)
        # One thread: the encoder is not shared, and the event loop stays free to take the next groups.
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._waiting: list[tuple[ScoreRequest, asyncio.Future[tuple[Score | Unscored, ...]]]] = []
        self._busy = False
        self._busy_s = 0.0
        self._texts = 0

    async def ready(self) -> ProcessInfo:
        return this_process()

    async def score(self, request: ScoreRequest) -> tuple[Score | Unscored, ...]:
        result: asyncio.Future[tuple[Score | Unscored, ...]] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, result))
        if not self._busy:
            self._busy = True
            self._work_task = asyncio.ensure_future(self._work())
        return await result

    async def stats(self) -> dict[str, float]:
        """Counters since the start: texts scored, seconds busy, encoder counters."""
        return {"texts": float(self._texts), "busy_s": self._busy_s}

    async def _work(self) -> None:
        """Score all that waits, until nothing does."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            taken, self._waiting = self._waiting, []
            requests = [request for request, _ in taken]
            started = time.monotonic()
            try:
                scores = await loop.run_in_executor(self._thread, self._reward.score, requests)
            except Exception as failure:  # noqa: BLE001 - every waiter must hear of it; Ray carries it to the fleet
                for _, result in taken:
                    result.set_exception(failure)
                continue
            finally:
                self._busy_s += time.monotonic() - started
            self._texts += sum(len(request.responses) for request in requests)
            for (_, result), group in zip(taken, scores, strict=True):
                result.set_result(group)
        self._busy = False
