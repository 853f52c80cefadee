"""Measure the prompts of a data set with the models' own tokenizers, and choose lengths from that."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from contracts.config.run import Config
from contracts.errors import BadInput
from contracts.model_config import longest_context, read_model_config
from contracts.rollouts import Problem
from driver.problems.engine_prompts import engine_prompter
from driver.problems.prompts import PromptTooLong
from driver.problems.sources import ProblemSource, first_problems, open_source
from languages.facts import LANGUAGES

MEASURED = 2000
"""Prompts that are built, over all languages."""
_UNKNOWN_CONTEXT = 4096
_STEP = 64  # lengths are multiples of it
_LEAST_RESPONSE = 16
_TRANSLATED = 2
"""Times the tokens of a prompt, at most, that its English translation is taken to have."""


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Hold the chosen lengths of one engine, in tokens, and what they rest on."""

    max_model_len: int
    max_response_tokens: int
    longest_prompt: int
    skips: bool  # the longest prompts don't fit, and are left out


def context_of(model: str, key: str) -> int:
    """Return the most tokens that a model reads; 4,096 where its config does not say."""
    facts = read_model_config(model, key=key)
    return (None if facts is None else longest_context(facts)) or _UNKNOWN_CONTEXT


def measured_prompts(config: Config, source: ProblemSource, *, has_english: bool) -> dict[str, list[int]]:
    """Return the tokens of the first prompts of policy and pivot; the policy is asked those of the evaluation, too.

    The config gives each engine the whole context of its model, and one token for a response. Where no English
    questions are there yet, the pivot is asked the others in their place, and their lengths are doubled: nobody knows
    how long the English will be.

    Raises:
        BadInput: a tokenizer or a chat template can't be used.
    """
    languages = config.data.languages
    problems = list(first_problems(source, languages, num_items=max(1, MEASURED // len(languages))))
    asked = _evaluated(config, has_english=has_english)
    policy, pivot = engine_prompter(config, "policy")[0], engine_prompter(config, "pivot")[0]
    return {
        "policy": [_tokens(policy.prompt_token_ids, problem) for problem in (*problems, *asked)],
        "pivot": [
            _tokens(lambda one: pivot.reference_prompt(one.question_en or one.question), problem)
            * (1 if has_english else _TRANSLATED)
            for problem in problems
        ],
    }


def _evaluated(config: Config, *, has_english: bool) -> Iterator[Problem]:
    """Return the problems of the evaluation; none where there is no evaluation, or it is of tasks."""
    evaluation = config.evaluation
    if not evaluation.is_wanted or evaluation.tasks:
        return iter(())
    languages = config.evaluation_languages if has_english else config.data.languages
    source = open_source(evaluation, languages=languages, seed=config.run.seed, needs_english=False)
    return first_problems(source, languages, num_items=evaluation.num_items)


def shown_prompt(config: Config, problem: Problem) -> str:
    """Return the policy's prompt of a problem as text, as the chat template writes it."""
    prompter = engine_prompter(config, "policy")[0]
    chat = prompter.messages(problem.question, LANGUAGES[problem.language])
    return prompter.template.render(chat, section="policy", is_open=True)


def choose(prompts: Sequence[int], *, context: int, response: int, section: str) -> Lengths:
    """Return the lengths of an engine: room for the longest prompt and `response` tokens, within the model's context.

    Where both don't fit, the response gets at least half of the context, and longer prompts are left out.

    Raises:
        BadInput: no prompt leaves room for a response.
    """
    longest = max(prompts)
    room = max(context - longest, min(response, context // 2))
    tokens = min(response, room)
    length = min(context, -(-(longest + tokens) // _STEP) * _STEP)
    if tokens < _LEAST_RESPONSE or min(prompts) > length - tokens:
        raise BadInput(
            f"{section}.model reads {context} tokens, and the shortest prompt of the data has {min(prompts)}; choose a "
            "model with a longer context",
            key=f"{section}.model",
        )
    return Lengths(
        max_model_len=length, max_response_tokens=tokens, longest_prompt=longest, skips=longest > length - tokens
    )


def _tokens(build: Callable[[Problem], Sequence[int]], problem: Problem) -> int:
    try:
        return len(build(problem))
    except PromptTooLong as mistake:
        return mistake.num_tokens
