"""Test which part of a response is compared with which part of its reference."""

from dataclasses import replace

import pytest

from rewards.reasoning.similarity import question_pair, reasoning_pair
from tests.builders import a_reading


def test_a_pair_holds_the_texts_before_the_declarations_without_markup() -> None:
    reading = a_reading(
        "- Es sind **5** Bälle.\n\nDie Antwort lautet 5.", question="**Wie** viele?", reference="# So\nIt is 5.\n#### 5"
    )
    reading = replace(reading, translation="There are **5** balls.", answer_probability=0.25)
    pair = reasoning_pair(reading)
    assert (pair.language, pair.reasoning, pair.reference) == ("de", "Es sind 5 Bälle.", "So\nIt is 5.")
    assert (pair.question, pair.translation) == ("Wie viele?", "There are 5 balls.")
    assert pair.answer_probability == pytest.approx(0.25)


def test_a_question_takes_the_place_of_the_reasoning_without_its_translation() -> None:
    pair = reasoning_pair(replace(a_reading("Es sind 5.", question="Wie viele?"), translation="It is 5."))
    asked = question_pair(pair)
    assert (asked.reasoning, asked.translation) == ("Wie viele?", "")
    assert (asked.reference, asked.question, asked.language) == (pair.reference, pair.question, pair.language)
