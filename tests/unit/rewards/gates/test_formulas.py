"""Test what is taken out of a text as code and formula, each limit from both sides."""

import pytest

from rewards.gates.formulas import without_code, without_formulas


def words(text: str) -> list[str]:
    return without_formulas(text).split()


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("abc = 5", ["=", "5"]),  # three letters are variables
        ("abcd = 5", ["abcd", "=", "5"]),
        ("5*abc", ["5*"]),
        ("5*abcd", ["5*abcd"]),
        ("$abc$", []),
        ("$abcd$", ["abcd"]),
        (r"\(x^{abc}\)", ["^{", "}"]),
        ("$5 if n$", ["5"]),
        ("$apples oranges$", ["$apples", "oranges$"]),  # words in a row are no formula
        ("$5 and $6", ["$5", "and", "$6"]),  # money
        (r"\text{if}", ["{if}"]),
    ],
)
def test_short_tokens_of_a_formula_are_taken_out_and_words_stay(text: str, left: list[str]) -> None:
    assert words(text) == left


@pytest.mark.parametrize(
    ("comment", "left"), [("# zxq zxw zxv", ["zxq", "zxw", "zxv"]), ("# zxq zxw", []), ("zxq = zxw(zxv)", [])]
)
def test_three_words_in_a_row_are_prose_inside_code(comment: str, left: list[str]) -> None:
    native = "apfel birne orange kirsche"
    assert without_code(f"{native}\n```python\n{comment}\n```").split() == [*native.split(), *left]
    assert without_code(f"{native}\n[asy]\n{comment}\n[/asy]").split() == [*native.split(), *left]


@pytest.mark.parametrize(("letters", "stays"), [(40, False), (41, True)])
def test_code_that_is_more_than_half_of_a_text_is_read_as_text(letters: int, stays: bool) -> None:
    code = "q" * letters
    assert (code in without_code(f"{'z' * 40}\n```\n{code} {code}\n```")) is stays
