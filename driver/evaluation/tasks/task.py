"""Define what an evaluation task is: which answers its problems must have, and how a response is graded."""

from dataclasses import dataclass
from typing import Protocol

from contracts.rollouts import Problem


@dataclass(frozen=True, kw_only=True, slots=True)
class Grade:
    """Hold how one response was graded."""

    is_correct: bool
    is_declared: bool  # the response declares a final answer


class EvaluationTask(Protocol):
    """Grade responses to the problems of a source.

    A task reads gold answers. No reward may use it.
    """

    def gold(self, problem: Problem) -> str:
        """Return the gold answer in the form that `grade` compares with.

        Raises:
            BadInput: the problem has no answer that this task can compare with.
        """
        ...

    def grade(self, response: str, *, gold: str, language: str) -> Grade:
        """Grade the text of a response in `language` (ISO 639-1), which was asked for."""
        ...
