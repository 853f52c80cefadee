"""Run a scorer in a Ray actor: own a process with the reward's models, and forward calls to the loaded reward."""

from collections.abc import Sequence

import ray

from actors.remote.freed_memory import large_blocks_apart
from actors.remote.memory import ProcessMemory, this_process_memory
from actors.remote.process import ProcessInfo, this_process
from actors.remote.progress import Progress
from actors.scoring.loaded_reward import LoadedReward, RewardSetup
from actors.scoring.queue import ScoringQueue, in_thread
from contracts.rollouts import Score, ScoreRequest, Unscored
from rewards.calibration import Calibration
from rewards.reasoning.similarity import ReasoningPair


@ray.remote
class ScorerWorker:
    """Own a process that scores groups one after the other."""

    def __init__(self, setup: RewardSetup, device: str) -> None:
        self._setup = setup
        self._device = device

    async def process(self) -> ProcessInfo:
        """Return where this process runs, also before the models are loaded: a failed load is explained in its log."""
        return this_process()

    async def ready(self) -> ProcessInfo:
        """Load the models. Call it once, before any other question."""
        config = self._setup.scorer
        with large_blocks_apart():
            self._loaded = await in_thread(lambda: LoadedReward(self._setup, self._device))
        self._queue = ScoringQueue(
            self._loaded.reward, across_groups=config.batch_across_groups, stuck_after_s=config.timeout_s
        )
        return this_process()

    async def heartbeat(self) -> Progress:
        """Answer while groups are being scored.

        Raises:
            ScoringStuck: the current work has taken longer than any group may wait.
        """
        self._queue.check_progress()
        return self._queue.progress()

    async def score(self, request: ScoreRequest, *, within_s: float) -> tuple[Score | Unscored, ...]:
        """Score a group. After `within_s` seconds from now the caller does not wait any more."""
        return await self._queue.score(request, within_s=within_s)

    async def similarities(self, pairs: Sequence[ReasoningPair]) -> list[float]:
        """Return the raw similarities of the pairs, for calibration."""
        values = await self._queue.run(lambda: self._loaded.reward.similarities(pairs))
        return values.tolist()

    async def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """Return one translation for each text, in order; the reward must use a translator of its own."""
        return await self._queue.run(lambda: self._loaded.translate(texts, source=source, target=target))

    async def similarity_fingerprint(self) -> str:
        """Return the fingerprint of the similarity of reasonings."""
        return self._loaded.reward.fingerprint

    async def use_calibration(self, calibration: Calibration) -> None:
        """Use the calibration for all groups that are scored from now on."""
        await self._queue.run(lambda: self._loaded.use_calibration(calibration))

    async def memory(self) -> ProcessMemory:
        """Return the memory of this process."""
        return this_process_memory(with_children=True)

    async def stats(self) -> dict[str, float]:
        """Return the counters since the start, by name."""
        return self._queue.stats() | self._loaded.counters()
