"""Ray shell of a scorer: owns a process with the encoder, batches across groups, forwards to rewards/semantic.py.

No reward is computed here. Where batches may span groups, all that wait are scored together: batches are full, but
which texts share one depends on timing, and so do an embedding's last digits.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import ray

from actors.process import ProcessInfo, this_process
from driver.config import RewardConfig, ScorerConfig
from driver.schema import Score, ScoreRequest, Unscored

if TYPE_CHECKING:  # torch and the encoder are loaded in the actor alone, not in the driver that imports this shell
    from rewards.semantic import SemanticReward


@ray.remote
class ScorerWorker:
    def __init__(self, config: ScorerConfig, reward: RewardConfig, languages: tuple[str, ...], device: str) -> None:
        self._start = lambda: _load(config, reward, languages, device)
        self._batch_across_groups = config.batch_across_groups
        # One thread: the encoder is not shared, and the event loop stays free to take the next groups.
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._waiting: list[tuple[ScoreRequest, asyncio.Future[tuple[Score | Unscored, ...]]]] = []
        self._busy = False
        self._busy_s = 0.0
        self._texts = 0

    async def process(self) -> ProcessInfo:
        """Answers before the model is loaded: a load that fails leaves its reason in this process's log."""
        return this_process()

    async def ready(self) -> ProcessInfo:
        """Load the encoder; to be called once, before anything else is asked."""
        self._reward = self._start()
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
        """Score what waits, until nothing does: group by group, or all groups at once for full batches."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            num = len(self._waiting) if self._batch_across_groups else 1
            taken, self._waiting = self._waiting[:num], self._waiting[num:]
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


def _load(config: ScorerConfig, reward: RewardConfig, languages: tuple[str, ...], device: str) -> "SemanticReward":
    from rewards.encoder import SentenceEncoder
    from rewards.semantic import SemanticReward

    encoder = SentenceEncoder(
        config.model,
        text_prefix=config.text_prefix,
        batch_size=config.batch_size,
        dtype=config.dtype,
        device=device,
    )
    return SemanticReward(encoder, languages=languages, config=reward)
