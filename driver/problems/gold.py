"""Read the known answer of a problem. Evaluation and monitoring use it; no reward does."""

from contracts.rollouts import Problem
from rewards.answers.final import kind_of, plain_answer
from rewards.reading import PIVOT_LANGUAGE


def gold_number(problem: Problem) -> str | None:
    """Return the problem's answer as a canonical number; None if it has no answer or the answer is not a number."""
    answer = None if problem.answer is None else plain_answer(problem.answer, PIVOT_LANGUAGE)
    return answer if answer is not None and kind_of(answer) == "number" else None
