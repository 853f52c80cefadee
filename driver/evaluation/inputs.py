"""Prepare an evaluation: its items, and the prompts of the policy."""

from dataclasses import dataclass

from contracts.config.run import Config
from driver.evaluation.plan import EvaluationPlan, plan_evaluation
from driver.evaluation.sets.chosen import choose_tasks
from driver.problems.engine_prompts import engine_prompter
from driver.problems.prompts import Prompter


@dataclass(frozen=True, kw_only=True)
class EvaluationInputs:
    """Hold the plan of an evaluation, and the prompts of the policy."""

    prompter: Prompter
    plan: EvaluationPlan
    pad_token_id: int


def prepare_evaluation(config: Config) -> EvaluationInputs:
    """Prepare the evaluation of a config whose paths are absolute.

    Raises:
        BadInput: the first thing that is wrong.
    """
    chats = not config.evaluation.tasks or any(
        chosen.method == "generate" for chosen in choose_tasks(config.evaluation.tasks)
    )
    prompter, pad_token_id = engine_prompter(config, "policy", needs_template=chats)
    return EvaluationInputs(prompter=prompter, plan=plan_evaluation(config, prompter), pad_token_id=pad_token_id)
