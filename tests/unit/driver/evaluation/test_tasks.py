"""Evaluation tasks: every name of the config has a task, and numbers are graded by hand-worked cases."""

from typing import get_args

import pytest

from contracts.config.data import TaskName
from contracts.rollouts import Problem
from driver.evaluation.tasks.numbers import NumberTask
from driver.evaluation.tasks.registry import TASKS
from driver.evaluation.tasks.task import Grade


def test_every_name_that_the_config_accepts_has_a_task() -> None:
    assert tuple(TASKS) == get_args(TaskName)


@pytest.mark.parametrize(
    ("response", "is_correct", "is_declared"),
    [
        ("12 + 5 = 17. Die Antwort lautet 17.", True, True),
        ("12 + 5 = 17. Die Antwort lautet 16.", False, True),  # the declared answer counts, not the last right number
        ("Zusammen sind es 17", True, False),
        ("Zusammen sind es viele", False, False),
    ],
)
def test_a_response_is_graded_by_its_declared_answer_or_its_last_number(
    response: str, is_correct: bool, is_declared: bool
) -> None:
    grade = NumberTask().grade(response, gold="17", language="de")
    assert grade == Grade(is_correct=is_correct, is_declared=is_declared)


def test_a_gold_number_is_compared_in_its_canonical_form() -> None:
    problem = Problem(item_id="a", language="de", question="Q", question_en="Q", answer="1,700.0")
    assert NumberTask().gold(problem) == "1700"
