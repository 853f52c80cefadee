"""Recognise symbolic answers and compare them.

An expression has one spelling. Only safe expressions go to the algebra, which is imported at first need because it
imports sympy. Input that could take very long (long or deeply nested, with large exponents, towers of powers or
commands that are not listed here) is equal only where it is spelled the same.
"""

import math
import re
from functools import lru_cache
from threading import Lock

MAX_LENGTH = 80
"""Most characters of an expression."""
MAX_DEPTH = 4
"""Deepest nesting of brackets that is evaluated; the parser's time grows steeply with it."""
MAX_EXPONENT = 300
"""Largest product of all numbers in all exponents; the value then has at most some thousand digits."""
MAX_NUMBER_DIGITS = 40
"""Most digits of a number that is evaluated."""

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
_TUPLE = re.compile(r"[(\[](?!\s*\d{1,3}(?:,\d{3})+(?:\.\d+)?\s*[)\]]).*,.*[)\]]|\\\{.*,.*\\\}")  # (1,000) is a number
_lock = Lock()


def as_expression(content: str) -> str | None:
    """Return the one spelling of an expression; None where the content is words, or a number that needs no algebra.

    An equation that only names or computes a value ("y = 2x + 3", "A = 5^2 \\pi") gives its last right-hand side.
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
    """Return whether two expressions or numbers ("3", "1/3") are mathematically equal; symmetric, never raises.

    "x = 5" equals "5", and 2\\sqrt{3} equals \\sqrt{12} but not 3.4641. Rational values are compared exactly.
    """
    if _spelling(a) == _spelling(b):
        return True
    if not (_is_safe(a) and _is_safe(b)):
        return False
    from rewards.answers.algebra import are_equal  # noqa: PLC0415 - takes a second, and most runs meet numbers only

    with _lock:
        return are_equal(_latex(a), _latex(b))


def _is_mathematics(text: str) -> bool:
    """Return whether a text has only listed commands, numbers, operators and single letters.

    Two letters side by side are a word, unless they are x, y or z.
    """
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
    """Return whether a text has a letter, a root, a power, a product or brackets; units are no letters."""
    if _MEASURE.fullmatch(text):
        return False
    commands = {match[1] for match in _TOKEN.finditer(text) if match[1]}
    if commands & (_VALUES | _FUNCTIONS | {"times", "pm"}) or "^" in text or _TUPLE.fullmatch(text):
        return True
    return any(match[2] for match in _TOKEN.finditer(text))


def _is_safe(text: str) -> bool:
    """Return whether evaluating the text takes bounded time."""
    if len(text) > 2 * MAX_LENGTH or not _is_mathematics(text):
        return False
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    longest = max(map(len, re.findall(r"\d+", text)), default=0)
    return deepest <= MAX_DEPTH and longest <= MAX_NUMBER_DIGITS and _exponent(text) <= MAX_EXPONENT


def _exponent(text: str) -> float:
    """Return the product of all numbers in exponents; infinite for towers, decimals and anything that is unclear."""
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
    """Return the text for math-verify: roots in braces, decimals as fractions."""
    braced = _ROOT_OF_ONE_TOKEN.sub(lambda match: rf"\sqrt{{{match[1].strip('()')}}}", text)
    return _DECIMAL.sub(lambda match: rf"\frac{{{match[1]}{match[2]}}}{{1{'0' * len(match[2])}}}", braced)
