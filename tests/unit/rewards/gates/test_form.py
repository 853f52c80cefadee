"""Test the gates for format and length: the allowed forms of a response, and each limit from both sides."""

import pytest

from rewards.gates.form import FormatGate, LengthGate, has_other_number
from rewards.texts.scripts import num_letters, num_symbols
from tests.builders import a_reading

REASONING = "Zusammen sind es dann 5 + 6 = 11 Bälle."
CLOSING = "Die Antwort lautet 11."
BROKEN = "\ufffd"
STATIONS = (
    "Am ersten Bahnhof steigen 5 Personen aus, also sind es 26 - 5 = 21 Personen im Zug.\n"
    "Am zweiten Bahnhof steigen 7 Personen aus, also sind es 21 - 7 = 14 Personen im Zug.\n"
    "Am dritten Bahnhof steigen 2 Personen aus, also sind es 14 - 2 = 12 Personen im Zug."
)
FORMAT = FormatGate()
LENGTH = LengthGate(min_ratio=0.2, max_ratio=4.0)

FORMAT_CASES = {
    "one answer behind reasoning": ("Es sind 5 + 6 = 11 Bälle. Die Antwort lautet 11.", True),
    "a unit behind the number": ("Es sind 5 + 6 = 11 Bälle. Die Antwort lautet 11 Bälle pro Tag.", True),
    "hashes": ("Es sind 5 + 6 = 11 Bälle.\n#### 11\n", True),
    "nothing declared": ("Es sind 5 + 6 = 11 Bälle.", False),
    "two different answers": ("Es sind 11 Bälle. Die Antwort lautet 11. Die Antwort lautet 12.", False),
    "the same answer in two places": ("Die Antwort lautet 11. Es sind also 11 Bälle.\n#### 11", True),
    "the same number behind it": ("Es sind 11 Bälle. Die Antwort lautet 11. Roger hat also 11 Bälle.", True),
    "another number behind it": ("Es sind 11 Bälle. Die Antwort lautet 11. Roger hat also 12 Bälle.", False),
    "another number in another script": ("Es sind 11 Bälle. Die Antwort lautet 11 (১২).", False),
    "another number in one character": ("Es sind 11 Bälle. Die Antwort lautet 11 oder ⑫.", False),
    "a fraction": ("Es sind 11 Bälle. Die Antwort lautet 11 Bälle und ½.", False),
    "a Roman number": ("Es sind 11 Bälle. Die Antwort lautet 11 Bälle oder XII.", False),
    "a Chinese number": ("Es sind 11 Bälle. Die Antwort lautet 11 Bälle, 十二.", False),
    "a raised number": ("Es sind 11 Bälle. Die Antwort lautet 11 Bälle ¹².", False),
    "exponents of units": ("Es sind 5 + 6 = 11 Felder. Die Antwort lautet 11 m² je Feld und s⁻¹.", True),
    "two broken characters": (f"Es sind 11 B{BROKEN * 2}lle. Die Antwort lautet 11.", True),
    "more of them": (f"Es sind 11 B{BROKEN * 3}lle. Die Antwort lautet 11.", False),
    "private use": ("Es sind 11 Bälle \ue000\ue001\ue002. Die Antwort lautet 11.", False),
    "a list of answers": ("Es sind viele Bälle. Die Antwort lautet 11 oder 12 oder 13.", False),
    "a long tail": ("Es sind 11 Bälle. Die Antwort lautet 11. " + "Und nun noch etwas mehr dazu. " * 10, False),
    "nothing": ("", False),
}


@pytest.mark.parametrize("case", FORMAT_CASES)
def test_format_gate_wants_exactly_one_answer(case: str) -> None:
    text, expected = FORMAT_CASES[case]
    assert FORMAT.is_open(a_reading(text)) is expected


@pytest.mark.parametrize(("words", "expected"), [(39, False), (40, True), (800, True), (801, False)])
def test_length_gate_holds_the_band(words: int, expected: bool) -> None:
    # 1,000 letters of reference, and words of 5 letters: 0.2 of it are 40 of them, 4 times it are 800.
    reference = "thousand " * 125 + ". The answer is 11."
    reading = a_reading("later " * words, language="en", reference=reference)
    assert num_letters(reading.task.reference_reasoning) == 1000
    assert LENGTH.is_open(reading) is expected


@pytest.mark.parametrize("reference", ["", "The answer is 11.", "5 + 6 = 11\nThe answer is 11."])
def test_reference_without_words_sets_no_length(reference: str) -> None:
    assert LENGTH.is_open(a_reading(f"{STATIONS}\n{CLOSING}", reference=reference))
    assert not LENGTH.is_open(a_reading("Bälle und " * 10_000, reference=reference))


