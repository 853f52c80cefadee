"""List the evaluation tasks by the names that `evaluation.task` may have."""

from collections.abc import Mapping

from contracts.config.data import TaskName
from driver.evaluation.tasks.numbers import NumberTask
from driver.evaluation.tasks.task import EvaluationTask

TASKS: Mapping[TaskName, EvaluationTask] = {"numbers": NumberTask()}
