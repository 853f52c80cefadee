"""Test all gates together, and those for language, truncation and empty reasoning."""

import pytest

from driver.problems.builtin.generate import builtin_items
from driver.problems.builtin.texts import TEXTS
from languages.facts import LANGUAGES
from rewards.gates.gates import AnswerLanguageGate, EmptyGate, LanguageGate, build_gates
from rewards.gates.identify import LanguageIdentifier
from rewards.reading import Reading
from tests.builders import a_reading
from tests.models.faithful_texts import ENGLISH, FAITHFUL, TARGETS
from tests.refusals import raised

NAMES = ("language", "answer_language", "format", "truncation", "empty", "repetition", "copying", "length")
GATES = build_gates(tuple(LANGUAGES), min_length_ratio=0.2, max_length_ratio=4.0)
REASONING = "Zusammen sind es dann 5 + 6 = 11 Bälle."
CLOSING = "Die Antwort lautet 11."


@pytest.fixture(scope="module")
def identifier() -> LanguageIdentifier:
    return LanguageIdentifier(tuple(LANGUAGES))


def shut(reading: Reading) -> list[str]:
    return [gate.name for gate in GATES if not gate.is_open(reading)]


def test_the_gates_come_in_a_fixed_order() -> None:
    assert tuple(gate.name for gate in GATES) == NAMES


def test_an_unknown_language_is_refused_when_the_gates_are_built() -> None:
    with raised(ValueError, "'xx'"):
        build_gates(("de", "xx"), min_length_ratio=0.2, max_length_ratio=4.0)


@pytest.mark.parametrize("code", TEXTS)
def test_every_gate_is_open_for_built_in_solutions(code: str) -> None:
    for item in builtin_items(seed=5, split="test", num_items=40):
        native, english = item.text(code), item.text("en")
        reading = a_reading(
            f"{native.solution}\n{LANGUAGES[code].closing.format(answer=native.answer)}",
            language=code,
            question=native.question,
            reference=f"{english.solution}\nThe answer is {english.answer}.",
        )
        assert shut(reading) == [], reading.text


@pytest.mark.parametrize("code", TEXTS)
def test_copied_question_is_refused_in_every_language(code: str) -> None:
    question = next(builtin_items(seed=5, split="test", num_items=1, levels=[2])).text(code).question
    response = f"{question}\n{LANGUAGES[code].closing.format(answer='11')}"
    assert shut(a_reading(response, language=code, question=question)) == ["copying"]


def test_truncation_gate_repeats_what_the_engine_says() -> None:
    response = f"{REASONING}\n{CLOSING}"
    assert shut(a_reading(response)) == []
    assert shut(a_reading(response, is_truncated=True)) == ["truncation"]


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
    assert EmptyGate().is_open(a_reading(response, language=code)) is expected


def respond(code: str, reasoning: str) -> str:
    return f"{reasoning}\n{LANGUAGES[code].closing.format(answer='15')}"


def gates_open(identifier: LanguageIdentifier, code: str, response: str) -> tuple[bool, bool]:
    """Return whether the gates are open: (language, answer_language)."""
    reading = a_reading(response, language=code, question="", reference=f"{ENGLISH}\nThe answer is 15.")
    return LanguageGate(identifier).is_open(reading), AnswerLanguageGate(identifier).is_open(reading)


@pytest.mark.parametrize("code", FAITHFUL)
def test_faithful_response_opens_both_gates(identifier: LanguageIdentifier, code: str) -> None:
    assert gates_open(identifier, code, respond(code, FAITHFUL[code])) == (True, True)


@pytest.mark.parametrize("code", TARGETS)
def test_english_response_shuts_both_gates(identifier: LanguageIdentifier, code: str) -> None:
    assert gates_open(identifier, code, respond("en", ENGLISH)) == (False, False)


@pytest.mark.parametrize("code", TARGETS)
def test_english_reasoning_under_a_native_closing_shuts_the_gate_of_the_reasoning(
    identifier: LanguageIdentifier, code: str
) -> None:
    assert gates_open(identifier, code, respond(code, ENGLISH)) == (False, True)


@pytest.mark.parametrize("code", TARGETS)
def test_english_closing_under_native_reasoning_shuts_the_gate_of_the_answer(
    identifier: LanguageIdentifier, code: str
) -> None:
    assert gates_open(identifier, code, respond("en", FAITHFUL[code])) == (True, False)


def test_english_sentence_behind_a_native_answer_shuts_the_gate_of_the_answer(identifier: LanguageIdentifier) -> None:
    response = f"{respond('de', FAITHFUL['de'])} That is how many apples she has in the end."
    assert gates_open(identifier, "de", response) == (True, False)


def test_box_behind_native_reasoning_has_no_language(identifier: LanguageIdentifier) -> None:
    assert gates_open(identifier, "de", f"{FAITHFUL['de']}\n\\boxed{{15}}") == (True, True)


@pytest.mark.parametrize(
    ("reasoning", "expected"),
    [
        ("q" * 7, False),
        ("q" * 8, True),
        ("1" * 1_992 + "q" * 8, True),  # the first 2,000 characters are read
        ("1" * 1_993 + "q" * 8, False),
    ],
)
def test_a_reasoning_has_at_least_eight_letters(reasoning: str, expected: bool) -> None:
    assert EmptyGate().is_open(a_reading(reasoning, language="en")) is expected


def test_the_length_band_is_the_one_that_was_asked_for() -> None:
    response, reference = "q" * 200, f"{'r' * 100}. The answer is 11."
    for low, high, expected in ((0.2, 2.0, True), (0.2, 1.99, False), (2.0, 4.0, True), (2.01, 4.0, False)):
        gate = build_gates(("en",), min_length_ratio=low, max_length_ratio=high)[-1]
        assert gate.is_open(a_reading(response, language="en", reference=reference)) is expected
