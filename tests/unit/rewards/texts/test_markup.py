"""Test what is left of a text without Markdown and LaTeX."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.texts.markup import plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Anna hat 5 Äpfel. 5 + 6 = 11.", "Anna hat 5 Äpfel. 5 + 6 = 11."),
        ("## Lösung\n\n- Anna hat **5** Äpfel.\n- Sie kauft *6*.", "Lösung\nAnna hat 5 Äpfel.\nSie kauft 6."),
        ("1. Erst 5.\n2) Dann 6.", "Erst 5.\nDann 6."),
        ("| Tag | Seiten |\n|---|---|\n| 1 | 5 |", "Tag Seiten\n1 5"),
        (r"\[ 5 \times 6 = 30 \]", "5 × 6 = 30"),
        (r"So \(\frac{84}{4} = 21\) and \text{pages} are left.", "So 84/4 = 21 and pages are left."),
        ("$$5 + 6 = 11$$", "5 + 6 = 11"),
        ("Es sind $5 + 6 = 11$ Seiten.", "Es sind 5 + 6 = 11 Seiten."),
        ("She pays $5 and $6, so $11.", "She pays $5 and $6, so $11."),
        ("5 * 6 = 30", "5 × 6 = 30"),
        ("```\nx = 5\n```", "x = 5"),
        ("snake_case and -5 stay", "snake_case and -5 stay"),
        ("", ""),
    ],
)
def test_markup_goes_and_what_is_said_stays(text: str, expected: str) -> None:
    assert plain(text) == expected


@given(st.text(st.sampled_from("ab5 \n*_`#|$\\-={}()[]>~+."), max_size=80))
def test_nothing_that_is_said_is_lost(text: str) -> None:
    assert [character for character in plain(text) if character in "ab"] == [
        character for character in text if character in "ab"
    ]


@pytest.mark.parametrize("piece", ["*", "|", "$", "`", "- ", "\\frac{1}{", "$5 + ", "\n"])
def test_long_floods_are_read_through(piece: str) -> None:
    assert len(plain(piece * (50_000 // len(piece)))) <= 50_000
