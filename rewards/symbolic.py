"""Symbolic answers: what is a mathematical expression rather than words, and whether two of them are equal.

Owns the one spelling of an expression and the guard before the computer algebra. Must not know where in a text an
answer stands.

math-verify (sympy; imported at first need, it is slow to load) reads the LaTeX. Two terms are then compared by their
values at fixed points, to 30 digits, in bounded time: its own `simplify` can run for minutes on a short term, and its
timeouts are signals, which only a main thread may have. What is no term (equations, inequalities, sets, intervals,
tuples) is compared by math-verify, where it is small. Nothing gets to either that could run away: long or deeply
nested input, large exponents, towers of powers and commands that are not listed here are equal only where they are
spelled the same.
"""

import logging
import math
import re
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sympy import Expr

MAX_LENGTH = 80
"""Longest expression, in characters, that counts as one."""
MAX_DEPTH = 4
"""Deepest nesting of brackets; the parser's time grows steeply with it."""
MAX_EXPONENT = 300
"""Largest product of all numbers in all exponents; the value then has at most some thousand digits."""
MAX_NUMBER_DIGITS = 40
MAX_RELATION_LENGTH, MAX_RELATION_EXPONENT = 40, 4
"""The same bounds for what math-verify itself compares."""

_PLAIN = str.maketrans(
    {"−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "÷": r"\div ", "π": r"\pi ", "∞": r"\infty ", "±": r"\pm "}
    | {"≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "²": "^2", "³": "^3", "√": r"\sqrt ", "θ": r"\theta ", "α": r"\alpha "}
    | {"β": r"\beta ", "λ": r"\lambda ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in "}
)
_SPACING = re.compile(r"\\(?:[,;!: ]|q?quad\b|left\b|right\b|displaystyle\b)|~")
_DEGREES = re.compile(r"\^\{?\\circ\}?|°")
_UNIT_TEXT = re.compile(r"\\(?:text|mathrm|textrm|mbox|operatorname)\{[^{}\\]*\}(?:\^\{?\d\}?)?")
_FUNCTION_CALL = re.compile(r"(?<![\\A-Za-z])(sqrt|sin|cos|tan|log|ln|exp)\b")
_TOKEN = re.compile(r"\\([A-Za-z]+)|\\[{}]|\d+(?:\.\d+)?|([A-Za-z]+)|[-+*/^_=<>()\[\]{},|'\s]")
_VALUES = frozenset(["pi", "infty", "theta", "alpha", "beta", "lambda"])
_FUNCTIONS = frozenset(["sqrt", "sin", "cos", "tan", "cot", "arcsin", "arccos", "arctan", "log", "ln", "exp"])
_RELATIONS = frozenset(["le", "leq", "ge", "geq", "ne", "neq", "lt", "gt", "in"])
_OPERATORS = frozenset(["frac", "dfrac", "tfrac", "times", "cdot", "div", "pm", "cup", "cap"])
_COMMANDS = _VALUES | _FUNCTIONS | _RELATIONS | _OPERATORS
_ROOT_OF_ONE_TOKEN = re.compile(r"\\sqrt\s*(\d+|[A-Za-z]|\([^()]*\))")
_EXPONENT = re.compile(r"\^\s*(?:\{([^{}]*)\}|\(([^()]*)\)|(-?\d+)|(\\[A-Za-z]+|[A-Za-z])|(.?))")
_NAME = re.compile(r"\s*[A-Za-z](?:_\{?\w\}?|\([a-z]\))?\s*")
_MEASURE = re.compile(r"-?[\d.,/ ]+[mgshdlLJNWVCK](?:\^\{?[23]\}?)?")
_DECIMAL = re.compile(r"(\d+)\.(\d+)")
_LETTER = re.compile(r"(?<![A-Za-z])[A-Za-z](?![A-Za-z])")
_TUPLE = re.compile(r"[(\[].*,\s.*[)\]]|\[.*,.*\)|\(.*,.*\]|\\\{.*,.*\\\}")
NUM_POINTS = 4
"""At how many points two terms are compared."""
_lock = Lock()


def as_expression(content: str) -> str | None:
    """The one spelling of an expression, or None where the content is words, or a number that needs no algebra.

    Of an equation that only names or computes a value ("y = 2x + 3", "A = 5^2 \\pi") it is the last right-hand side.
    Digits with signs between them ("12 + 3") are an unfinished computation, not an expression.
    """
    if len(content) > MAX_LENGTH:
        return None
    text = _UNIT_TEXT.sub(" ", _DEGREES.sub("", _SPACING.sub(" ", content.translate(_PLAIN)))).replace("**", "^")
    text = " ".join(_FUNCTION_CALL.sub(r"\\\1 ", text).split())
    if "," not in text:
        sides = text.split("=")
        if len(sides) > 1 and (_NAME.fullmatch(sides[0]) or not any(map(_LETTER.search, sides[:-1]))):
            text = sides[-1].strip()
    return text if _is_mathematics(text) and _has_more_than_a_number(text) else None


@lru_cache(maxsize=4096)
def same_expression(a: str, b: str) -> bool:
    """Whether two expressions (or numbers, "3", "0.5", "1/3") are mathematically equal; exact, symmetric, never raises.

    "x = 5" equals "5", and 2\\sqrt{3} equals \\sqrt{12} but not 3.4641.
    """
    if _spelling(a) == _spelling(b):
        return True
    if not (_is_safe(a) and _is_safe(b)):
        return False
    with _lock:
        return _are_equal(a, b)


def _is_mathematics(text: str) -> bool:
    """Made of listed commands, numbers, operators and single letters only; two letters side by side are a word."""
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or (match[1] is not None and match[1] not in _COMMANDS):
            return False
        if match[2] is not None and len(match[2]) > 1 and not set(match[2]) <= set("xyz"):
            return False
        position = match.end()
    return True


def _has_more_than_a_number(text: str) -> bool:
    """A letter, a root, a power, a product or brackets; a unit behind a number is no letter."""
    if _MEASURE.fullmatch(text):
        return False
    commands = {match[1] for match in _TOKEN.finditer(text) if match[1]}
    if commands & (_VALUES | _FUNCTIONS | {"times"}) or "^" in text or _TUPLE.fullmatch(text):
        return True
    return any(match[2] for match in _TOKEN.finditer(text))


def _is_safe(text: str) -> bool:
    """Whether evaluating it takes bounded time."""
    if len(text) > 2 * MAX_LENGTH or not _is_mathematics(text):
        return False
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    longest = max(map(len, re.findall(r"\d+", text)), default=0)
    return deepest <= MAX_DEPTH and longest <= MAX_NUMBER_DIGITS and _exponent(text) <= MAX_EXPONENT


def _exponent(text: str) -> float:
    """The product of all numbers in exponents; infinite for towers, decimals and what can't be told."""
    product = 1
    for match in _EXPONENT.finditer(text):
        exponent = next((group for group in match.groups() if group is not None), "")
        is_tower = "^" in exponent or text[match.end() :].lstrip().startswith("^")
        if match[5] is not None or is_tower or "." in exponent:
            return math.inf
        for digits in re.findall(r"\d+", exponent):
            product *= max(1, int(digits))
    return product


def _spelling(text: str) -> str:
    return re.sub(r"\s+", "", text).replace(r"\dfrac", r"\frac").replace(r"\tfrac", r"\frac")


def _latex(text: str) -> str:
    """For math-verify: roots in braces, decimals as exact fractions (it would round them)."""
    braced = _ROOT_OF_ONE_TOKEN.sub(lambda match: rf"\sqrt{{{match[1].strip('()')}}}", text)
    return _DECIMAL.sub(lambda match: rf"\frac{{{match[1]}{match[2]}}}{{1{'0' * len(match[2])}}}", braced)


def _are_equal(a: str, b: str) -> bool:
    # Takes a second to import: only runs that meet symbolic answers pay for it.
    import math_verify  # noqa: PLC0415
    import sympy  # noqa: PLC0415

    # Each warns once that it has no timeout: nothing that needs one gets here.
    for module in ("parser", "grader"):
        logging.getLogger(f"math_verify.{module}").setLevel(logging.ERROR)
    config = [math_verify.LatexExtractionConfig()]
    first, second = (
        math_verify.parse(f"${_latex(text)}$", config, fallback_mode="no_fallback", parsing_timeout=0)
        for text in (a, b)
    )
    if not first or not second:
        return False
    if isinstance(first[0], sympy.Expr) and isinstance(second[0], sympy.Expr):
        return _agree(first[0], second[0])
    if max(len(a), len(b)) > MAX_RELATION_LENGTH or max(_exponent(a), _exponent(b)) > MAX_RELATION_EXPONENT:
        return False
    # Its verdict depends on which side is called gold; ours must not.
    return any(math_verify.verify(*pair, timeout_seconds=None) for pair in ((first, second), (second, first)))


def _agree(a: "Expr", b: "Expr") -> bool:
    """Whether two terms have the same values, to 20 of 30 digits, at every one of the points where both have one."""
    if a == b:
        return True
    letters = sorted(a.free_symbols | b.free_symbols, key=str)
    num_compared = 0
    for point in range(NUM_POINTS):
        # The same ones each time, so that a verdict never changes; of both signs, as sqrt(x^2) is not x.
        values = [(letter, _coordinate(point, place)) for place, letter in enumerate(letters)]
        left, right = (term.subs(values).evalf(30, chop=True) for term in (a, b))
        if not all(value.is_number and value.is_finite for value in (left, right)):
            continue
        if abs(left - right) > (abs(left) + abs(right)) * 1e-20:
            return False
        num_compared += 1
    return num_compared > 0


def _coordinate(point: int, place: int) -> "Expr":
    from sympy import Rational  # noqa: PLC0415

    return Rational((-1) ** (point + place) * (11 + 5 * point + 3 * place), 7)
