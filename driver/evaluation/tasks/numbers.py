"""Grade answers that are numbers: the declared final answer counts, or else the last number of the response.

An answer that is hedged or negated ("at least 18", "not 18", "18 or 20") is not right.
"""

from contracts.errors import BadInput
from contracts.rollouts import Problem
from driver.evaluation.tasks.task import Grade
from driver.problems.gold import gold_number
from rewards.answers.final import final_answer, last_number, same_answer


class NumberTask:
    """Compare the number that a response gives with the gold number."""

    def gold(self, problem: Problem) -> str:
        """Return the gold answer as a canonical number.

        Raises:
            BadInput: the problem has no answer, or its answer is not a number.
        """
        if (gold := gold_number(problem)) is None:
            raise BadInput(
                f"problem {problem.group_key} can't be evaluated: its answer is {problem.answer!r}, and it must be a "
                "number; give one in evaluation's source, or switch evaluation.before and evaluation.after off",
                key="answer",
            )
        return gold

    def grade(self, response: str, *, gold: str, language: str) -> Grade:
        """Grade the response by its declared final answer; without one, by its last number."""
        declared = final_answer(response, language)
        answer = declared if declared is not None else last_number(response, language)
        return Grade(
            is_correct=answer is not None and same_answer(answer, gold),
            is_declared=declared is not None,
        )
