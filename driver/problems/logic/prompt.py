"""Word prompts for the problems of logic: ask for a sentence, and show worked examples that end in one."""

from collections.abc import Iterable, Sequence

from contracts.config.data import Exemplar, LogicData, PromptConfig
from contracts.config.run import Config
from driver.problems.logic.generate import logic_problems
from driver.problems.logic.texts import TEXTS
from driver.problems.logic.texts.templates import LEVELS

_EXEMPLAR_SEED = 0


def asked_with(config: Config) -> PromptConfig:
    """Return the words that ask the problems of a run."""
    return for_logic(config.prompt, config.data.languages) if isinstance(config.data, LogicData) else config.prompt


def for_logic(prompt: PromptConfig, languages: Iterable[str], *, num: int = 0) -> PromptConfig:
    """Return the settings with words that ask for a sentence, and with `num` worked examples, in these languages.

    What the config words itself stays.
    """
    known = [code for code in languages if code in TEXTS]
    instructions = {code: TEXTS[code].instruction for code in known}
    exemplars = {code: logic_exemplars(code, num) for code in known} if num else {}
    return prompt.model_copy(
        update={
            "closing": "language",
            "instructions": instructions | dict(prompt.instructions),
            "exemplars": exemplars | dict(prompt.exemplars),
        }
    )


def logic_exemplars(language: str, num: int, levels: Sequence[int] = LEVELS) -> tuple[Exemplar, ...]:
    """Return worked examples in one language, levels alternating; none is an item of train, dev or test."""
    problems = logic_problems(
        seed=_EXEMPLAR_SEED, split="exemplar", num_items=num, languages=(language,), levels=levels
    )
    return tuple(Exemplar(question=problem.question, solution=problem.translation or "") for problem in problems)
