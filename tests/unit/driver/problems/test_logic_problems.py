"""Test the problems of logic: parallel in every language, splits without common items, and gates that let them pass."""

from collections import Counter
from dataclasses import replace

import pytest

from contracts.rollouts import ScoreRequest
from driver.problems.logic.generate import LogicItem, Split, capacity, logic_items, logic_problems
from driver.problems.logic.prompt import for_logic, logic_exemplars
from driver.problems.logic.texts import TEXTS
from driver.problems.logic.texts.templates import LEVELS, RELATIONS, TEMPLATES, Clause, Entity
from rewards.answers.final import declared_answers
from rewards.gates.gates import build_gates
from rewards.reading import read_group
from tests.builders import a_config
from tests.refusals import raised, refused

NOT_LATIN = {"ru", "zh", "ja", "th", "bn", "te", "ar"}

every_language = pytest.mark.parametrize("language", list(TEXTS))


@pytest.fixture(scope="module")
def items() -> list[LogicItem]:
    """Return at least four items of each template."""
    found = list(logic_items(seed=11, split="train", num_items=120))
    assert min(Counter(item.template_id for item in found).values()) >= 4
    return found


def test_there_are_twelve_languages_and_sixteen_templates_of_three_levels() -> None:
    assert list(TEXTS) == ["en", "de", "fr", "es", "ru", "zh", "ja", "th", "sw", "bn", "te", "ar"]
    assert LEVELS == (1, 2, 3)
    assert Counter(template.level for template in TEMPLATES.values()) == {1: 7, 2: 6, 3: 3}


def test_an_item_reads_the_same_in_english_and_german() -> None:
    template = TEMPLATES["seats"]
    entities = template.entities((1, 3, 6))
    item = LogicItem(
        item_id="x",
        template_id="seats",
        level=2,
        entities=entities | {"p": entities["a"], "q": entities["c"]},
        facts=template.facts((1, 3, 6)),
        steps=template.steps((1, 3, 6)),
    )
    english = item.text("en")
    assert sorted(english.question.split(". ")) == [
        "Clara sits to the left of Sofia",
        "Rosa sits to the right of Sofia",
        "Who sits further left, Clara or Rosa?",
    ]
    assert english.answer == "Clara sits to the left of Rosa"
    assert english.steps[0] == (
        "It was said that Rosa sits to the right of Sofia. Put the other way round, this means that Sofia sits to the "
        "left of Rosa."
    )
    assert item.text("de").steps[1] == (
        "Wir wissen: Clara sitzt links von Sofia. Außerdem wissen wir: Sofia sitzt links von Rosa. Aus diesen beiden "
        "Tatsachen folgt: Clara sitzt links von Rosa."
    )


def test_what_a_step_uses_was_told_or_concluded_before(items: list[LogicItem]) -> None:
    for item in items:
        known = {(fact.relation, fact.arguments) for fact in item.facts}
        for step in item.steps:
            used = {(premise.relation, premise.arguments) for premise in step.premises}
            assert step.kind == "explain" or used <= known, item
            known.add((step.conclusion.relation, step.conclusion.arguments))


def test_relations_have_arguments_of_their_sorts(items: list[LogicItem]) -> None:
    for item in items:
        for clause in (*item.facts, *(step.conclusion for step in item.steps)):
            sorts = RELATIONS[clause.relation]
            assert len(sorts) == len(clause.arguments)
            assert all(entity.sort in allowed for entity, allowed in zip(clause.arguments, sorts, strict=True)), clause


def test_the_question_names_its_two_in_an_order_that_says_nothing(items: list[LogicItem]) -> None:
    first = [item.entities["p"] == item.answer.arguments[0] for item in items if TEMPLATES[item.template_id].asked]
    assert 0.3 < sum(first) / len(first) < 0.7


@every_language
def test_texts_are_clean_and_in_their_script(items: list[LogicItem], language: str) -> None:
    for item in items:
        text = item.text(language)
        assert len(text.steps) == item.level
        for part in (text.question, *text.steps, text.answer):
            assert not set("{}|[]()") & set(part) and "  " not in part and part == part.strip(), part
            assert language not in NOT_LATIN or not any("a" <= letter.lower() <= "z" for letter in part), part
        assert text.answer in text.steps[-1] or text.answer[:1].upper() + text.answer[1:] in text.steps[-1]


