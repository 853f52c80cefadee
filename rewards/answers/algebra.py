"""Compare two LaTeX expressions: math-verify reads them, and values at fixed points decide whether they are equal.

The comparison takes bounded time and works in any thread. math-verify's own comparison is not used: it calls sympy's
`simplify`, which can run for minutes on one line, and its timeouts are signals, which only a main thread may have. Here
nothing is simplified. Letters get fixed values of both signs; rational values are computed exactly, all others in
double precision. Pass only expressions that are known to be safe. Importing this module is slow (sympy): do it at first
need.
"""

import cmath
import logging
import math
from collections.abc import Mapping
from fractions import Fraction
from functools import reduce

import math_verify
import sympy
from sympy.core.relational import Relational

NUM_POINTS = 4
"""Number of points at which two terms are compared: two different short formulas are not equal in all by chance."""
TOLERANCE, SMALLEST = 1e-9, 1e-12
"""Relative tolerance, and absolute tolerance near zero, for values that are not rational."""
MAX_BITS = 100_000
"""Most bits of an exact power."""

# It warns once that it has no timeout; safe expressions need none.
logging.getLogger("math_verify.parser").setLevel(logging.ERROR)

_READER = [math_verify.LatexExtractionConfig()]
_FUNCTIONS = {
    sympy.exp: cmath.exp,
    sympy.log: cmath.log,
    sympy.sin: cmath.sin,
    sympy.cos: cmath.cos,
    sympy.tan: cmath.tan,
    sympy.cot: lambda value: 1 / cmath.tan(value),
    sympy.asin: cmath.asin,
    sympy.acos: cmath.acos,
    sympy.atan: cmath.atan,
    sympy.Abs: abs,
}
_CONSTANTS = {sympy.pi: math.pi, sympy.E: math.e, sympy.I: 1j}
_FLIPPED = {sympy.StrictLessThan: sympy.StrictGreaterThan, sympy.LessThan: sympy.GreaterThan}

Value = Fraction | complex
Point = Mapping[sympy.Basic, Fraction]


def are_equal(a: str, b: str) -> bool:
    """Return whether two LaTeX expressions are equal; False where one can't be read or has no value."""
    first, second = (
        math_verify.parse(f"${latex}$", _READER, fallback_mode="no_fallback", parsing_timeout=0) for latex in (a, b)
    )
    if not first or not second:
        return False
    left, right = first[0], second[0]
    return isinstance(left, sympy.Basic) and isinstance(right, sympy.Basic) and _same(left, right)


def _same(a: sympy.Basic, b: sympy.Basic) -> bool:
    """Compare terms by value, relations by their meaning, sets and tuples member by member."""
    if isinstance(a, sympy.Expr) and isinstance(b, sympy.Expr):
        return _same_values(a, b)
    if isinstance(a, Relational) and isinstance(b, Relational):
        return _same_relations(a, b)
    if isinstance(a, sympy.Eq) and isinstance(a.lhs, sympy.Symbol):
        return _same(a.rhs, b)
    if isinstance(b, sympy.Eq) and isinstance(b.lhs, sympy.Symbol):
        return _same(a, b.rhs)
    if type(a) is not type(b) or len(a.args) != len(b.args):
        return False
    if not a.args:
        return a == b
    if isinstance(a, sympy.FiniteSet):
        return all(any(_same(x, y) for y in b.args) for x in a.args)
    return all(_same(x, y) for x, y in zip(a.args, b.args, strict=True))


def _same_values(a: sympy.Expr, b: sympy.Expr) -> bool:
    if a == b:
        return True
    pairs = _values_of(a, b)
    return bool(pairs) and all(_is_close(x, y) for x, y in pairs)


def _same_relations(a: Relational, b: Relational) -> bool:
    """Return whether the differences of both relations' sides are equal up to a factor.

    The factor must be positive where the relation has a direction.
    """
    if _FLIPPED.get(a.func, a.func) is not _FLIPPED.get(b.func, b.func):
        return False
    difference, other = _difference(a), _difference(b)
    if difference is None or other is None:
        return a.func is b.func and all(_same(x, y) for x, y in zip(a.args, b.args, strict=True))
    pairs = _values_of(difference, other)
    if any((x == 0) != (y == 0) for x, y in pairs):
        return False
    ratios = [complex(x) / complex(y) for x, y in pairs if y != 0]
    has_direction = not isinstance(a, sympy.Eq | sympy.Ne)
    return (
        bool(ratios)
        and (ratios[0].real > 0 or not has_direction)
        and all(cmath.isclose(ratio, ratios[0], rel_tol=TOLERANCE) for ratio in ratios)
    )


def _difference(relation: Relational) -> sympy.Expr | None:
    """Return left minus right, or right minus left for "<" and "≤"; None where a side is a set."""
    left, right = relation.args[::-1] if relation.func in _FLIPPED else relation.args
    if not (isinstance(left, sympy.Expr) and isinstance(right, sympy.Expr)):
        return None
    return sympy.Add(left, sympy.Mul(-1, right, evaluate=False), evaluate=False)


def _values_of(a: sympy.Basic, b: sympy.Basic) -> list[tuple[Value, Value]]:
    """Return both terms' values at every point where both have one."""
    letters = sorted(a.free_symbols | b.free_symbols, key=str)
    pairs = []
    for number in range(NUM_POINTS):
        point = {
            letter: Fraction((-1) ** (number + place) * (11 + 5 * number + 3 * place), 7)
            for place, letter in enumerate(letters)
        }
        try:
            x, y = _value(a, point), _value(b, point)
            if cmath.isfinite(complex(x)) and cmath.isfinite(complex(y)):
                pairs.append((x, y))
        except (ZeroDivisionError, OverflowError, ValueError):
            continue  # no value at this point, or none that a double holds
    return pairs


def _value(term: sympy.Basic, point: Point) -> Value:
    """Return the term's value at a point.

    Raises:
        ZeroDivisionError, OverflowError, ValueError: it has no value, or has parts that are not computed here.
    """
    if isinstance(term, sympy.Rational):
        return Fraction(int(term.p), int(term.q))
    if term in _CONSTANTS:
        return complex(_CONSTANTS[term])
    if term in point:
        return point[term]
    parts = [_value(part, point) for part in term.args]
    if isinstance(term, sympy.Add | sympy.Mul):
        return reduce(_add if isinstance(term, sympy.Add) else _multiply, parts)
    if isinstance(term, sympy.Pow):
        return _power(parts[0], parts[1])
    if isinstance(term, sympy.UnevaluatedExpr):
        return parts[0]
    function = _FUNCTIONS.get(term.func)
    if function is None:
        raise ValueError(f"{term.func} is not computed")
    return complex(function(*map(complex, parts)))


def _add(x: Value, y: Value) -> Value:
    return x + y


def _multiply(x: Value, y: Value) -> Value:
    return x * y


def _power(base: Value, exponent: Value) -> Value:
    if isinstance(base, Fraction) and isinstance(exponent, Fraction) and exponent.denominator == 1:
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if bits * abs(exponent.numerator) > MAX_BITS:
            raise OverflowError(f"a power of {bits * abs(exponent.numerator)} bits")
        return Fraction(base**exponent.numerator)
    return complex(base) ** complex(exponent)


def _is_close(x: Value, y: Value) -> bool:
    """Return whether two values are equal: exactly where both are rational, else within the tolerance."""
    if isinstance(x, Fraction) and isinstance(y, Fraction):
        return x == y
    return cmath.isclose(complex(x), complex(y), rel_tol=TOLERANCE, abs_tol=SMALLEST)
