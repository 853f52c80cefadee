"""Test the built-in parallel problems: arithmetic, splits and seeds, and the same numbers in every language."""

import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from string import Formatter

import pytest

from driver.problems.builtin.generate import BuiltinItem, builtin_items, builtin_problems, capacity, exemplars
from driver.problems.builtin.texts import TEXTS
from driver.problems.builtin.texts.templates import CAST_SIZE, LEVELS, TEMPLATES, is_showable
from driver.problems.builtin.texts.wording import ParallelText
from tests.refusals import raised, refused

ROOT = Path(__file__).resolve().parents[4]
ORDER = ("en", "de", "fr", "es", "ru", "zh", "ja", "th", "sw", "bn", "te", "ar")
NOT_LATIN = {"ru", "zh", "ja", "th", "bn", "te", "ar"}
COMPUTE = {"+": int.__add__, "-": int.__sub__, "×": int.__mul__, "÷": int.__floordiv__}
EQUATION = re.compile(r"(\d+) ([-+×÷]) (\d+) = (\d+)")

every_language = pytest.mark.parametrize("language", list(TEXTS))


@pytest.fixture(scope="module")
def items() -> list[BuiltinItem]:
    """Return 200 items of each template, with different numbers as far as the template has them."""
    return [
        *builtin_items(seed=11, split="train", num_items=120 * len(TEMPLATES)),
        *builtin_items(seed=12, split="test", num_items=80 * len(TEMPLATES)),
    ]


def test_every_level_has_at_least_six_templates_and_every_operator_is_used() -> None:
    assert LEVELS == (1, 2, 3, 4)
    per_level = Counter(template.level for template in TEMPLATES.values())
    assert sum(per_level.values()) >= 24
    assert min(per_level.values()) >= 6
    assert {line.split()[1] for template in TEMPLATES.values() for line in template.plan} == set(COMPUTE)


def test_a_template_computes_its_plan() -> None:
    steps = TEMPLATES["eggs"].solve({"a": 28, "b": 4, "c": 3})
    assert steps is not None
    assert [step.equation for step in steps] == ["28 - 4 = 24", "24 ÷ 3 = 8"]


def test_a_template_refuses_numbers_without_an_exact_showable_solution() -> None:
    eggs = TEMPLATES["eggs"]
    assert eggs.solve({"a": 28, "b": 3, "c": 4}) is None  # 25 ÷ 4 has a remainder
    assert eggs.solve({"a": 10, "b": 4, "c": 3}) is None  # 6 ÷ 3 = 2, a dual
    assert eggs.solve({"a": 5, "b": 9, "c": 3}) is None  # 5 - 9 is negative
    assert [number for number in (2, 3, 100, 101, 102, 999, 1003) if is_showable(number)] == [3, 100, 999]


def test_every_item_uses_every_template_equally_often(items: list[BuiltinItem]) -> None:
    assert Counter(item.template_id for item in items) == dict.fromkeys(TEMPLATES, 200)


def test_every_number_of_every_item_can_be_shown(items: list[BuiltinItem]) -> None:
    for item in items:
        numbers = [*item.values.values(), *(step.result for step in item.steps)]
        assert all(is_showable(number) for number in numbers), item


def test_the_asked_levels_alternate_from_the_first_item_on() -> None:
    first = list(builtin_items(seed=3, split="train", num_items=8))
    assert [item.level for item in first] == [1, 2, 3, 4, 1, 2, 3, 4]
    assert [item.item_id for item in first[:2]] == ["builtin-train-000000", "builtin-train-000001"]
    assert [item.level for item in builtin_items(seed=3, split="train", levels=(3, 1), num_items=4)] == [1, 3, 1, 3]


@every_language
def test_every_step_states_one_true_equation_and_the_last_the_answer(items: list[BuiltinItem], language: str) -> None:
    for item in items:
        text = item.text(language)
        assert len(text.steps) == item.level
        for sentence in text.steps:
            found = EQUATION.findall(sentence)
            assert len(found) == 1, sentence
            left, operator, right, result = found[0]
            assert COMPUTE[operator](int(left), int(right)) == int(result)
            assert operator != "÷" or int(left) % int(right) == 0
            assert re.findall(r"\d+", sentence) == [left, right, result]
        assert text.answer == item.answer == EQUATION.findall(text.steps[-1])[0][3]


@every_language
def test_question_and_solution_have_the_numbers_of_the_english_ones(items: list[BuiltinItem], language: str) -> None:
    for item in items:
        here, english = item.text(language), item.text("en")
        assert _numbers(here.question) == _numbers(english.question) == Counter(map(str, item.values.values()))
        assert _numbers(here.solution) == _numbers(english.solution)