@every_language
def test_every_gate_lets_every_faithful_solution_pass(items: list[LogicItem], language: str) -> None:
    gates = build_gates(list(TEXTS), min_length_ratio=0.2, max_length_ratio=4.0)
    english = {item.item_id: _solution(item, "en") for item in items}
    for item in items:
        request = ScoreRequest(
            language=language,
            question=item.text(language).question,
            question_en=item.text("en").question,
            reference=english[item.item_id],
            responses=(_solution(item, language), item.text(language).question),
            truncated=(False, False),
        )
        faithful, copied = read_group(request)
        assert [gate.name for gate in gates if not gate.is_open(faithful)] == [], faithful.text
        assert not all(gate.is_open(copied) for gate in gates)


@every_language
def test_the_closing_declares_the_whole_clause_as_the_answer(items: list[LogicItem], language: str) -> None:
    for item in items:
        (declared,) = declared_answers(_solution(item, language), language)
        assert declared.kind == "text" and declared.language == language
        assert declared.value == item.text(language).answer, declared


def test_splits_share_no_item_and_a_split_has_none_twice() -> None:
    splits: dict[Split, int] = {"train": 3000, "dev": 1000, "test": 2000, "exemplar": 500}
    everything = [
        item.text("en").question
        for split, num in splits.items()
        for item in logic_items(seed=1, split=split, num_items=num)
    ]
    assert len(everything) == len(set(everything)) == 6500


def test_levels_alternate_and_first_items_dont_depend_on_their_number() -> None:
    first = list(logic_items(seed=3, split="dev", num_items=6))
    assert [item.level for item in first] == [1, 2, 3, 1, 2, 3]
    assert first == list(logic_items(seed=3, split="dev", num_items=60))[:6]
    assert first != list(logic_items(seed=4, split="dev", num_items=6))
    assert {item.level for item in logic_items(seed=3, split="dev", num_items=5, levels=(2,))} == {2}


def test_problems_have_an_items_languages_side_by_side() -> None:
    problems = list(logic_problems(seed=2, split="train", num_items=2, languages=("de", "en")))
    assert [problem.group_key for problem in problems[:3]] == [
        "logic-train-000000/de",
        "logic-train-000000/en",
        "logic-train-000001/de",
    ]
    assert problems[0].question_en == problems[1].question
    assert problems[0].translation is not None and problems[0].translation.endswith(f": {problems[0].answer}.")


def test_bad_input_is_refused_with_what_exists() -> None:
    with refused("languages", "'xx'", "en, de"):
        logic_problems(seed=1, split="train", num_items=1, languages=("xx",))
    with refused("levels", "[4]", "1, 2, 3"):
        logic_items(seed=1, split="train", num_items=1, levels=(4,))
    available = capacity("dev", (3,))
    with refused("num_items", f" {available} ", f" {available + 1} "):
        logic_items(seed=1, split="dev", num_items=available + 1, levels=(3,))


def test_prompts_ask_for_a_sentence_and_keep_the_words_of_the_config() -> None:
    own = a_config(prompt={"instructions": {"de": "Denk nach."}}).prompt
    asked = for_logic(own, ("de", "fr"), num=2)
    assert asked.instructions == {"de": "Denk nach.", "fr": TEXTS["fr"].instruction}
    assert [len(asked.exemplars[code]) for code in ("de", "fr")] == [2, 2]
    assert asked.exemplars["fr"] == logic_exemplars("fr", 2)


def test_a_mistake_in_a_languages_words_is_refused() -> None:
    german = TEXTS["de"]
    with raised(ValueError, "'de'", "room"):
        replace(german, nouns={**german.nouns, "room": ("in der Küche",)})
    with raised(ValueError, "'de'", "taller"):
        replace(german, relations={**german.relations, "taller": ("{a} ist größer als {b}",)})
    with raised(ValueError, "'de'", "why"):
        replace(german, questions={name: text for name, text in german.questions.items() if name != "why"})
    with raised(ValueError, "'de'", "stories"):
        replace(german, stories=german.stories[:2])


def test_a_clause_in_another_form_means_the_same() -> None:
    arguments = (Entity("girl", 0), Entity("girl", 1))
    assert TEXTS["fr"].say(Clause("taller", arguments)) == "Maria est plus grande que Clara"
    assert TEXTS["fr"].say(Clause("taller", arguments, form=1)) == "Clara est plus petite que Maria"


def _solution(item: LogicItem, language: str) -> str:
    text = item.text(language)
    return f"{text.solution}\n{TEXTS[language].closing.replace('{answer}', text.answer)}"
