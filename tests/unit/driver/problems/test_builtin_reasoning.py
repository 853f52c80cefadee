"""Test by hand which responses to a built-in problem have only right steps."""

import pytest

from driver.problems.builtin.generate import BuiltinItem, builtin_items
from driver.problems.builtin.reasoning import is_reasoning_right
from driver.problems.builtin.texts import TEXTS
from driver.problems.builtin.texts.templates import TEMPLATES
from languages.facts import LANGUAGES

VALUES = {"a": 28, "b": 4, "c": 3}


@pytest.fixture
def eggs() -> BuiltinItem:
    """Return: Victor has 28 eggs, uses 4, and puts the rest into 3 boxes. How many are in each? 24, then 8."""
    steps = TEMPLATES["eggs"].solve(VALUES)
    assert steps is not None
    return BuiltinItem(item_id="x", template_id="eggs", level=2, values=VALUES, cast={"q": 7}, steps=steps)


@pytest.mark.parametrize(
    ("reasoning", "answer", "is_right"),
    [
        ("28 - 4 = 24 eggs are left. 24 / 3 = 8 are in each box.", 8, True),
        ("He has 24 eggs left. So 24 ÷ 3 = 8 eggs are in each box.", 8, True),  # the first step without its equation
        ("(28 eggs less 4.) 28 - 4 = 24 = 24, and 24 / 3 = 8 in each.", 8, True),
        ("1. 28 - 4 = 24 eggs are left.\n2. 24 / 3 = 8 in each.", 8, True),  # marks of a list are no numbers
        ("28 - 4 = 24 eggs are left. 24 / 3 = 8 are in each box.", 9, False),  # another answer
        ("28 - 4 = 22 eggs are left. 24 / 3 = 8 are in each box.", 8, False),  # a false equation
        ("28 - 5 = 23 eggs are left. 24 / 3 = 8 are in each box.", 8, False),  # true, with a number from nowhere
        ("28 - 4 = 24 of the 30 eggs are left. 24 / 3 = 8 are in each box.", 8, False),  # a number from nowhere
        ("28 - 4 = 24 eggs are left, so there are a few in each box.", 8, False),  # the answer is guessed
        ("There are eggs in the boxes.", 8, False),
    ],
)
def test_every_step_must_be_right(eggs: BuiltinItem, reasoning: str, answer: int, is_right: bool) -> None:
    assert is_reasoning_right(f"{reasoning}\nThe answer is {answer}.", eggs, "en") is is_right


def test_another_way_to_the_answer_is_right() -> None:
    steps = TEMPLATES["savings"].solve({"a": 5, "b": 9, "c": 6, "d": 12})  # 45, 39, 27
    assert steps is not None
    item = BuiltinItem(
        item_id="x",
        template_id="savings",
        level=3,
        values={"a": 5, "b": 9, "c": 6, "d": 12},
        cast={"q": 0},
        steps=steps,
    )
    assert is_reasoning_right("6 + 12 = 18, 5 * 9 = 45, 45 - 18 = 27. The answer is 27.", item, "en")


@pytest.mark.parametrize("language", list(TEXTS))
def test_every_faithful_solution_has_only_right_steps_and_none_with_a_wrong_number(language: str) -> None:
    for item in builtin_items(seed=6, split="test", num_items=48):
        text = item.text(language)
        closing = LANGUAGES[language].closing.format(answer=text.answer)
        assert is_reasoning_right(f"{text.solution}\n{closing}", item, language), text.solution
        first = item.steps[0]
        slip = text.solution.replace(f"= {first.result}", f"= {first.result + 10}", 1)
        assert not is_reasoning_right(f"{slip}\n{closing}", item, language), slip