@every_language
def test_sentences_are_clean(items: list[BuiltinItem], language: str) -> None:
    mark = TEXTS[language].question_mark
    for item in items:
        text = item.text(language)
        assert text.question.endswith(mark)
        for sentence in (text.question, *text.steps):
            assert not re.search(r"[{}|]|\s\s|\n", sentence), sentence
            assert sentence == sentence.strip()
            assert not re.search(r"\s[.,;:。，،]", sentence), sentence


@every_language
def test_every_person_of_a_template_is_named_in_the_question(items: list[BuiltinItem], language: str) -> None:
    words = TEXTS[language]
    assert len({*words.girls, *words.boys}) == 2 * CAST_SIZE
    for item in items:
        question = item.text(language).question
        for role, index in item.cast.items():
            name = (words.girls if role == "p" else words.boys)[index]
            assert any(form in question for form in name.split("|")), (name, question)


@pytest.mark.parametrize("language", [code for code in TEXTS if code != "en"])
def test_no_sentence_is_left_in_english(items: list[BuiltinItem], language: str) -> None:
    for template_id, sentences in TEXTS[language].sentences.items():
        for here, english in zip(sentences, TEXTS["en"].sentences[template_id], strict=True):
            assert _words(here) != _words(english)
    if language in NOT_LATIN:
        for item in items:
            assert not re.search("[A-Za-z]", item.text(language).question + item.text(language).solution), item


def test_languages_are_listed_in_the_projects_order() -> None:
    assert list(TEXTS) == [code for code in ORDER if code in TEXTS]
    assert {"en", "de", "fr", "es"} <= set(TEXTS)
    for code, text in TEXTS.items():
        assert text.language == code


def test_an_item_reads_the_same_in_english_and_german() -> None:
    steps = TEMPLATES["eggs"].solve({"a": 28, "b": 4, "c": 3})
    assert steps is not None
    item = BuiltinItem(
        item_id="x", template_id="eggs", level=2, values={"a": 28, "b": 4, "c": 3}, cast={"q": 7}, steps=steps
    )
    assert item.text("en") == ParallelText(
        question="Victor has 28 eggs. He uses 4 eggs for a cake. He puts the rest equally into 3 boxes. "
        "How many eggs are in each box?",
        steps=("After the cake, Victor has 28 - 4 = 24 eggs left.", "There are 24 ÷ 3 = 8 eggs in each box."),
        answer="8",
    )
    assert item.text("de").solution == (
        "Nach dem Kuchen hat Viktor noch 28 - 4 = 24 Eier.\nIn jeder Schachtel sind 24 ÷ 3 = 8 Eier."
    )


def test_words_agree_with_numbers_and_names_take_their_case() -> None:
    english = TEXTS["en"]
    words = replace(
        english,
        girls=tuple(f"{name}|of {name}" for name in english.girls),
        boys=tuple(f"{name}|of {name}" for name in english.boys),
        cases=("nom", "gen"),
        plural=lambda number: 0 if number <= 10 else 1,
        sentences={
            **english.sentences,
            "oranges": ("{a} {a:few|many} {p:gen} {b} {b:few|many} {p}?", "{eq} {eq:few|many}, {b:few|many}"),
        },
    )
    steps = TEMPLATES["oranges"].solve({"a": 4, "b": 12})
    assert steps is not None
    text = words.render("oranges", values={"a": 4, "b": 12}, cast={"p": 0}, steps=steps)
    assert text.question == "4 few of Maria 12 many Maria?"
    assert text.steps == ("4 × 12 = 48 many, many",)


@pytest.mark.parametrize(
    ("sentences", "found"),
    [
        (("{p} {a} {b}?",), "1 sentences"),
        (("{p} {a}?", "{eq}"), "numbers a;"),
        (("{p} {a} {b} {b}?", "{eq}"), "numbers a, b, b;"),
        (("{p} {a} {b}?", "{eq} {a}"), "numbers a, eq;"),
        (("{p} {q} {a} {b}?", "{eq}"), "numbers a, b, q;"),
        (("{p} {a} {b}?", "{eq} 7"), "'{eq} 7'"),
        (("{p} {a} {b}.", "{eq}"), "'?'"),
        (("{p:gen} {a} {b}?", "{eq}"), "'gen'"),
    ],
)
def test_a_mistake_in_a_template_is_refused_with_what_was_found(sentences: tuple[str, ...], found: str) -> None:
    english = TEXTS["en"]
    with raised(ValueError, "'en'", "'oranges'", found):
        replace(english, sentences={**english.sentences, "oranges": sentences})


