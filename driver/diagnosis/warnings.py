"""Say what is allowed in a config and is often not meant: one line each."""

from collections.abc import Iterator

from contracts.config.reward import RewardConfig
from contracts.config.run import Config
from driver.inputs import TrainingInputs, licence_notes

_FEW_ITEMS = 100
_MANY_STEPS = 50


def warnings(config: Config, inputs: TrainingInputs) -> list[str]:
    """Return a line for each thing that a person should know before the start; the config has no mistake."""
    return [
        *inputs.notes,
        *_unread_arguments(inputs),
        *_of_the_run(config),
        *reward_notes(config.reward),
        *licence_notes(config),
    ]


def _unread_arguments(inputs: TrainingInputs) -> Iterator[str]:
    for section, prompter in (("policy", inputs.evaluation.prompter), ("pivot", inputs.pivot_prompter)):
        if unread := prompter.template.unknown_arguments:
            names = ", ".join(unread)
            yield f"{section}.chat_template_arguments: the template of {section}.model does not read {names}"


def _of_the_run(config: Config) -> Iterator[str]:
    steps, evaluation = config.algorithm.steps, config.evaluation
    if config.checkpoint.every_steps == "off" and steps > _MANY_STEPS:
        yield (
            f'checkpoint.every_steps is "off": if the driver is killed, all of the {steps} steps are done again; set '
            "it to 20, for example"
        )
    if evaluation.is_wanted and not evaluation.tasks and evaluation.num_items < _FEW_ITEMS:
        error = 50 / evaluation.num_items**0.5
        yield (
            f"evaluation.num_items is {evaluation.num_items}: the standard error of an accuracy near 50% is "
            f"{error:.0f} points, so a smaller gain can't be seen"
        )


def reward_notes(reward: RewardConfig) -> Iterator[str]:
    """Yield what a person should know about the reward's settings."""
    weights = [weights.custom for weights in (reward.weights, *reward.schedule)]
    if reward.custom.path is not None and not any(weights):
        yield "reward.custom.path is given and reward.weights.custom is 0, so your own reward changes nothing"
