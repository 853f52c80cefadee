"""The gates that look at a response's form: format, truncation, empty, repetition, copying, length."""

import pytest

from contracts.rollouts import ScoreRequest
from driver.problems.builtin.generate import builtin_items
from languages.facts import LANGUAGES
from rewards.gates.gates import build_gates
from rewards.reading import Reading, read_group
from rewards.texts.clean import MAX_MARKS, clean
from rewards.texts.scripts import num_letters, num_symbols, weigh

NAMES = ("language", "answer_language", "format", "truncation", "empty", "repetition", "copying", "length")
GATES = build_gates(tuple(LANGUAGES), min_length_ratio=0.2, max_length_ratio=4.0)
BY_NAME = {gate.name: gate for gate in GATES}
QUESTION = "Roger hat 5 Tennisbälle und kauft noch 6 Tennisbälle dazu. Wie viele Tennisbälle hat er jetzt?"
REASONING = "Zusammen sind es dann 5 + 6 = 11 Bälle."
REFERENCE = "Together that makes 5 + 6 = 11 balls. The answer is 11."
CLOSING = "Die Antwort lautet 11."
BROKEN = "\ufffd"


def read(
    response: str, *, code: str = "de", question: str = QUESTION, reference: str = REFERENCE, truncated: bool = False
) -> Reading:
    request = ScoreRequest(
        language=code,
        question=question,
        question_en="",
        reference=reference,
        responses=(response,),
        truncated=(truncated,),
    )
    return read_group(request)[0]


def shut(reading: Reading) -> list[str]:
    return [gate.name for gate in GATES if not gate.is_open(reading)]


def test_the_gates_come_in_a_fixed_order() -> None:
    assert tuple(gate.name for gate in GATES) == NAMES


def test_unknown_language_is_named_when_the_gates_are_built() -> None:
    with pytest.raises(ValueError, match="'xx'"):
        build_gates(("de", "xx"), min_length_ratio=0.2, max_length_ratio=4.0)


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_gate_is_open_for_built_in_solutions(code: str) -> None:
    for item in builtin_items(seed=5, split="test", num_items=40):
        native, english = item.text(code), item.text("en")
        reading = read(
            f"{native.solution}\n{LANGUAGES[code].closing.format(answer=native.answer)}",
            code=code,
            question=native.question,
            reference=f"{english.solution}\nThe answer is {english.answer}.",
        )
        assert shut(reading) == [], reading.text


FORMAT_CASES = {
    "one answer behind reasoning": ("Es sind 5 + 6 = 11 Bälle. Die Antwort lautet 11.", True),
    "a unit behind the number": ("Es sind 5 + 6 = 11 Bälle. Die Antwort lautet 11 Bälle pro Tag.", True),
    "hashes": ("Es sind 5 + 6 = 11 Bälle.\n#### 11\n", True),
    "nothing declared": ("Es sind 5 + 6 = 11 Bälle.", False),
    "two different answers": ("Es sind 11 Bälle. Die Antwort lautet 11. Die Antwort lautet 12.", False),
    "the same answer in two places": ("Die Antwort lautet 11. Es sind also 11 Bälle.\n#### 11", False),
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
    "a long tail": ("Es sind 11 Bälle. Die Antwort lautet 11. " + "Und nun noch etwas mehr dazu. " * 3, False),
    "nothing": ("", False),
}


@pytest.mark.parametrize("case", FORMAT_CASES)
def test_format_gate_wants_exactly_one_answer(case: str) -> None:
    text, expected = FORMAT_CASES[case]
    assert BY_NAME["format"].is_open(read(text)) is expected


def test_truncation_gate_repeats_what_the_engine_says() -> None:
    response = f"{REASONING}\n{CLOSING}"
    assert shut(read(response)) == []
    assert shut(read(response, truncated=True)) == ["truncation"]


EMPTY_CASES = {
    "one sentence": ("de", "Es sind 11 Bälle.", True),
    "the shortest of Chinese": ("zh", "每人分到 40 ÷ 8 = 5 颗。", True),
    "nothing": ("de", "", False),
    "dots": ("de", "...", False),
    "one word": ("de", "Also", False),
    "a formula alone": ("de", "5 + 6 = 11", False),
    "formulas in LaTeX signs": ("de", "$5 + 6 = 11$, $11 - 0 = 11$", False),
}


@pytest.mark.parametrize("case", EMPTY_CASES)
def test_empty_gate_wants_a_few_words_of_reasoning(case: str) -> None:
    code, reasoning, expected = EMPTY_CASES[case]
    response = f"{reasoning}\n{LANGUAGES[code].closing.format(answer='11')}"
    assert BY_NAME["empty"].is_open(read(response, code=code)) is expected


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
    "one sign": ("Das sind die Bälle von Roger" + "." * 30, False),
    "a shorter line of one sign": ("Das sind die Bälle von Roger.\n" + "-" * 29, True),
    "one digit": ("Das sind die Bälle von Roger: " + "0" * 30, False),
}


@pytest.mark.parametrize("case", REPETITION_CASES)
def test_repetition_gate_shuts_for_loops_alone(case: str) -> None:
    reasoning, expected = REPETITION_CASES[case]
    assert BY_NAME["repetition"].is_open(read(f"{reasoning}\n{CLOSING}")) is expected


