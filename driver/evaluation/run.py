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
    identifier = LanguageIdentifier(config.evaluation_languages)
    settings = EvaluationSettings(
        task=TASKS[config.evaluation.task],
        max_tokens=config.evaluation_max_tokens,
        measured_on=measured_on(config, inputs),
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


def measured_on(config: Config, inputs: EvaluationInputs) -> dict[str, str]:
    """Return what two evaluations must share to be comparable, the prompts and how answers are cut out included."""
    evaluation = config.evaluation
    return {
        "task": evaluation.task,
        "source": evaluation.source,
        "path": "" if isinstance(evaluation, BuiltinEvaluation) else evaluation.path,
        "split": evaluation.split if isinstance(evaluation, BuiltinEvaluation | HubEvaluation) else "",
        "num_items": str(evaluation.num_items),
        "num_exemplars": str(config.prompt.num_exemplars),
        "closing": config.prompt.closing,
        "prompts": inputs.prompts_digest(),
        "thinking_markers": " ".join(marker for pair in config.policy.thinking_markers for marker in pair),
        "model": config.policy.model,
    }
