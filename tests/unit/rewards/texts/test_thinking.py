"""Test how a text is divided into thinking and answer."""

import pytest

from contracts.config.workers import EngineConfig
from rewards.texts.thinking import answer_start, split_thinking

MARKERS = EngineConfig(model="m").thinking_markers
ANSWER = "Also sind es 5.\nDie Antwort lautet 5."


@pytest.mark.parametrize(("opening", "closing"), MARKERS)
def test_what_stands_between_the_markers_is_thinking(opening: str, closing: str) -> None:
    assert split_thinking(f"{opening}\nHm, 4 + 1.\n{closing}\n\n{ANSWER}", MARKERS) == ("Hm, 4 + 1.", ANSWER)


@pytest.mark.parametrize(
    ("text", "thinking", "answer"),
    [
        (ANSWER, "", ANSWER),
        ("", "", ""),
        ("  5\n", "", "  5\n"),  # without thinking nothing is changed
        (f"<think>\n\n</think>\n\n{ANSWER}", "", ANSWER),
        (f"Hm.\n</think>\n{ANSWER}", "Hm.", ANSWER),  # opened by the template
        ("<think>Hm, 4", "Hm, 4", ""),  # cut off
        ("<think>Hm.</think>", "Hm.", ""),
        (f"<think>a<think>b</think>c</think>{ANSWER}", "a\nb\nc", ANSWER),
        (f"<think>a</think>b<think>c</think>{ANSWER}", "a\nb\nc", ANSWER),
        (f"Gut. <think>a</think>{ANSWER}", "Gut. \na", ANSWER),
        (f"{ANSWER}<think>a", f"{ANSWER}\na", ""),  # nothing may hide behind an opening marker
        ("</think>5<think>", "5", ""),
        (f"<think>a</thinking>{ANSWER}", "a", ANSWER),
        ("1 < think > 2", "", "1 < think > 2"),
    ],
)
def test_the_answer_is_what_follows_the_last_closing_marker(text: str, thinking: str, answer: str) -> None:
    assert split_thinking(text, MARKERS) == (thinking, answer)


def test_a_prompt_that_opens_thinking_makes_all_of_an_unclosed_text_thinking() -> None:
    assert split_thinking("Hm, 4", MARKERS, starts_inside=True) == ("Hm, 4", "")
    assert split_thinking("Hm.</think>5", MARKERS, starts_inside=True) == ("Hm.", "5")


def test_without_markers_nothing_is_thinking() -> None:
    assert answer_start("<think>a</think>5", ()) == 0
