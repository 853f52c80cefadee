"""Evaluation with a config's settings on a policy's actors; the measuring itself is driver/evaluation/measure.py."""

from contracts.config.run import Config
from contracts.ports import Console, Generator
from driver.evaluation.inputs import EvaluationInputs
from driver.evaluation.measure import EvaluationResult, EvaluationSettings, evaluate
from rewards.gates.identify import LanguageIdentifier


async def evaluate_policy(
    config: Config, inputs: EvaluationInputs, policy: Generator, console: Console
) -> EvaluationResult:
    """Greedy answers to the evaluation set, judged per language."""
    judge = LanguageIdentifier(config.evaluation_languages)
    settings = EvaluationSettings(
        max_tokens=config.evaluation.max_response_tokens or config.policy.max_response_tokens,
        measured_on={
            "source": config.evaluation.source,
            "path": config.evaluation.path,
            "split": config.evaluation.split,
            "num_items": str(config.evaluation.num_items),
            "num_exemplars": str(config.prompt.num_exemplars),
            "model": config.policy.model,
        },
    )
    with console.phase("evaluating", total=len(inputs.problems)) as done:
        return await evaluate(
            policy,
            inputs.problems,
            prompter=inputs.prompter.prompt_token_ids,
            language_is=judge.is_in,
            settings=settings,
            on_progress=done,
        )
