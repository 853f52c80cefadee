"""Test when two formulas are equal by their values, and how exactly."""

import pytest

from rewards.answers.algebra import are_equal


# The square root of 2 times 1 + 0.97e-9 and 1 + 1.03e-9.
@pytest.mark.parametrize(("factor", "same"), [("1.41421356374488", True), ("1.41421356382973", False)])
def test_values_that_are_not_rational_agree_to_a_billionth(factor: str, same: bool) -> None:
    digits = factor.replace(".", "")
    assert are_equal(r"x \sqrt{2}", rf"\frac{{{digits}}}{{10^{{{len(digits) - 1}}}}} x") is same


# Differences from zero of 0.97e-12 and 1.03e-12.
@pytest.mark.parametrize(("digits", "same"), [("1414213562372125", True), ("1414213562372065", False)])
def test_near_zero_they_agree_to_a_trillionth(digits: str, same: bool) -> None:
    assert are_equal(rf"\sqrt{{2}} - \frac{{{digits}}}{{10^{{15}}}}", "0") is same


def test_rational_values_agree_exactly() -> None:
    assert are_equal(r"\frac{x}{3} + \frac{x}{6}", r"\frac{x}{2}")
    assert not are_equal(r"x + \frac{1}{10^{30}}", "x")


# One letter has the values 11/7, -16/7, 3 and -26/7.
@pytest.mark.parametrize(("polynomial", "same"), [("(7x-11)(7x+16)(x-3)", False), ("(7x-11)(7x+16)(x-3)(7x+26)", True)])
def test_terms_are_compared_at_four_points(polynomial: str, same: bool) -> None:
    assert are_equal(polynomial, "0") is same


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (r"\frac{1}{x}", r"x^{-1}", True),
        (r"\log(x)", r"\log(x) + 0", True),
        (r"e^{x}", r"\exp(x)", True),
        (r"\cot(x)", r"\frac{1}{\tan(x)}", True),
        (r"\arcsin(\frac{1}{x}) + \arccos(\frac{1}{x})", r"\frac{\pi}{2}", True),
        (r"\arctan(x)", r"\arctan(y)", False),
        (r"|x|", r"\sqrt{x^2}", True),
        (r"|x|", r"x", False),
        (r"2x = 4", r"x = 2", True),
        (r"2x = 4", r"-x = -2", True),
        (r"2x < 4", r"x < 2", True),
        (r"2x < 4", r"x > 2", False),
        (r"2x < 4", r"2 > x", True),
        (r"-2x < 4", r"x > -2", True),
        (r"x \ne 2", r"2x \ne 4", True),
        (r"x \ne 2", r"x = 2", False),
        (r"x \le 2", r"x < 2", False),
        (r"y = x + 1", r"x + 1", True),
        (r"x + 1", r"y = x + 1", True),
        (r"x + 2", r"y = x + 1", False),
        (r"\{1, 2\}", r"\{2, 1\}", True),
        (r"\{1, 2\}", r"\{1, 3\}", False),
        (r"\{1, 2\}", r"\{1, 2, 3\}", False),
        (r"(1, x)", r"(\frac{2}{2}, x)", True),
        (r"(1, x)", r"(x, 1)", False),
        (r"[0, 1)", r"[0, \frac{2}{2})", True),
        (r"[0, 1)", r"[0, 1]", False),
        (r"\frac{1}{x - x}", r"\frac{1}{x - x}", True),  # spelled the same
        (r"\frac{1}{x - x}", r"\frac{2}{x - x}", False),  # no value at any point
    ],
)
def test_terms_relations_and_sets_are_compared_by_what_they_say(a: str, b: str, same: bool) -> None:
    assert are_equal(a, b) is same
    assert are_equal(b, a) is same


# Where x is 3 both are 0, unless the power has more than 100,000 bits and so no value; elsewhere no double holds it.
@pytest.mark.parametrize(
    ("power", "has_value"),
    [("1023^{10000}", True), ("1023^{10001}", False), ("1025^{9090}", True), ("1025^{9091}", False)],
)
def test_a_power_of_more_than_a_hundred_thousand_bits_has_no_value(power: str, has_value: bool) -> None:
    assert are_equal(f"{power}(x - 3)", "0") is has_value


@pytest.mark.parametrize(("a", "b"), [("", "x"), ("x", ""), ("", "")])
def test_what_is_no_formula_is_not_equal(a: str, b: str) -> None:
    assert not are_equal(a, b)
