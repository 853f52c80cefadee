"""Test what the checker accepts as the right clause, and what it refuses, in every language and for every template."""

from collections.abc import Iterator

import pytest

from driver.problems.logic.checker import means
from driver.problems.logic.generate import LogicItem, logic_items
from driver.problems.logic.texts import TEXTS
from driver.problems.logic.texts.templates import ORDERS, SORTS, SYMMETRIC, Clause, Entity

OPPOSITE = {"can": "cannot", "outsider": "member", "cannot": "can"}

every_language = pytest.mark.parametrize("language", list(TEXTS))


@pytest.fixture(scope="module")
def items() -> list[LogicItem]:
    return list(logic_items(seed=5, split="test", num_items=150))


@every_language
def test_a_clause_is_right_in_both_forms_and_with_other_punctuation(items: list[LogicItem], language: str) -> None:
    for item in items:
        gold = item.text(language).answer
        assert means(gold, gold, language) and means(f"“{gold.upper()}!”", gold, language), gold
        if item.answer.relation in ORDERS | SYMMETRIC:
            assert means(TEXTS[language].say(_turned(item.answer)), gold, language), gold


@every_language
def test_opposites_other_people_and_additions_are_wrong(items: list[LogicItem], language: str) -> None:
    for item in items:
        gold = item.text(language).answer
        for wrong in _wrong(item.answer):
            assert not means(TEXTS[language].say(wrong), gold, language), (gold, wrong)
        other = TEXTS[language].say(next(_wrong(item.answer)))
        assert not means(f"{gold}, {other}", gold, language)
        assert not means("", gold, language)


@pytest.mark.parametrize(
    ("language", "gold", "right", "wrong"),
    [
        (
            "en",
            "Maria is taller than Nina",
            ("Nina is shorter than Maria", "that Nina is not as tall as Maria", "Maria is bigger than Nina is"),
            ("Maria is not taller than Nina", "Nina is taller than Maria", "Maria", "Maria is shorter than Nina"),
        ),
        (
            "en",
            "Maria is not in the choir",
            ("No, Maria is not in the choir", "She isn't in the choir", "Maria does not belong to the choir"),
            ("Maria is in the choir", "Yes, Maria is in the choir", "Maria is not in the chess club"),
        ),
        (
            "de",
            "Nina ist die Tante von Viktor",
            ("Viktor ist Ninas Neffe", "sie ist seine Tante"),
            ("Viktor ist die Tante von Nina", "Nina ist nicht die Tante von Viktor", "Nina ist der Neffe von Viktor"),
        ),
        (
            "fr",
            "Maria est plus grande que Clara",
            ("Clara est moins grande que Maria", "que Clara n'est pas aussi grande que Maria"),
            ("Maria n'est pas plus grande que Clara", "Maria est moins grande que Clara"),
        ),
        (
            "es",
            "la llave está en la cocina",
            ("La llave se encuentra en la cocina", "en la cocina está la llave"),
            ("la llave no está en la cocina", "la cocina está en la llave", "la llave está en el baño"),
        ),
        (
            "ru",
            "Давид старше, чем Лео",
            ("Лео младше Давида", "Давид старше Лео", "Лео моложе, чем Давид"),
            ("Лео старше Давида", "Давид не старше Лео", "Давид младше, чем Лео"),
        ),
        (
            "zh",
            "玛丽亚会游泳",
            ("玛丽亚也会游泳", "她会游泳"),
            ("玛丽亚不会游泳", "玛丽亚会跳舞", "克拉拉会游泳"),
        ),
        (
            "sw",
            "Maria alitoka nje bila mwavuli",
            ("Maria alisahau mwavuli wake", "kwa sababu Maria hakuchukua mwavuli"),
            ("Maria alichukua mwavuli", "Klara alitoka nje bila mwavuli", "Maria alilowa kwa mvua"),
        ),
        (
            "ja",
            "デイビッドはレオより年上だ",
            ("レオはデイビッドより年下です", "デイビッドのほうが年上です"),
            ("レオはデイビッドより年上だ", "デイビッドはレオより年上ではない"),
        ),
        (
            "th",
            "มาเรียสูงกว่าคลารา",
            ("คลาราเตี้ยกว่ามาเรีย", "คลาราไม่สูงเท่ามาเรีย"),
            ("มาเรียไม่สูงกว่าคลารา", "คลาราสูงกว่ามาเรีย"),
        ),
        (
            "bn",
            "মারিয়া সাঁতার কাটতে পারে",
            ("হ্যাঁ, মারিয়া সাঁতার কাটতে পারে", "সে সাঁতার কাটতে পারে"),
            ("মারিয়া সাঁতার কাটতে পারে না", "ক্লারা সাঁতার কাটতে পারে"),
        ),
        (
            "te",
            "మరియాకు ఈత కొట్టడం వచ్చు",
            ("ఆమెకు ఈత కొట్టడం వచ్చు", "అవును, మరియాకు ఈత కొట్టడం వచ్చు"),
            ("మరియాకు ఈత కొట్టడం రాదు", "క్లారాకు ఈత కొట్టడం వచ్చు"),
        ),
        (
            "ar",
            "ماريا أطول من كلارا",
            ("كلارا أقصر من ماريا", "أن ماريا أطول من كلارا"),
            ("ماريا ليست أطول من كلارا", "كلارا أطول من ماريا", "ماريا أقصر من كلارا"),
        ),
    ],
)
def test_free_wording_is_right_and_denials_are_wrong(
    language: str, gold: str, right: tuple[str, ...], wrong: tuple[str, ...]
) -> None:
    assert [answer for answer in right if not means(answer, gold, language)] == []
    assert [answer for answer in wrong if means(answer, gold, language)] == []


def test_a_gold_answer_must_be_a_clause_of_the_problems() -> None:
    with pytest.raises(KeyError):
        means("Maria is taller than Nina", "Maria is very tall", "en")


def _turned(clause: Clause) -> Clause:
    """Return the same statement from the other end."""
    if clause.relation in ORDERS:
        return Clause(clause.relation, clause.arguments, form=1)
    return Clause(clause.relation, clause.arguments[::-1])


def _wrong(clause: Clause) -> Iterator[Clause]:
    """Yield clauses with another meaning: turned round, denied, and about each other person or thing."""
    first, second = clause.arguments
    if clause.relation in OPPOSITE:
        yield Clause(OPPOSITE[clause.relation], clause.arguments)
    elif first.sort == second.sort and clause.relation not in SYMMETRIC:
        yield Clause(clause.relation, (second, first))
    elif clause.relation == "owns":
        yield Clause("lacks", clause.arguments)
    for place, entity in enumerate(clause.arguments):
        for index in range(SORTS[entity.sort]):
            changed = list(clause.arguments)
            changed[place] = Entity(entity.sort, index)
            if len(set(changed)) == 2 and changed != list(clause.arguments):
                yield Clause(clause.relation, tuple(changed))
