"""Test the meter by lingua alone."""

import pytest

from driver.evaluation.lingua_meter import LinguaMeter

METER = LinguaMeter()
GERMAN = "Zuerst rechnen wir aus, wie viele Eier übrig bleiben. Dann verkauft sie den Rest."
ENGLISH = "First we compute how many eggs are left over. Then she sells the rest of them."


@pytest.mark.parametrize(
    ("text", "language", "is_in"),
    [
        (GERMAN, "de", True),
        (ENGLISH, "de", False),
        (f"{GERMAN}\n{GERMAN}\n{GERMAN}\n{ENGLISH}", "de", True),  # the larger part decides
        ("매일 아침 아야는 산책을 하고 그 후에 커피숍에 들립니다.", "ko", True),  # a language without a language file
        (ENGLISH, "ko", False),
        ("\\boxed{18}", "de", True),  # too short to have a language
        (GERMAN, "qu", None),  # lingua does not know Quechua
    ],
)
def test_the_first_choice_of_lingua_decides(text: str, language: str, is_in: bool | None) -> None:
    assert METER.is_in(text, language) == is_in
