"""Test the gate for repetition: loops are refused, faithful solutions are not, each limit from both sides."""

from itertools import product

import pytest

from driver.problems.builtin.generate import builtin_items
from rewards.gates.repetition import RepetitionGate, repeats_phrases, repeats_sentences
from tests.builders import a_reading

CLOSING = "Die Antwort lautet 11."
GATE = RepetitionGate()

STATIONS = (
    "Am ersten Bahnhof steigen 5 Personen aus, also sind es 26 - 5 = 21 Personen im Zug.\n"
    "Am zweiten Bahnhof steigen 7 Personen aus, also sind es 21 - 7 = 14 Personen im Zug.\n"
    "Am dritten Bahnhof steigen 2 Personen aus, also sind es 14 - 2 = 12 Personen im Zug."
)


REPETITION_CASES = {
    "the same phrases with other numbers": (STATIONS, True),
    "a short formula again": ("Es gilt 5 + 6 = 11.\n5 + 6 = 11.\n5 + 6 = 11.\nDas sind die Bälle von Roger.", True),
    "all of it twice": (f"{STATIONS}\n{STATIONS}", False),
    "one sentence three times": (f"{STATIONS}\n" + "Das war der Zug.\n" * 3, False),
    "a phrase in one long line": ("und dann kommt noch ein Ball dazu " * 8, False),
    "a loop that counts up": (" ".join(f"An Tag {day} kommt ein neuer Ball dazu," for day in range(1, 40)), False),
    "a word": ("ja " * 60, False),
    "a loop without spaces": ("hahaha" * 60, False),
    "one letter": ("Das ist " + "a" * 60, False),
    "what leads to an equation": (
        "Zuerst kommen die Äpfel dazu. Das macht:\n5 + 6 = 11\nDanach die Birnen. Das macht:\n11 + 7 = 18\n"
        "Am Ende kommen noch die Kirschen. Das macht:\n18 + 9 = 27\n",
        True,
    ),
    "one sign": ("Das sind die Bälle von Roger" + "." * 30, False),
    "a shorter line of one sign": ("Das sind die Bälle von Roger.\n" + "-" * 29, True),
    "one digit": ("Das sind die Bälle von Roger: " + "0" * 30, False),
}


@pytest.mark.parametrize("case", REPETITION_CASES)
def test_repetition_gate_shuts_for_loops_alone(case: str) -> None:
    reasoning, expected = REPETITION_CASES[case]
    assert GATE.is_open(a_reading(f"{reasoning}\n{CLOSING}")) is expected


@pytest.mark.parametrize("code", ["zh", "ja", "th"])
def test_repetition_gate_knows_scripts_without_spaces(code: str) -> None:
    item = next(builtin_items(seed=5, split="test", num_items=1, levels=[4])).text(code)
    once, thrice = item.solution, item.solution.replace("\n", " ") * 3
    assert GATE.is_open(a_reading(once, language=code))
    assert not GATE.is_open(a_reading(thrice, language=code))


def cycle(period: int, num: int, *, with_numbers: bool = False) -> str:
    """Return `num` words that come again after every `period`, each with a number of its own behind it if asked."""
    words = [f"{'abcdefghijklmnopqrstuvwxyz'[index % period % 26]}{'xy'[index % period // 26]}" for index in range(num)]
    return " ".join(f"{word} {index + 100}" if with_numbers else word for index, word in enumerate(words))


# 25 words have 20 phrases of six, 55 have 50. All but one period of them came before.
@pytest.mark.parametrize(
    ("period", "num", "expected"), [(10, 25, True), (11, 25, False), (27, 55, True), (28, 55, False)]
)
def test_45_percent_of_the_phrases_may_have_come_before(period: int, num: int, expected: bool) -> None:
    assert repeats_phrases(cycle(period, num), "de") is expected


# Without their numbers 15 of 20 phrases came before with a period of 5 words, 0.75; 16 with a period of 4.
@pytest.mark.parametrize(
    ("period", "num", "expected"), [(4, 25, True), (5, 25, False), (12, 55, True), (13, 55, False)]
)
def test_75_percent_may_have_come_before_with_other_numbers(period: int, num: int, expected: bool) -> None:
    assert repeats_phrases(cycle(period, num, with_numbers=True), "de") is expected


# 31 characters have 20 phrases of twelve.
@pytest.mark.parametrize(("period", "expected"), [(10, True), (11, False)])
def test_a_phrase_has_twelve_characters_where_words_have_no_spaces(period: int, expected: bool) -> None:
    text = "".join(chr(ord("一") + index % period) for index in range(31))
    assert repeats_phrases(text, "zh") is expected


# Six words are one phrase; the seventh begins a second one, which is the same.
@pytest.mark.parametrize(("num", "expected"), [(0, False), (5, False), (6, False), (7, True)])
def test_a_text_needs_two_phrases_to_repeat_one(num: int, expected: bool) -> None:
    assert repeats_phrases("ja " * num, "de") is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ach so. Ach so.", False),
        ("Ach so. Ach so! Ach so\n", True),
        ("oha. oha. oha.", False),  # three letters
        ("ohne. ohne. ohne.", True),  # four
        ("ohne. ohne.", False),
        ("Ach so.  ACH   so . ach\tso?", True),  # neither case nor white space makes another sentence
        ("...", False),
    ],
)
def test_a_sentence_of_four_letters_may_come_twice(text: str, expected: bool) -> None:
    filler = "Hier steht ein langer Satz, der noch nie da war und auch nicht wieder kommt"
    assert repeats_sentences(f"{filler}. {text}") is expected


# A sentence of nine letters comes twice; with nine other letters a third of the text came before.
@pytest.mark.parametrize(("others", "expected"), [(8, True), (9, False), (10, False)])
def test_a_third_of_the_letters_may_have_come_before(others: int, expected: bool) -> None:
    assert repeats_sentences(f"abcde fghi. abcde fghi. {'z' * others}") is expected


def test_letters_that_came_before_are_added_up_over_sentences() -> None:
    # 8 of 24 letters, a third; then 8 of 23.
    assert not repeats_sentences("abcd. abcd. efgh. efgh. zzzzzzzz")
    assert repeats_sentences("abcd. abcd. efgh. efgh. zzzzzzz")


def test_repetition_beyond_the_first_fifty_thousand_characters_is_not_read() -> None:
    text = " ".join("".join(letters) for letters in product("abcdefghij", repeat=4))
    assert GATE.is_open(a_reading(f"{text[:49_970]} {'!' * 60}"))
    assert not GATE.is_open(a_reading(f"{text[:49_969]} {'!' * 60}"))
