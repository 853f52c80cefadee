"""Test translating a set: which texts, which rows, how they are judged, and what a stopped command has kept."""

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

import pytest

from contracts.rollouts import Problem
from driver.problems.sources import ListSource
from driver.translation.items import Work
from driver.translation.journal import QUESTIONS, Journal, check_origin
from driver.translation.translate import Translation, languages_spoken
from driver.translation.translators import EngineTranslator
from rewards.reasoning.similarity import ReasoningPair
from tests.fakes.ports import FakeGenerator, run
from tests.refusals import refused

ORIGIN = {"problems": "abc", "translator": "some-org/nllb"}


def a_set(*items: tuple[str, str, str, str]) -> ListSource:
    """Return a set of (item, language, question, English question)."""
    problems = [
        Problem(item_id=item, language=language, question=question, question_en=english, answer="1")
        for item, language, question, english in items
    ]
    return ListSource(problems, name="set")


GERMAN = a_set(*((f"i{number}", "de", f"frage {number}", "") for number in range(40)))


class UpperCase:
    """Translate by putting the target before the text in upper case; some texts it can't translate."""

    def __init__(self, *, fails: Sequence[str] = ()) -> None:
        self.asked: list[tuple[str, str, int]] = []
        self._fails = fails

    async def translate(self, texts: Sequence[str], *, source: str, target: str) -> list[str]:
        self.asked.append((source, target, len(texts)))
        await asyncio.sleep(0.001 * (len(self.asked) % 3))  # answers come in another order than they were asked for
        return ["" if text in self._fails else f"{target}:{text.upper()}" for text in texts]


class SameEnd:
    """Compare by whether two texts end alike, in any case."""

    async def similarities(self, pairs: Sequence[ReasoningPair]) -> list[float]:
        return [float(pair.reference.lower().endswith(pair.reasoning.lower())) for pair in pairs]


def translated(
    work: Work, translator: UpperCase, *, num_in_flight: int = 3
) -> tuple[list[Mapping[str, object]], Translation]:
    rows: list[Mapping[str, object]] = []
    translation = Translation(
        work, translator=translator, compare=SameEnd(), write=rows.extend, on_progress=lambda number: None
    )
    run(translation.run(work.tasks, num_in_flight=num_in_flight))
    return rows, translation


def test_every_question_gets_an_english_one_with_its_translation_back_in_the_sets_order() -> None:
    translator = UpperCase()
    rows, translation = translated(Work(GERMAN, languages=("de",), into=("en",)), translator)
    assert [row["item_id"] for row in rows] == [f"i{number}" for number in range(40)]
    assert rows[7] == {
        "item_id": "i7",
        "language": "de",
        "question": "frage 7",
        "question_en": "en:FRAGE 7",
        "answer": "1",
        "back_translation": "de:EN:FRAGE 7",
        "similarity": 1.0,
    }
    there, back = ([(*pair, size) for size in (8, 16, 16)] for pair in (("de", "en"), ("en", "de")))
    assert sorted(translator.asked) == [*there, *back]
    assert (translation.counts.translated, translation.counts.failed) == (40, 0)


def test_the_languages_of_an_item_share_one_english_question() -> None:
    source = a_set(("a", "de", "eins", ""), ("a", "sw", "moja", ""), ("b", "sw", "mbili", ""))
    rows, _ = translated(Work(source, languages=("de", "sw"), into=("en",)), UpperCase())
    assert [(row["item_id"], row["language"], row["question_en"]) for row in rows] == [
        ("a", "de", "en:EINS"),
        ("a", "sw", "en:EINS"),
        ("b", "sw", "en:MBILI"),
    ]


def test_an_english_question_that_is_there_is_kept_and_not_judged() -> None:
    source = a_set(("a", "sw", "moja", ""), ("a", "de", "eins", "One?"), ("b", "de", "zwei", "Two?"))
    rows, translation = translated(Work(source, languages=("sw", "de"), into=("en",)), UpperCase())
    assert {(row["item_id"], row["language"]): (row["question_en"], row["similarity"]) for row in rows} == {
        ("a", "de"): ("One?", None),
        ("a", "sw"): ("One?", None),
        ("b", "de"): ("Two?", None),
    }
    assert (translation.counts.given, translation.counts.translated) == (2, 0)


