"""Choose what an audit scores, by its config, and check that before anything is started."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.config.run import Config
from contracts.errors import BadInput
from contracts.rollouts import ParallelSolution, ScoreRequest
from driver.audit.groups import CheatGroup, Question, cheat_groups, corruption_series, questions_of
from driver.inputs import check_scorers_suffice
from driver.problems.mgsm import MgsmTable
from driver.problems.parallel import BUILTIN_SOURCES, load_solutions


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditPlan:
    """Hold all requests that will be scored."""

    groups: tuple[CheatGroup, ...]
    series: tuple[ScoreRequest, ...]
    questions: tuple[Question, ...]

    @property
    def languages(self) -> tuple[str, ...]:
        """Return the language codes of the groups."""
        return tuple(dict.fromkeys(group.request.language for group in self.groups))

    @property
    def num_requests(self) -> int:
        """Return the number of requests."""
        return len(self.groups) + len(self.series) + len(self.questions)


def plan_audit(solutions: Sequence[ParallelSolution], questions: Sequence[Question], *, seed: int) -> AuditPlan:
    """Return what is scored for these solutions and questions.

    Raises:
        BadInput: a solution can't be audited.
    """
    return AuditPlan(
        groups=tuple(cheat_groups(solutions, seed=seed)),
        series=tuple(corruption_series(solutions, seed=seed)),
        questions=tuple(questions),
    )


def prepare_audit(config: Config) -> AuditPlan:
    """Return everything that will be scored. The paths of `config` must be absolute.

    Raises:
        BadInput: the reward needs more than scorers or can't be calibrated, or the source can't be read or audited.
    """
    check_scorers_suffice(config.reward.reasoning)
    settings = config.audit
    solutions = load_solutions(
        settings.source,
        languages=() if settings.languages == "all" else settings.languages,
        num_items=settings.num_items,
        seed=config.run.seed,
        split="test",
    )
    if not solutions:
        raise BadInput(
            f"audit.source = {settings.source!r} has no solution in a language of audit.languages", key="audit.source"
        )
    languages = tuple(dict.fromkeys(solution.language for solution in solutions))
    return plan_audit(solutions, faithful_questions(settings.source, solutions, languages), seed=config.run.seed)


def faithful_questions(source: str, solutions: Sequence[ParallelSolution], languages: Sequence[str]) -> list[Question]:
    """Return the questions of the solutions and, where the source lies beside MGSM's TSV files, all of MGSM's."""
    found = questions_of(solutions)
    folder = Path(source).parent
    if source in BUILTIN_SOURCES or not (folder / "mgsm_en.tsv").exists():
        return found
    rows = [row for row in MgsmTable(folder).rows() if row["language"] in languages]
    return found + [
        Question(language=str(row["language"]), question=str(row["question"]), question_en=str(row["question_en"]))
        for row in rows
    ]
