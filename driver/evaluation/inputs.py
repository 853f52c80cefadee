"""Prepare an evaluation: problems with known answers, and the prompts of the policy."""

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.config.run import Config
from contracts.errors import BadInput
from contracts.rollouts import Problem
from driver.evaluation.tasks.registry import TASKS
from driver.problems.engine_prompts import engine_prompter
from driver.problems.prompts import Prompter
from driver.problems.sources import first_problems, open_source


@dataclass(frozen=True, kw_only=True)
class EvaluationInputs:
    """Hold problems with known answers, and the prompts of the policy."""

    prompter: Prompter
    problems: Sequence[Problem]
    pad_token_id: int


def prepare_evaluation(config: Config) -> EvaluationInputs:
    """Prepare the evaluation set of a config whose paths are absolute.

    Raises:
        BadInput: the first thing that is wrong.
    """
    prompter, pad_token_id = engine_prompter(config, "policy")
    source = open_source(config.evaluation, languages=config.evaluation_languages, seed=config.run.seed)
    problems = list(first_problems(source, config.evaluation_languages, num_items=config.evaluation.num_items))
    task = TASKS[config.evaluation.task]
    for problem in problems:
        try:
            task.gold(problem)
        except BadInput as error:
            raise BadInput(f"{source.name}: {error}", key=error.key) from None
        prompter.prompt_token_ids(problem)
    return EvaluationInputs(prompter=prompter, problems=problems, pad_token_id=pad_token_id)
