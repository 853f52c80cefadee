"""Test which responses to a problem of logic have only right steps."""

from dataclasses import replace

import pytest

from driver.problems.logic.generate import LogicItem, logic_items
from driver.problems.logic.reasoning import is_reasoning_right
from driver.problems.logic.texts import TEXTS
from driver.problems.logic.texts.templates import ORDERS

every_language = pytest.mark.parametrize("language", list(TEXTS))


@pytest.fixture(scope="module")
def items() -> list[LogicItem]:
    return list(logic_items(seed=8, split="test", num_items=72))


def response(item: LogicItem, language: str, steps: tuple[str, ...]) -> str:
    closing = TEXTS[language].closing.replace("{answer}", item.text(language).answer)
    return "\n".join([*steps, closing])


@every_language
def test_every_faithful_solution_has_only_right_steps(items: list[LogicItem], language: str) -> None:
    for item in items:
        steps = item.text(language).steps
        assert is_reasoning_right(response(item, language, steps), item, language), steps


@every_language
def test_a_missing_or_wrong_step_is_found_though_the_answer_is_right(items: list[LogicItem], language: str) -> None:
    for item in items:
        steps = item.text(language).steps
        told = " / ".join(TEXTS[language].say(fact) for fact in item.facts)
        if item.template_id not in ("why", "first_cause"):  # of these the answer is told
            assert not is_reasoning_right(response(item, language, (told,)), item, language), told
        conclusion = item.steps[0].conclusion
        if conclusion.relation in ORDERS:
            wrong = TEXTS[language].say(replace(conclusion, arguments=conclusion.arguments[::-1]))
            assert not is_reasoning_right(response(item, language, (wrong, *steps)), item, language), wrong


@every_language
def test_a_wrong_answer_or_none_is_not_right(items: list[LogicItem], language: str) -> None:
    item, other = items[0], next(item for item in items if item.template_id != items[0].template_id)
    steps = item.text(language).steps
    assert not is_reasoning_right("\n".join(steps), item, language)
    closing = TEXTS[language].closing.replace("{answer}", other.text(language).answer)
    assert not is_reasoning_right("\n".join([*steps, closing]), item, language)


def test_a_denied_conclusion_is_wrong() -> None:
    item = next(item for item in logic_items(seed=8, split="test", num_items=72) if item.template_id == "not_in_club")
    text = item.text("en")
    denied = text.steps[0].replace("cannot", "can")
    assert denied != text.steps[0]
    assert not is_reasoning_right(response(item, "en", (denied, *text.steps)), item, "en")