# Six digits and signs of the reference below, so at most 4 * 6 + 100 = 124 in a response.
@pytest.mark.parametrize(("added", "expected"), [(118, True), (119, False)])
@pytest.mark.parametrize("pair", ["!?", "12", "\ufffd§", "٣_"])
def test_length_gate_caps_symbols(pair: str, added: int, expected: bool) -> None:
    reference = "Together that makes 11 balls. The answer is 11."
    response = f"Zusammen sind es 11 Bälle. {(pair * 60)[:added]} Die Antwort lautet 11."
    assert num_symbols(reference, "en") == num_symbols(response, "de") - added == 6
    assert LENGTH.is_open(a_reading(response, reference=reference)) is expected


@pytest.mark.parametrize("blank", [" ", "\n", "\u3000"])
def test_length_gate_caps_white_space(blank: str) -> None:
    # 49 characters and 13 blanks: 149 blanks may be, one for each character and 100.
    response = f"{REASONING}\n{CLOSING}"
    assert (len(response), sum(map(len, response.split()))) == (62, 49)
    for added, expected in ((49 + 100 - 13, True), (49 + 100 - 12, False)):
        assert LENGTH.is_open(a_reading(f"{REASONING}{blank * added}\n{CLOSING}")) is expected


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ("q" * 227, True),  # 0.88 letters of English each, and 200 may follow
        ("q" * 228, False),
        ("q" * 40 + "!" * 360, True),  # 400 characters
        ("q" * 40 + "!" * 361, False),
        (f"q{BROKEN * 2}", True),
        (f"q{BROKEN * 3}", False),
    ],
)
def test_what_may_follow_the_answer_is_limited(tail: str, expected: bool) -> None:
    reading = a_reading(f"{REASONING} Die Antwort lautet 11 {tail}")
    assert reading.text[reading.declared[0].end :].strip() == tail
    assert FORMAT.is_open(reading) is expected


@pytest.mark.parametrize(
    ("tail", "expected"),
    [("50%", False), ("11,0 Bälle", True), ("und 1100%", True), ("und 十", True), ("und 十一", False), ("XII", False)],
)
def test_a_number_behind_the_answer_is_compared_by_value(tail: str, expected: bool) -> None:
    reading = a_reading(f"{REASONING} Die Antwort lautet 11. {tail}")
    assert has_other_number(tail, reading.declared[0], "de") is not expected
    assert FORMAT.is_open(reading) is expected


# A shorter reference counts as 100 letters, so four times that may be written.
@pytest.mark.parametrize(("reference", "most"), [(1, 400), (99, 400), (100, 400), (101, 404)])
def test_a_short_reference_counts_as_a_hundred_letters(reference: int, most: int) -> None:
    for letters, expected in ((most, True), (most + 1, False)):
        reading = a_reading("q" * letters, language="en", reference=f"{'r' * reference}. The answer is 11.")
        assert LENGTH.is_open(reading) is expected


@pytest.mark.parametrize(("letters", "expected"), [(50_000, True), (50_001, False)])
def test_no_response_has_more_than_fifty_thousand_characters(letters: int, expected: bool) -> None:
    reading = a_reading("q" * letters, language="en", reference=f"{'r' * 20_000}. The answer is 11.")
    assert LENGTH.is_open(reading) is expected


def test_a_number_without_a_percent_sign_is_none_in_percent() -> None:
    # 0.5 and 0.5% are different numbers, 50 and 50% may be the same answer.
    answer = a_reading("Die Antwort lautet 0,5.").declared[0]
    assert not has_other_number("0,5 Liter", answer, "de")
    assert has_other_number("0,5 %", answer, "de")


# The reference works out 20, 24, 44 and 22; the question lacks them.
WORDY = (
    "Let us think about this slowly and carefully, as there are several things to add up before we can say anything. "
    "In the morning the baker sold 4 * 5 = 20 rolls, which is quite a lot, and later on she sold another 4 * 6 = 24 of "
    "them, so that she sold 20 + 24 = 44 rolls, of which exactly a half, which is 22, had seeds. The answer is 22."
)


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        ("4 * 5 = 20, 4 * 6 = 24: Brote", True),  # two of four
        ("4 * 5 = 20 Brote am Morgen", False),  # one of four
        ("Es sind genau die Brote", False),
    ],
)
def test_a_short_response_has_half_of_the_steps_numbers(reasoning: str, expected: bool) -> None:
    reading = a_reading(f"{reasoning}\nDie Antwort lautet 22.", question="4 5 6 2", reference=WORDY)
    assert LENGTH.is_open(reading) is expected
