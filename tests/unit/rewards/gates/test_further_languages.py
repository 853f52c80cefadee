"""Test that the gates judge the languages without built-in problems: right texts pass, English and relatives don't."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from languages.facts import LANGUAGES, builtin_languages
from rewards.gates.gates import build_gates
from rewards.gates.identify import LanguageIdentifier
from tests.builders import a_reading
from tests.models.faithful_texts import ENGLISH, FAITHFUL
from tests.models.further_texts import FURTHER

DATA = Path(__file__).resolve().parents[4].parent / "shared" / "data"
GATES = build_gates(tuple(FURTHER), min_length_ratio=0.2, max_length_ratio=4.0)
ENGLISH_SOLUTIONS = (
    ENGLISH,
    "Each box has 5 pens, so 4 boxes have 4 × 5 = 20 pens. She gave 8 to her brother, so 20 - 8 = 12 pens remain.",
)
RELATIVES = {
    "af": (FURTHER["nl"][0], FAITHFUL["de"]),
    "cs": ("Anna mala 12 jabĺk a kúpila ďalšie 3, takže teraz má 12 + 3 = 15 jabĺk.", FURTHER["pl"][0]),
    "et": ("Annalla oli 12 omenaa ja hän osti vielä 3, joten hänellä on nyt 15 omenaa.",),
    "fa": (FAITHFUL["ar"], FURTHER["ur"][0]),
    "hi": (FURTHER["mr"][0], FURTHER["mr"][1]),
    "ht": (FAITHFUL["fr"], FAITHFUL["es"]),
    "it": (FAITHFUL["es"], FURTHER["pt"][0], FURTHER["ro"][0]),
    "mr": (FURTHER["hi"][0],),
    "nl": (FAITHFUL["de"], FURTHER["pl"][0]),
    "pl": (FURTHER["cs"][0], FURTHER["nl"][0]),
    "pt": (FAITHFUL["es"], FURTHER["it"][0], "Ana tiña 12 mazás e comprou outras 3, así que agora ten 15 mazás."),
    "qu": (FAITHFUL["es"], FAITHFUL["fr"]),
    "ro": (FURTHER["it"][0], FAITHFUL["fr"]),
    "sr": (FAITHFUL["ru"], FURTHER["uk"][0], "Анна имаше 12 ябълки и купи още 3, така че сега има 15 ябълки."),
    "uk": (FAITHFUL["ru"], FURTHER["sr"][0]),
    "ur": (FURTHER["fa"][0], FAITHFUL["ar"]),
    "zu": (FAITHFUL["sw"],),
}


@pytest.fixture(scope="module")
def identifier() -> LanguageIdentifier:
    return LanguageIdentifier(tuple(FURTHER))


def test_every_language_has_texts_here_or_beside_the_built_in_problems() -> None:
    assert set(builtin_languages()) - set(FAITHFUL) <= set(FURTHER)


@pytest.mark.parametrize("code", FURTHER)
def test_every_gate_is_open_for_a_faithful_solution(code: str) -> None:
    for solution, english, answer in zip(FURTHER[code], ENGLISH_SOLUTIONS, ("15", "12"), strict=True):
        reading = a_reading(
            f"{solution}\n{LANGUAGES[code].closing.format(answer=answer)}",
            language=code,
            question="?",
            reference=f"{english}\nThe answer is {answer}.",
        )
        assert [gate.name for gate in GATES if not gate.is_open(reading)] == [], solution


@pytest.mark.parametrize("code", FURTHER)
def test_english_is_refused_alone_and_as_one_sentence_of_two(identifier: LanguageIdentifier, code: str) -> None:
    for english in ENGLISH_SOLUTIONS:
        for text in (english, f"{english} {FURTHER[code][0]}", f"{FURTHER[code][1]} {english}"):
            assert not identifier.is_in(text, code), text


@pytest.mark.parametrize("code", RELATIVES)
def test_a_relative_that_the_gate_can_know_is_refused(identifier: LanguageIdentifier, code: str) -> None:
    assert [text for text in RELATIVES[code] if identifier.is_in(text, code)] == []


def test_the_twelve_refuse_the_further_languages() -> None:
    asked = LanguageIdentifier(tuple(FAITHFUL))
    texts = {other: " ".join(solutions) for other, solutions in FURTHER.items()}
    passed = {(code, other) for code in FAITHFUL for other in texts if asked.is_in(texts[other], code)}
    assert passed == set()


def xcopa() -> Iterator[tuple[str, Path]]:
    yield from ((file.suffixes[0][1:], file) for file in sorted((DATA / "xcopa_val").glob("val.*.jsonl")))


@pytest.mark.skipif(not (DATA / "xcopa_val").exists(), reason="needs XCOPA's files in shared/data/xcopa_val")
def test_at_most_one_in_a_hundred_texts_of_xcopa_is_refused() -> None:
    for code, file in xcopa():
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        texts = [row[column] for row in rows for column in ("premise", "choice1", "choice2")]
        asked = LanguageIdentifier((code,))
        refused = [text for text in texts if not asked.is_in(text, code)]
        assert len(refused) <= 0.01 * len(texts), refused


@pytest.mark.skipif(not (DATA / "mmath").exists(), reason="needs MMATH's files in shared/data/mmath")
@pytest.mark.parametrize("code", ["ko", "pt", "vi"])
def test_hardly_a_question_of_mmath_is_refused(code: str) -> None:
    rows = json.loads((DATA / "mmath" / f"{code}.json").read_text(encoding="utf-8"))
    # Some Vietnamese rows are a note of the translator's, in Chinese.
    questions = [row["question"] for row in rows if "翻译" not in row["question"]]
    asked = LanguageIdentifier((code,))
    refused = [question for question in questions if not asked.is_in(question, code)]
    assert len(refused) <= 0.005 * len(questions), refused
