"""Prepare an evaluation: problems with known answers, and the prompts of the policy."""

import hashlib
from array import array
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

    def prompts_digest(self) -> str:
        """Return the SHA-256 of all prompts' token ids, 16 digits of it: it differs where any prompt does.

        So it tells whether two evaluations asked in the same words: instructions, worked examples, the way to close,
        the chat template and its arguments.
        """
        digest = hashlib.sha256()
        for problem in self.problems:
            token_ids = self.prompter.prompt_token_ids(problem)
            digest.update(array("q", [len(token_ids), *token_ids]).tobytes())
        return digest.hexdigest()[:16]


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
