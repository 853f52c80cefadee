"""Evaluate a policy with the settings of a config."""

from contracts.config.data import BuiltinEvaluation, HubEvaluation
from contracts.config.run import Config
from contracts.ports import Console, Generator
from driver.evaluation.inputs import EvaluationInputs
from driver.evaluation.measure import EvaluationResult, EvaluationSettings, evaluate
from driver.evaluation.tasks.registry import TASKS
from rewards.gates.identify import LanguageIdentifier


async def evaluate_policy(
    config: Config, inputs: EvaluationInputs, policy: Generator, console: Console
) -> EvaluationResult:
    """Measure greedy answers to the evaluation set, by language."""
    evaluation = config.evaluation
    identifier = LanguageIdentifier(config.evaluation_languages)
    settings = EvaluationSettings(
        task=TASKS[evaluation.task],
        max_tokens=config.evaluation_max_tokens,
        measured_on={
            "task": evaluation.task,
            "source": evaluation.source,
            "path": "" if isinstance(evaluation, BuiltinEvaluation) else evaluation.path,
            "split": evaluation.split if isinstance(evaluation, BuiltinEvaluation | HubEvaluation) else "",
            "num_items": str(evaluation.num_items),
            "num_exemplars": str(config.prompt.num_exemplars),
            "model": config.policy.model,
        },
    )
    with console.phase("evaluating", total=len(inputs.problems)) as done:
        return await evaluate(
            policy,
            inputs.problems,
            prompter=inputs.prompter.prompt_token_ids,
            language_is=identifier.is_in,
            settings=settings,
            on_progress=done,
        )