def test_a_missing_template_or_name_is_refused() -> None:
    english = TEXTS["en"]
    with raised(ValueError, "'en'", "eggs"):
        replace(english, sentences={"gift": english.sentences["gift"]})
    with raised(ValueError, "'en'", "7 girls", "8"):
        replace(english, girls=english.girls[:-1])
    with raised(ValueError, "'en'", "'Maria'", "nom, gen"):
        replace(english, cases=("nom", "gen"))


def test_no_split_shares_numbers_with_another() -> None:
    train = list(builtin_items(seed=1, split="train", num_items=6000))
    test = list(builtin_items(seed=1, split="test", num_items=6000))
    assert not _choices(train) & _choices(test)
    worked = {_masked(text.question, text.answer) for text in exemplars("en", num=600)}
    assert len(worked) > 500
    assert not worked & {_masked(item.text("en").question, item.answer) for item in train + test}


def test_a_split_gives_every_item_once_and_then_says_that_there_are_no_more() -> None:
    available = capacity("test", (2,))
    drawn = list(builtin_items(seed=5, split="test", levels=(2,), num_items=available))
    assert len({(item.template_id, *item.values.values(), *item.cast.values()) for item in drawn}) == available
    assert len({item.item_id for item in drawn}) == available
    with refused("num_items", f" {available} ", "'test'", "levels 2,", f" {available + 1} "):
        builtin_items(seed=5, split="test", levels=(2,), num_items=available + 1)


def test_the_same_seed_gives_the_same_first_items_and_another_seed_others() -> None:
    first = list(builtin_items(seed=7, split="train", num_items=100))
    assert first == list(islice(builtin_items(seed=7, split="train", num_items=5000), 100))
    assert _choices(first) != _choices(list(builtin_items(seed=8, split="train", num_items=100)))


def test_items_dont_depend_on_the_process() -> None:
    program = (
        "from driver.problems.builtin.generate import builtin_problems\n"
        "for problem in builtin_problems(seed=4, split='test', num_items=40, languages=['de']):\n"
        "    print(problem)\n"
    )
    printed: list[str] = []
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, env=environment, cwd=ROOT, check=True, stdout=subprocess.PIPE)
        printed.append(done.stdout.decode())
    assert printed[0].count("builtin-test-") == 40
    assert printed[0] == printed[1]


def test_problems_have_an_items_languages_side_by_side() -> None:
    problems = list(builtin_problems(seed=2, split="train", num_items=3, languages=("en", "fr", "de")))
    items = list(builtin_items(seed=2, split="train", num_items=3))
    assert [problem.group_key for problem in problems[:4]] == [
        "builtin-train-000000/en",
        "builtin-train-000000/fr",
        "builtin-train-000000/de",
        "builtin-train-000001/en",
    ]
    assert problems[0].question == problems[0].question_en == problems[2].question_en
    assert problems[4].question == items[1].text("fr").question
    assert problems[4].answer == items[1].answer


def test_exemplars_mix_levels_and_stay_the_same() -> None:
    worked = exemplars("es", num=6)
    assert [len(text.steps) for text in worked] == [1, 2, 3, 4, 1, 2]
    assert worked[:3] == exemplars("es", num=3)
    assert [len(text.steps) for text in exemplars("en", num=3, levels=(2,))] == [2, 2, 2]
    assert len({re.sub(r"\d+", "", text.steps[-1]) for text in exemplars("es", num=len(TEMPLATES))}) > 20


def test_bad_input_is_refused_with_what_exists() -> None:
    with refused("languages", "'xx'", "en, de, fr, es"):
        builtin_problems(seed=1, split="train", num_items=1, languages=("de", "xx"))
    with refused("levels", "[1, 5]", "1, 2, 3, 4"):
        builtin_items(seed=1, split="train", levels=(5, 1), num_items=1)
    with refused("levels", "[]"):
        builtin_items(seed=1, split="train", levels=(), num_items=1)
    with refused("num_items", "-1"):
        builtin_items(seed=1, split="train", num_items=-1)
    with refused("split", "'exemplar'", "train and test"):
        builtin_items(seed=1, split="exemplar", num_items=1)  # pyright: ignore[reportArgumentType]


def _numbers(text: str) -> Counter[str]:
    return Counter(re.findall(r"\d+", text))


def _words(sentence: str) -> str:
    """Return a sentence without its placeholders."""
    return "".join(literal for literal, *_ in Formatter().parse(sentence))


def _choices(items: list[BuiltinItem]) -> set[tuple[object, ...]]:
    return {(item.template_id, *item.values.values()) for item in items}


def _masked(question: str, answer: str) -> str:
    """Return a question without its names, so that only template and numbers distinguish it."""
    for name in TEXTS["en"].girls + TEXTS["en"].boys:
        question = question.replace(name, "_")
    return f"{question} {answer}"
