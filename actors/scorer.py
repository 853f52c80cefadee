"""Ray shell of a scorer: owns a process with the reward's models, forwards to actors/scoring/loaded_reward.py.

No reward is computed here.
"""

from collections.abc import Sequence

import ray

from actors.remote.process import ProcessInfo, this_process
from actors.scoring.loaded_reward import LoadedReward, RewardSetup
from actors.scoring.pulse import ScoringPulse
from actors.scoring.queue import ScoringQueue, in_thread
from contracts.rollouts import Score, ScoreRequest, Unscored
from rewards.calibration import Calibration
from rewards.reasoning.similarity import ReasoningPair


@ray.remote
class ScorerWorker:
    def __init__(self, setup: RewardSetup, device: str) -> None:
        self._setup = setup
        self._device = device

    async def process(self) -> ProcessInfo:
        """Answers before the models are loaded: a load that fails leaves its reason in this process's log."""
        return this_process()

    async def ready(self) -> ProcessInfo:
        """Load the models; to be called once, before anything else is asked."""
        self._loaded = await in_thread(lambda: LoadedReward(self._setup, self._device))
        self._queue = ScoringQueue(self._loaded.reward, across_groups=self._setup.scorer.batch_across_groups)
        self._pulse = ScoringPulse(self._queue, stuck_after_s=self._setup.scorer.timeout_s)
        return this_process()

    async def heartbeat(self) -> None:
        """Answers while groups are being scored.

        Raises:
            ScoringStuck: what is being scored has taken longer than any group is waited for.
        """
        self._pulse.check()

    async def score(self, request: ScoreRequest, *, within_s: float) -> tuple[Score | Unscored, ...]:
        """`within_s`: seconds from now after which nobody waits for the scores any more."""
        return await self._queue.score(request, within_s=within_s)

    async def similarities(self, pairs: Sequence[ReasoningPair]) -> list[float]:
        """The judge's raw values, for calibration."""
        values = await self._queue.run(lambda: self._loaded.reward.similarities(pairs))
        return values.tolist()

    async def judge_fingerprint(self) -> str:
        return self._loaded.reward.fingerprint

    async def use_calibration(self, calibration: Calibration) -> None:
        """For all groups that are scored from now on."""
        await self._queue.run(lambda: self._loaded.use_calibration(calibration))

    async def stats(self) -> dict[str, float]:
        """Counters since the start, by name."""
        return self._queue.stats() | self._loaded.counters()
