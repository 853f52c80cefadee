"""Check that the rest of a config can work with the problems of logic, whose answers are clauses."""

from contracts.config.data import EvaluationConfig, LogicData, PromptConfig
from contracts.config.reward import RewardConfig
from contracts.errors import BadInput


def check_logic(data: LogicData, prompt: PromptConfig, evaluation: EvaluationConfig) -> None:
    """Check what is asked for and how it is evaluated.

    Raises:
        BadInput: clauses can't be asked for or graded so.
    """
    if prompt.closing == "boxed":
        raise BadInput(
            f'data.source "{data.source}" asks for a sentence as the answer, which is not put in a box; leave '
            "prompt.closing out",
            key="prompt.closing",
        )
    if evaluation.is_wanted and not evaluation.tasks:
        raise BadInput(
            f'evaluation.source "{evaluation.source}" is asked as in training, where data.source "{data.source}" wants '
            'a sentence; set evaluation.tasks = ["logic"], or switch evaluation.before, after and every_steps off',
            key="evaluation.tasks",
        )


def check_logic_reward(data: LogicData, reward: RewardConfig) -> None:
    """Check that a reward can tell clauses apart.

    Raises:
        BadInput: every group would be unscored, or a component would be the same for all responses.
    """
    if reward.unparsed_answers == "unscored":
        raise BadInput(
            f'with data.source "{data.source}" every answer is a clause, and reward.unparsed_answers "unscored" scores '
            'none; choose "embedding" or "comet", or "exact" with reward.weights.answer = 0',
            key="reward.unparsed_answers",
        )
    points = reward.schedule or (reward.weights,)
    if any(point.numbers > 0 for point in points):
        raise BadInput(
            f'with data.source "{data.source}" a reasoning has no numbers, so the component is the same for all '
            "responses; set reward.weights.numbers = 0",
            key="reward.weights.numbers",
        )
    if reward.unparsed_answers != "exact":
        return
    same = 'reward.unparsed_answers "exact" finds no clause equal to the pivot\'s English one'
    if any(point.answer > 0 for point in points):
        raise BadInput(
            f'{same}; set reward.weights.answer = 0, or choose "embedding" or "comet"', key="reward.weights.answer"
        )
    if reward.combine == "answer_gated":
        raise BadInput(f'{same}, so reward.combine "answer_gated" pays nothing; choose "sum"', key="reward.combine")
    if data.curriculum == "success_rate":
        raise BadInput(
            f'{same}, so no problem ever counts as solved; set data.curriculum = "off"', key="data.curriculum"
        )
