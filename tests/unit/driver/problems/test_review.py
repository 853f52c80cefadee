"""Test the look through all problems before a run: prompts that are too long, and items that are evaluated, too."""

from collections.abc import Sequence

import pytest

from contracts.errors import BadInput
from contracts.rollouts import Problem
from driver.problems.prompts import PromptTooLong
from driver.problems.review import PromptCheck, shared_items, usable_problems
from driver.problems.sources import ListSource
from tests.builders import a_problem
from tests.refusals import refused

ROOM = 20


def a_source(*lengths: int, language: str = "de") -> ListSource:
    """Return problems whose questions have so many characters."""
    return ListSource(
        [a_problem(f"i{number}", language, question="x" * length) for number, length in enumerate(lengths)], name="list"
    )


class CharacterPrompts:
    """Make a token of every character, and three around them."""

    def __init__(self) -> None:
        self.built: list[str] = []

    def build(self, problem: Problem) -> Sequence[int]:
        self.built.append(problem.item_id)
        num_tokens = len(problem.question) + 3
        if num_tokens > ROOM:
            raise PromptTooLong("too long", key="policy.max_model_len", num_tokens=num_tokens, room=ROOM)
        return range(num_tokens)

    def check(self) -> PromptCheck:
        return PromptCheck(section="policy", text=lambda problem: problem.question, build=self.build, room=ROOM)


def test_where_all_prompts_fit_the_source_stays_as_it_is() -> None:
    source = a_source(5, 17)
    assert usable_problems(source, ("de",), checks=[CharacterPrompts().check()], on_bad_item="refuse") is source


def test_prompts_that_are_too_long_are_refused_with_their_number_and_the_longest() -> None:
    source = a_source(5, 18, 40, 30, 19)
    with refused("policy.max_model_len", "4 of 5", "43 tokens (list, problem i2/de)", "leaves 20", "data.on_bad_item"):
        usable_problems(source, ("de",), checks=[CharacterPrompts().check()], on_bad_item="refuse")


def test_prompts_that_are_too_long_are_left_out_where_the_config_allows_it() -> None:
    source = a_source(5, 18, 7, 40, 9)
    kept = usable_problems(source, ("de",), checks=[CharacterPrompts().check()], on_bad_item="skip")
    assert kept.counts == {"de": 3}
    assert [kept.problem("de", position).item_id for position in range(3)] == ["i0", "i2", "i4"]
    assert kept.where("de", 1) == "list, problem i2/de"
    assert kept.fingerprint != source.fingerprint  # positions are others
    (note,) = kept.notes
    assert "2 of 5" in note and "43 tokens" in note


def test_a_language_of_which_nothing_would_be_left_is_refused() -> None:
    with refused("policy.max_model_len", "nothing would be left in de"):
        usable_problems(a_source(18, 40), ("de",), checks=[CharacterPrompts().check()], on_bad_item="skip")


def test_a_prompt_that_surely_fits_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("driver.problems.review._NUM_BUILT", 1)
    prompts = CharacterPrompts()
    source = a_source(2, 5, 18, 9, 12)  # 5 tokens around: 5 + 1.5 * 9 is 18.5, and 5 + 1.5 * 12 more than there is room
    kept = usable_problems(source, ("de",), checks=[prompts.check()], on_bad_item="skip")
    assert prompts.built == ["i0", "i2", "i4"]
    assert kept.counts == {"de": 4}


def test_a_prompt_that_the_template_refuses_is_a_mistake_of_its_own() -> None:
    def build(problem: Problem) -> Sequence[int]:
        raise BadInput("the template refuses it", key="policy.chat_template")

    check = PromptCheck(section="policy", text=lambda problem: problem.question, build=build, room=ROOM)
    with refused("policy.chat_template"):
        usable_problems(a_source(5), ("de",), checks=[check], on_bad_item="skip")


def test_items_that_are_learned_from_and_evaluated_are_counted() -> None:
    problems = [a_problem("a", "de", question="Wie  viele?"), a_problem("b", "de", question="Wie teuer?")]
    source = ListSource(problems, name="list")
    evaluated = [
        ("t1", "de", "wie viele? "),
        ("t2", "de", "Wie weit?"),
        ("t3", "en", "Question b?"),  # the English of a problem that is learned in German
        ("t4", "sw", "Wie teuer?"),  # another language
    ]
    (line,) = shared_items(source, ("de",), evaluated)
    assert "2 of the 4" in line and "t1 in de (list, problem a/de)" in line
    assert list(shared_items(source, ("de",), evaluated[1:2])) == []
