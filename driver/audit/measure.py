"""The audit itself: scores the groups through the driver's `Scorer` and counts.

Owns the order of scoring; what is counted is driver/audit/tally.py. Knows the scorer by its port only, so that it
measures the very reward that a run uses.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from contracts.ports import Scorer
from contracts.rollouts import ParallelSolution, ScoreRequest, Unscored
from driver.audit.cheats import CHEATS
from driver.audit.groups import CheatGroup, Question, cheat_groups, corruption_series, question_request
from driver.audit.result import AuditResult, Case, CheatCell, GateCell, LanguageCell
from driver.audit.tally import ScoredCheats, Scores, cheat_cell, gate_cells, language_cell, worst_case

MAX_IN_FLIGHT = 16
"""Groups that the scorers have at once: enough to keep several busy."""
NUM_CASES = 12
"""Worst cases that are kept, at most one per language and cheat."""

OnProgress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditPlan:
    """All that will be scored."""

    groups: tuple[CheatGroup, ...]
    series: tuple[ScoreRequest, ...]
    questions: tuple[Question, ...]

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(group.request.language for group in self.groups))

    @property
    def num_requests(self) -> int:
        return len(self.groups) + len(self.series) + len(self.questions)


def plan_audit(solutions: Sequence[ParallelSolution], questions: Sequence[Question], *, seed: int) -> AuditPlan:
    """Raises BadInput where a solution can't be audited."""
    return AuditPlan(
        groups=tuple(cheat_groups(solutions, seed=seed)),
        series=tuple(corruption_series(solutions, seed=seed)),
        questions=tuple(questions),
    )


async def audit(
    scorer: Scorer,
    plan: AuditPlan,
    *,
    measured_on: Mapping[str, str],
    on_progress: OnProgress = lambda num_done: None,
    clock: Callable[[], float] = time.monotonic,
) -> AuditResult:
    """Everything of the plan, language after language, so that each has its own time."""
    started = clock()
    asked = _Asked(scorer, on_progress)
    cheats: list[CheatCell] = []
    gates: list[GateCell] = []
    languages: list[LanguageCell] = []
    cases: list[Case] = []
    for language in plan.languages:
        groups = [group for group in plan.groups if group.request.language == language]
        since = clock()
        scores = await asked.all(group.request for group in groups)
        seconds = clock() - since
        corrupted = await asked.all(request for request in plan.series if request.language == language)
        questions = await asked.all(question_request(q) for q in plan.questions if q.language == language)
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
        num_samples=asked.num_samples,
        seconds=clock() - started,
        measured_on=dict(measured_on),
        unscored=dict(asked.unscored.most_common()),
    )


class _Asked:
    """Requests on their way to the scorer, not too many at once; what came back is counted."""

    def __init__(self, scorer: Scorer, on_progress: OnProgress) -> None:
        self._scorer = scorer
        self._on_progress = on_progress
        self._free = asyncio.Semaphore(MAX_IN_FLIGHT)
        self._num_done = 0
        self.num_samples = 0
        self.unscored: Counter[str] = Counter()  # by reason

    async def all(self, requests: Iterable[ScoreRequest]) -> list[Scores]:
        """In order. The first failure ends the others and is raised as it is."""
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
