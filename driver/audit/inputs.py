"""What an audit measures on: parallel solutions, and questions as text that is in its language for sure.

Owns the choice by config, checked before anything is started. Must not know how anything is scored.
"""

from collections.abc import Sequence
from pathlib import Path

from contracts.config.run import Config
from contracts.errors import BadInput
from contracts.rollouts import ParallelSolution
from driver.audit.groups import Question, questions_of
from driver.audit.measure import AuditPlan, plan_audit
from driver.inputs import check_scorers_suffice
from driver.problems.mgsm import MgsmTable
from driver.problems.parallel import BUILTIN, load_solutions


def prepare_audit(config: Config) -> AuditPlan:
    """Everything that will be scored, of a config whose paths are absolute.

    Raises:
        BadInput: for a reward that needs more than scorers or can't be calibrated, and for a source that can't be read
            or audited.
    """
    check_scorers_suffice(config.reward.reasoning)
    settings = config.audit
    solutions = load_solutions(
        settings.source,
        languages=settings.languages,
        num_items=settings.num_items,
        seed=config.run.seed,
        split="test",
    )
    if not solutions:
        raise BadInput(f"audit.source {settings.source} has no solution in the languages of audit.languages")
    languages = tuple(dict.fromkeys(solution.language for solution in solutions))
    return plan_audit(solutions, faithful_questions(settings.source, solutions, languages), seed=config.run.seed)


def faithful_questions(source: str, solutions: Sequence[ParallelSolution], languages: Sequence[str]) -> list[Question]:
    """The questions of the solutions, and, where the source is a file among MGSM's TSV files, all of those."""
    found = questions_of(solutions)
    folder = Path(source).parent
    if source == BUILTIN or not (folder / "mgsm_en.tsv").exists():
        return found
    rows = [row for row in MgsmTable(folder).rows() if row["language"] in languages]
    return found + [
        Question(language=str(row["language"]), question=str(row["question"]), question_en=str(row["question_en"]))
        for row in rows
    ]