def test_from_english_each_language_gets_a_question() -> None:
    source = a_set(("a", "en", "one", "one"), ("b", "en", "two", "two"))
    work = Work(source, languages=("en",), into=("sw", "th"))
    rows, _ = translated(work, UpperCase())
    assert [(row["item_id"], row["language"], row["question"], row["question_en"]) for row in rows] == [
        ("a", "sw", "sw:ONE", "one"),
        ("b", "sw", "sw:TWO", "two"),
        ("a", "th", "th:ONE", "one"),
        ("b", "th", "th:TWO", "two"),
    ]
    assert languages_spoken(work) == ("en", "sw", "th")
    assert [list(work.keys(task)) for task in work.tasks[:2]] == [[("a", "sw")], [("b", "sw")]]


def test_a_text_without_a_translation_has_no_row_and_is_counted() -> None:
    source = a_set(("a", "de", "eins", ""), ("b", "de", "zwei", ""))
    rows, translation = translated(Work(source, languages=("de",), into=("en",)), UpperCase(fails=("zwei",)))
    assert [row["item_id"] for row in rows] == ["a"]
    assert (translation.counts.failed, translation.counts.first_failed) == (1, ["set, problem b/de"])


def test_a_similarity_that_is_no_number_is_null() -> None:
    class Unknown(SameEnd):
        async def similarities(self, pairs: Sequence[ReasoningPair]) -> list[float]:
            return [math.nan] * len(pairs)

    rows: list[Mapping[str, object]] = []
    work = Work(a_set(("a", "de", "eins", "")), languages=("de",), into=("en",))
    translation = Translation(
        work, translator=UpperCase(), compare=Unknown(), write=rows.extend, on_progress=lambda number: None
    )
    run(translation.run(work.tasks, num_in_flight=1))
    assert (rows[0]["back_translation"], rows[0]["similarity"]) == ("de:EN:EINS", None)


def a_row(item_id: str, language: str = "de") -> dict[str, object]:
    return {"item_id": item_id, "language": language, "question": "ä"}


def test_a_journal_goes_on_behind_its_last_whole_row(tmp_path: Path) -> None:
    with Journal(tmp_path, ORIGIN) as journal:
        journal.write([a_row("a"), a_row("b")])
    with (tmp_path / QUESTIONS).open("ab") as file:
        file.write(b'{"item_id": "c", "langu')
    with Journal(tmp_path, ORIGIN) as journal:
        assert journal.done == {("a", "de"), ("b", "de")}
        journal.write([a_row("b"), a_row("b", "sw")])  # the first one is there
        assert [(row["item_id"], row["language"]) for row in journal.rows()] == [("a", "de"), ("b", "de"), ("b", "sw")]
    lines = (tmp_path / QUESTIONS).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["question"] for line in lines] == ["ä", "ä", "ä"]


def test_a_journal_of_another_set_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    with Journal(tmp_path, ORIGIN) as journal:
        journal.write([a_row("a")])
    before = (tmp_path / QUESTIONS).read_bytes()
    with refused("run.name", "translator"):
        check_origin(tmp_path, ORIGIN | {"translator": "another"})
    with refused("run.name", "translator"):
        Journal(tmp_path, ORIGIN | {"translator": "another"})
    assert (tmp_path / QUESTIONS).read_bytes() == before


@pytest.mark.parametrize("line", [b"x\n", b"[]\n", b'{"item_id": "a"}\n'])
def test_a_damaged_row_of_a_journal_is_refused_by_its_line(tmp_path: Path, line: bytes) -> None:
    with Journal(tmp_path, ORIGIN) as journal:
        journal.write([a_row("a")])
    with (tmp_path / QUESTIONS).open("ab") as file:
        file.write(line + b'{"item_id": "b", "language": "de"}\n')
    with refused(QUESTIONS, "line 2"):
        Journal(tmp_path, ORIGIN)


def an_engine_translator(pivot: FakeGenerator, *, max_model_len: int = 50) -> EngineTranslator:
    return EngineTranslator(
        pivot=pivot,
        prompt=lambda target: lambda text, source: tuple(range(len(text))),
        max_model_len=max_model_len,
        max_tokens=20,
        numbers=count(),
    )


def test_the_pivot_translates_greedily_with_the_room_that_there_is() -> None:
    pivot = FakeGenerator()
    texts = ["x" * 10, "x" * 45, "x" * 60]
    found = run(an_engine_translator(pivot).translate(texts, source="de", target="en"))
    assert [request.max_tokens for request in pivot.requests] == [20, 5]
    assert {request.temperature for request in pivot.requests} == {0.0}
    assert len({request.request_id for request in pivot.requests}) == 2
    assert found[0] and found[1] and found[2] == ""
