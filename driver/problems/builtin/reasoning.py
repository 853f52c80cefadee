"""Decide by rule whether every step of a response to a built-in problem is right: for measuring only."""

from fractions import Fraction

from driver.problems.builtin.generate import BuiltinItem
from rewards.answers.equations import equations
from rewards.answers.final import answer_of, declared_answers, same_answer, split_reasoning
from rewards.number_coverage import find_text_numbers
from rewards.texts.clean import clean


def is_reasoning_right(response: str, item: BuiltinItem, language: str) -> bool:
    """Return whether a response reaches the right answer by right steps only.

    - It declares the item's answer, and an equation has that answer as its result.
    - Every equation is true, and works with numbers of the question, of the item's own steps or of earlier equations.
    - Every other number in digits of the reasoning is one of these, too.

    Another way than the item's steps is right as well, and so is a true step that is not needed. An equation that can't
    be worked out is none.

    Raises:
        ValueError: the language is unknown.
    """
    text = clean(response)
    declared = declared_answers(text, language)
    answer = answer_of(declared)
    if answer is None or not same_answer(answer, item.answer):
        return False
    reasoning, _ = split_reasoning(text, declared, language)
    known = {Fraction(value) for value in item.values.values()} | {Fraction(step.result) for step in item.steps}
    reached: set[Fraction] = set()
    for equation in equations(reasoning, language):
        if not equation.is_true or not known.issuperset(equation.operands):
            return False
        known.update(equation.results)
        reached.update(equation.results)
    stated = {Fraction(value.removesuffix("%")) for value in find_text_numbers(reasoning, language).digits}
    return Fraction(item.answer) in reached and stated <= known
