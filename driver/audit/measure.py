"""Audit a reward: score the groups of a plan and count.

Scores come through the port that a run uses too, so that an audit measures the same reward.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from contracts.ports import Scorer
from contracts.rollouts import ScoreRequest, Unscored
from driver.audit.cheats import CHEATS
from driver.audit.groups import question_request
from driver.audit.plan import AuditPlan
from driver.audit.result import AuditResult, Case, CheatCell, GateCell, LanguageCell
from driver.audit.tally import ScoredCheats, Scores, cheat_cell, gate_cells, language_cell, worst_case

MAX_IN_FLIGHT = 16
"""Requests that the scorers have at once: enough to keep several scorers working."""
NUM_CASES = 12
"""Number of worst cases that are kept, at most one per language and cheat."""

OnProgress = Callable[[int], None]


async def audit(
    scorer: Scorer,
    plan: AuditPlan,
    *,
    measured_on: Mapping[str, str],
    on_progress: OnProgress = lambda num_done: None,
    clock: Callable[[], float] = time.monotonic,
) -> AuditResult:
    """Return the audit of a plan. Languages are scored one after the other, so that each has its own time.

    Args:
        scorer: scores the requests.
        plan: what is scored.
        measured_on: the settings that are written into the result.
        on_progress: gets the number of requests that are done.
        clock: gives seconds.
    """
    started = clock()
    requests = Requests(scorer, on_progress)
    cheats: list[CheatCell] = []
    gates: list[GateCell] = []
    languages: list[LanguageCell] = []
    cases: list[Case] = []
    for language in plan.languages:
        groups = [group for group in plan.groups if group.request.language == language]
        since = clock()
        scores = await requests.score(group.request for group in groups)
        seconds = clock() - since
        corrupted = await requests.score(request for request in plan.series if request.language == language)
        questions = await requests.score(question_request(q) for q in plan.questions if q.language == language)
        scored = [ScoredCheats(group=group, scores=found) for group, found in zip(groups, scores, strict=True)]
        cheats += [cheat_cell(language, cheat.name, scored) for cheat in CHEATS]
        gates += gate_cells(language, scored, questions)
        languages.append(language_cell(language, scored, corrupted, seconds=seconds))
        cases += [case for cheat in CHEATS if (case := worst_case(language, cheat.name, scored))]
    return AuditResult(
        cheats=tuple(cheats),
        gates=tuple(gates),
        languages=tuple(languages),
        cases=tuple(sorted(cases, key=lambda case: case.margin)[:NUM_CASES]),
        num_samples=requests.num_samples,
        seconds=clock() - started,
        measured_on=dict(measured_on),
        unscored=dict(requests.unscored.most_common()),
    )


class Requests:
    """Send requests to the scorer, not too many at once, and count what comes back."""

    def __init__(self, scorer: Scorer, on_progress: OnProgress) -> None:
        self._scorer = scorer
        self._on_progress = on_progress
        self._free = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._num_done = 0
        self.num_samples = 0
        self.unscored: Counter[str] = Counter()  # by reason

    async def score(self, requests: Iterable[ScoreRequest]) -> list[Scores]:
        """Return the scores in order. The first failure cancels the other requests and is raised as it is."""
        tasks = [asyncio.create_task(self._one(request)) for request in requests]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

    async def _one(self, request: ScoreRequest) -> Scores:
        async with self._free:
            scores = await self._scorer.score(request)
        self._num_done += 1
        self.num_samples += len(scores)
        self.unscored.update(score.reason for score in scores if isinstance(score, Unscored))
        self._on_progress(self._num_done)
        return scores
