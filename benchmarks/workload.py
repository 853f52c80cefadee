"""The work of a benchmark, made from the config's own problems: prompts and texts to score.

Owns that both sides get the same, and that no round repeats what a cache may still hold. Knows no engine.
"""

from benchmarks.measure import Sizes
from contracts.rollouts import PromptDraw, SamplingRequest, ScoreRequest
from contracts.seeds import sampling_seeds
from driver.inputs import TrainingInputs, prepare_training
from driver.problems.builtin.generate import builtin_items
from driver.problems.stream import first_draws
from languages.facts import LANGUAGES

LONG_LEVELS = (3, 4)
"""Of the built-in set: their solutions have the length of a policy's responses."""


class Prompts:
    """The prompts that a training run with this config would sample from, in its order."""

    def __init__(self, sizes: Sizes) -> None:
        evaluation = sizes.config.evaluation.model_copy(update={"before": False, "after": False})
        self._sizes = sizes
        self._inputs: TrainingInputs = prepare_training(sizes.config.model_copy(update={"evaluation": evaluation}))
        self._drawn: list[PromptDraw] = []

    def requests(self, number: int) -> list[SamplingRequest]:
        """One round's groups; every round has other problems."""
        sizes = self._sizes
        return [
            SamplingRequest(
                request_id=f"benchmark/{number}/{index}",
                prompt_token_ids=self._prompt(number * sizes.groups + index),
                seeds=sampling_seeds(sizes.config.run.seed, "benchmark", number, index, num=sizes.group_size),
                max_tokens=sizes.config.policy.max_response_tokens,
                temperature=sizes.config.policy.temperature,
            )
            for index in range(sizes.groups)
        ]

    def _prompt(self, position: int) -> tuple[int, ...]:
        self._drawn += first_draws(self._inputs.stream, position + 1 - len(self._drawn))
        return self._inputs.evaluation.prompter.prompt_token_ids(self._drawn[position].problem)


def score_requests(sizes: Sizes, number: int) -> list[ScoreRequest]:
    """One round's groups: solutions of the built-in set, each of another problem, in the language of their group.

    All of them pass the gates, so that every one is encoded; none appears twice, within a round or in two. As in a run
    on a parallel set, the groups take the languages in turn and those of one item share its reference.
    """
    languages = sizes.config.data.languages
    in_round = sizes.groups * sizes.group_size
    items = list(
        builtin_items(seed=sizes.config.run.seed, split="train", num_items=(number + 1) * in_round, levels=LONG_LEVELS)
    )
    requests = []
    for index in range(sizes.groups):
        language = languages[index % len(languages)]
        start = number * in_round + index * sizes.group_size
        group = items[start : start + sizes.group_size]
        shared = items[number * in_round + index // len(languages)]
        english = shared.text("en")
        requests.append(
            ScoreRequest(
                language=language,
                question=shared.text(language).question,
                question_en=english.question,
                reference=_response(english.steps, english.answer, "en"),
                responses=tuple(
                    _response(text.steps, text.answer, language) for text in (item.text(language) for item in group)
                ),
                truncated=(False,) * sizes.group_size,
            )
        )
    return requests


def _response(steps: tuple[str, ...], answer: str, language: str) -> str:
    return "\n".join([*steps, LANGUAGES[language].closing.format(answer=answer)])
