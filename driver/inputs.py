"""Everything of a run that can be wrong before anything is started: data, tokenizers, prompts.

Owns the checks that end in one line and exit 2 while no process has been started and no file written.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from driver.config import Config
from driver.errors import BadInput
from driver.problems.sources import ProblemSource, first_problems, open_source
from driver.prompts import Prompter, load_tokenizer, worked_examples
from driver.schema import Problem

MAX_CHECKED_PROMPTS = 2000
"""Prompts of the training set that are built before the start; those of a longer set are also checked when drawn."""


@dataclass(frozen=True, kw_only=True)
class EvaluationInputs:
    """Problems with known answers, and the prompts of the policy."""

    prompter: Prompter
    problems: Sequence[Problem]
    pad_token_id: int


@dataclass(frozen=True, kw_only=True)
class TrainingInputs:
    """What the driver needs beside the actors, checked."""

    evaluation: EvaluationInputs
    pivot_prompter: Prompter
    source: ProblemSource


def prepare_evaluation(config: Config) -> EvaluationInputs:
    """The evaluation set of a config whose paths are absolute.

    Raises:
        BadInput: for the first thing that is wrong.
    """
    prompter, pad_token_id = _prompter(config, "policy")
    source = open_source(config.evaluation, languages=config.evaluation_languages, seed=config.run.seed)
    problems = list(
        first_problems(source, config.evaluation_languages, num_items=config.evaluation.num_items),
    )
    for problem in problems:
        if problem.answer is None:
            raise BadInput(
                f"{source.name}: {problem.group_key} has no answer to evaluate against; give one, or set "
                "evaluation.before and evaluation.after to false"
            )
        prompter.prompt_token_ids(problem)
    return EvaluationInputs(prompter=prompter, problems=problems, pad_token_id=pad_token_id)


def prepare_training(config: Config) -> TrainingInputs:
    """Data, tokenizers and prompts of a training run.

    Raises:
        BadInput: for the first thing that is wrong.
    """
    if config.evaluation.before or config.evaluation.after:
        evaluation = prepare_evaluation(config)
    else:
        prompter, pad_token_id = _prompter(config, "policy")
        evaluation = EvaluationInputs(prompter=prompter, problems=(), pad_token_id=pad_token_id)
    pivot_prompter, _ = _prompter(config, "pivot")
    source = open_source(config.data, languages=config.data.languages, seed=config.run.seed)
    num_items = MAX_CHECKED_PROMPTS // len(config.data.languages)
    for problem in first_problems(source, config.data.languages, num_items=num_items):
        evaluation.prompter.prompt_token_ids(problem)
        pivot_prompter.reference_prompt(problem.question_en)
    return TrainingInputs(evaluation=evaluation, pivot_prompter=pivot_prompter, source=source)


def _prompter(config: Config, section: Literal["policy", "pivot"]) -> tuple[Prompter, int]:
    """The prompts of an engine, and the token that its learner pads with."""
    engine = config.policy if section == "policy" else config.pivot
    num = config.prompt.num_exemplars if section == "policy" else config.pivot.num_exemplars
    languages = (
        dict.fromkeys((*config.data.languages, *config.evaluation_languages)) if section == "policy" else ("en",)
    )
    tokenizer = load_tokenizer(
        engine.model, chat_template=engine.chat_template, trust_remote_code=engine.trust_remote_code, section=section
    )
    prompter = Prompter(
        tokenizer,
        config.prompt.model_copy(update={"num_exemplars": num}),
        exemplars=worked_examples(tuple(languages), num=num),
        max_prompt_tokens=engine.max_model_len - engine.max_response_tokens,
    )
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    return prompter, pad if isinstance(pad, int) else 0