@pytest.mark.parametrize("code", ["zh", "ja", "th"])
def test_repetition_gate_knows_scripts_without_spaces(code: str) -> None:
    item = next(builtin_items(seed=5, split="test", num_items=1, levels=[4])).text(code)
    once, thrice = item.solution, item.solution.replace("\n", " ") * 3
    assert BY_NAME["repetition"].is_open(read(once, code=code))
    assert not BY_NAME["repetition"].is_open(read(thrice, code=code))


COPYING_CASES = {
    "the question": (QUESTION, False),
    "the question twice": (f"{QUESTION} {QUESTION}", False),
    "the question and the answer": (f"{QUESTION} 11", False),
    "the question, then solved": (f"{QUESTION} 5 + 6 = 11.", True),
    "the question, then solved without an equation": (f"{QUESTION} Nach 2 Käufen sind es 11 Bälle.", True),
    "a solution": (REASONING, True),
    "nothing": ("", True),
}


@pytest.mark.parametrize("case", COPYING_CASES)
def test_copying_gate_shuts_where_nothing_is_worked_out(case: str) -> None:
    reasoning, expected = COPYING_CASES[case]
    assert BY_NAME["copying"].is_open(read(f"{reasoning}\n{CLOSING}")) is expected


@pytest.mark.parametrize("code", LANGUAGES)
def test_copied_question_is_refused_in_every_language(code: str) -> None:
    question = next(builtin_items(seed=5, split="test", num_items=1, levels=[2])).text(code).question
    response = f"{question}\n{LANGUAGES[code].closing.format(answer='11')}"
    assert shut(read(response, code=code, question=question)) == ["copying"]


def test_nothing_is_copied_from_an_empty_question() -> None:
    assert BY_NAME["copying"].is_open(read(f"{REASONING}\n{CLOSING}", question=""))


def test_letters_are_weighed_by_script() -> None:
    # Six Chinese characters at 2.83 and the three letters of a name.
    assert weigh("安娜有苹果 DVD 吗", "zh") == pytest.approx(6 * 2.83 + 3)
    assert weigh("12 + 3 = 15", "de") == 0


@pytest.mark.parametrize(("words", "expected"), [(39, False), (40, True), (800, True), (801, False)])
def test_length_gate_holds_the_band(words: int, expected: bool) -> None:
    # 1,000 letters of reference, and words of 5 letters: 0.2 of it are 40 of them, 4 times it are 800.
    reference = "thousand " * 125 + ". The answer is 11."
    reading = read("later " * words, code="en", reference=reference)
    assert num_letters(reading.task.reference_reasoning) == 1000
    assert BY_NAME["length"].is_open(reading) is expected


@pytest.mark.parametrize("reference", ["", "The answer is 11.", "5 + 6 = 11\nThe answer is 11."])
def test_reference_without_words_sets_no_length(reference: str) -> None:
    assert BY_NAME["length"].is_open(read(f"{STATIONS}\n{CLOSING}", reference=reference))
    assert not BY_NAME["length"].is_open(read("Bälle und " * 10_000, reference=reference))


# Six digits and signs of the reference below, so at most 4 * 6 + 100 = 124 in a response.
@pytest.mark.parametrize(("added", "expected"), [(118, True), (119, False)])
@pytest.mark.parametrize("pair", ["!?", "12", "\ufffd§", "٣_"])
def test_length_gate_caps_symbols(pair: str, added: int, expected: bool) -> None:
    reference = "Together that makes 11 balls. The answer is 11."
    response = f"Zusammen sind es 11 Bälle. {(pair * 60)[:added]} Die Antwort lautet 11."
    assert num_symbols(reference, "en") == num_symbols(response, "de") - added == 6
    assert BY_NAME["length"].is_open(read(response, reference=reference)) is expected


def test_vowel_signs_are_no_symbols() -> None:
    assert num_symbols("ఆమె మిగిలిన", "te") == num_symbols("สวัสดี", "th") == 0
    assert num_symbols("5 + 6 = 11.", "de") == 7


@pytest.mark.parametrize("blank", [" ", "\n", "\u3000"])
def test_length_gate_caps_white_space(blank: str) -> None:
    # 49 characters and 13 blanks: 149 blanks may be, one for each character and 100.
    response = f"{REASONING}\n{CLOSING}"
    assert (len(response), sum(map(len, response.split()))) == (62, 49)
    for added, expected in ((49 + 100 - 13, True), (49 + 100 - 12, False)):
        assert BY_NAME["length"].is_open(read(f"{REASONING}{blank * added}\n{CLOSING}")) is expected


def test_cleaning_takes_out_what_can_not_be_seen() -> None:
    assert clean("a\u034fb\ufe0fc\u3164d\u2800e\U000e0100") == "abcde"
    assert clean("t\u200bh\u00ade\u202e \ud83dx\u200dy\U000e0041\r\nz\u2028") == "the \ufffdxy\nz\n"


def test_cleaning_composes_accents_and_keeps_the_joiners_of_indic_scripts() -> None:
    assert clean("A\u0308pfel") == "Äpfel"
    assert clean("క్యాన్\u200cల") == "క్యాన్\u200cల"
    assert clean("ক্\u200dষ") == "ক্\u200dষ"
    assert clean("字\u200d字ก\u200cก") == "字字กก"


def test_cleaning_cuts_towers_of_accents() -> None:
    cleaned = clean("x" + "\u0301\u0323" * 40_000)
    assert len(cleaned) == 1 + MAX_MARKS
