"""Whatever a policy writes, every gate has an answer."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.rollouts import ScoreRequest
from languages.facts import LANGUAGES
from rewards.gates.gates import build_gates
from rewards.gates.identify import MAX_CHARACTERS
from rewards.reading import Reading, Task, read_task
from rewards.texts.clean import clean
from rewards.texts.scripts import weigh

GATES = build_gates(tuple(LANGUAGES), min_length_ratio=0.2, max_length_ratio=4.0)
BY_NAME = {gate.name: gate for gate in GATES}

ODD = st.text(st.characters(), max_size=200)  # surrogates and controls included
PIECES = ("Der Bauer hat", "3 + 4 = 7", "she has", "苹果", "りんご", "ผล", "আপেল", "ఆపిల్స్", "тогда", "تفاحة", "\n", ". ")
ODD_PIECES = (
    "\u200d",
    "\u202e",
    "\ud800",
    "\U0001f468\u200d\U0001f33e",
    "\\boxed{",
    "####",
    "\u0301",
    "１२",
    "१२",
    "\x00",
    "-" * 50,
)
WORDS = st.lists(st.sampled_from((*PIECES, *ODD_PIECES)), max_size=30).map("".join)
CODES = st.sampled_from(sorted(LANGUAGES))


def task(code: str, question: str = "", reference: str = "") -> Task:
    request = ScoreRequest(
        language=code, question=question, question_en="", reference=reference, responses=(), truncated=()
    )
    return read_task(request)


def read(text: str, of: Task) -> Reading:
    return Reading(task=of, text=text, declared=(), reasoning=text, closing=text[-200:], is_truncated=False)


@settings(max_examples=150, deadline=None)
@given(code=CODES, text=ODD | WORDS, question=ODD | WORDS, reference=ODD | WORDS)
def test_every_gate_decides_on_any_text_the_same_way_twice(code: str, text: str, question: str, reference: str) -> None:
    reading = read(clean(text), task(code, question, reference))
    decisions = [gate.is_open(reading) for gate in GATES]
    assert all(isinstance(decision, bool) for decision in decisions)
    assert decisions == [gate.is_open(reading) for gate in GATES]


@settings(max_examples=100, deadline=None)
@given(code=CODES, text=ODD | WORDS)
def test_uncleaned_text_breaks_no_gate_either(code: str, text: str) -> None:
    reading = read(text, task(code))
    assert all(isinstance(gate.is_open(reading), bool) for gate in GATES)


@settings(max_examples=200, deadline=None)
@given(text=ODD | WORDS)
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    once = clean(text)
    assert clean(once) == once
    assert not any(0xD800 <= ord(character) < 0xE000 for character in once)


@settings(max_examples=100, deadline=None)
@given(code=CODES, text=WORDS, other=WORDS)
def test_weights_of_letters_add_up(code: str, text: str, other: str) -> None:
    both = weigh(text, code) + weigh(other, code)
    assert math.isclose(weigh(f"{text} {other}", code), both, abs_tol=1e-9)


@pytest.mark.parametrize(
    "unit", ["a ", "の", "ก", "যা ", "1 + ", ". ", "\\", "x'x", "😀", "\n", "e\u0301\u0323", "\ud800"]
)
@pytest.mark.parametrize("code", ["de", "ja", "th"])
def test_a_very_long_text_is_shut_out(unit: str, code: str) -> None:
    reading = read(clean(unit * (3 * MAX_CHARACTERS // len(unit))), task(code, "?", "It is 2 + 2 = 4 and no more."))
    assert len(reading.text) > MAX_CHARACTERS
    decisions = {gate.name: gate.is_open(reading) for gate in GATES}
    assert not decisions["length"]


def test_a_loop_is_found_in_a_very_long_text() -> None:
    reading = read("Der Hund läuft weiter. " * 10_000, task("de"))
    assert not BY_NAME["repetition"].is_open(reading)
