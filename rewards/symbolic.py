"""Symbolic answers: what is a mathematical expression rather than words, and whether two of them are equal.

Owns the one spelling of an expression and the guard before the computer algebra. Equality is that of math-verify
(sympy), imported at first need: it is slow to load. Must not know where in a text an answer stands.

math-verify's own timeouts are signals, which only a main thread may have, so they are off. Instead nothing reaches it
that could run away: long or deeply nested input, large exponents, towers of powers, and commands that are not listed
here are never evaluated; such answers are equal only where they are spelled the same.
"""

import logging
import re
from functools import cache, lru_cache
from threading import Lock

MAX_LENGTH = 80
"""Longest expression, in characters, that counts as one."""
MAX_DEPTH = 4
"""Deepest nesting of brackets; the parser's time grows steeply with it."""
MAX_EXPONENT = 300
"""Largest product of all numbers in all exponents; the value then has at most some thousand digits."""
MAX_EXPONENT_OF_SUM = 20
"""The same where there are letters, which may have to be multiplied out."""
MAX_NUMBER_DIGITS = 40

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
_VALUES = frozenset("pi infty theta alpha beta gamma lambda mu sigma omega phi".split())
_OPERATIONS = frozenset(
    "frac dfrac tfrac sqrt sin cos tan cot sec csc arcsin arccos arctan log ln exp times cdot div pm le leq ge geq ne "
    "neq lt gt cup cap in".split()
)
_ROOT_OF_ONE_TOKEN = re.compile(r"\\sqrt\s*(\d+|[A-Za-z]|\([^()]*\))")
_EXPONENT = re.compile(r"\^\s*(?:\{([^{}]*)\}|\(([^()]*)\)|(-?\d+)|(\\[A-Za-z]+|[A-Za-z])|(.?))")
_LEFT_SIDE = re.compile(r"(?:[A-Za-z](?:_\{?\w\}?|\([a-z]\))?|[-+*/^.\d\s(){}]|\\(?:times|cdot|div|frac)\s?)+")
_LETTER = re.compile(r"(?<![A-Za-z])[A-Za-z](?![A-Za-z])")
_TUPLE = re.compile(r"[(\[].*,\s.*[)\]]|\[.*,.*\)|\(.*,.*\]|\\\{.*,.*\\\}")
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
    left, equals, right = text.rpartition("=")
    if equals and right.strip() and "," not in text and _names_a_value(left):
        text = right.strip()
    return text if text and _is_symbolic(text) else None


@lru_cache(maxsize=4096)
def same_expression(a: str, b: str) -> bool:
    """Whether two expressions (or numbers, "3", "0.5", "1/3") are mathematically equal; exact, symmetric, never raises.

    "x = 5" equals "5", and 2\\sqrt{3} equals \\sqrt{12} but not 3.4641.
    """
    if _spelling(a) == _spelling(b):
        return True
    if not (_is_safe(a) and _is_safe(b)):
        return False
    math_verify = _load()
    with _lock:
        first, second = _parsed(a), _parsed(b)
        return bool(first and second) and any(
            math_verify.verify(gold, target, timeout_seconds=None)
            for gold, target in ((first, second), (second, first))
        )


def _names_a_value(left: str) -> bool:
    """A single symbol, or a computation without letters, any of them chained by equals signs."""
    sides = [side.strip() for side in left.split("=")]
    return all(
        _LEFT_SIDE.fullmatch(side) and (len(side) <= 5 or not _LETTER.search(side)) for side in sides
    ) and not any(re.search(r"[-+*/^\d]", side) and _LETTER.search(side) and "_" not in side for side in sides)


def _is_symbolic(text: str) -> bool:
    """Made of mathematics only, with something in it that a plain number does not have."""
    position, has_symbol = 0, False
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return False
        command, letters = match[1], match[2]
        if command is not None and command not in _VALUES | _OPERATIONS:
            return False
        # Two letters side by side are words or units, but for the usual names of unknowns.
        if letters is not None and len(letters) > 1 and not set(letters) <= set("xyzabn"):
            return False
        has_symbol |= letters is not None or command in _VALUES or command in ("sqrt", "log", "ln", "exp")
        position = match.end()
    return has_symbol or "^" in text or r"\times" in text or bool(_TUPLE.fullmatch(text))


def _is_safe(text: str) -> bool:
    """Whether evaluating it takes bounded time."""
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    if (
        len(text) > 2 * MAX_LENGTH
        or deepest > MAX_DEPTH
        or any(len(digits) > MAX_NUMBER_DIGITS for digits in re.findall(r"\d+", text))
    ):
        return False
    return _exponents_are_small(text)


def _exponents_are_small(text: str) -> bool:
    product = 1
    for match in _EXPONENT.finditer(text):
        exponent = next((group for group in match.groups() if group is not None), "")
        follows = text[match.end() : match.end() + 1]
        if match[5] is not None or follows == "^" or "^" in exponent or "." in exponent:
            return False
        for digits in re.findall(r"\d+", exponent):
            product *= max(1, int(digits))
            if product > MAX_EXPONENT:
                return False
    return product <= (MAX_EXPONENT_OF_SUM if re.search(r"(?<!\\)\b[A-Za-z]\b", text) else MAX_EXPONENT)


def _spelling(text: str) -> str:
    return re.sub(r"\s+", "", text).replace(r"\dfrac", r"\frac").replace(r"\tfrac", r"\frac")


@cache
def _load():
    import math_verify

    # Each warns once that it has no timeout: nothing that needs one gets there.
    for module in ("parser", "grader"):
        logging.getLogger(f"math_verify.{module}").setLevel(logging.ERROR)
    return math_verify


def _parsed(text: str) -> list[object]:
    """What math-verify reads; empty where it can't."""
    math_verify = _load()
    braced = _ROOT_OF_ONE_TOKEN.sub(lambda match: rf"\sqrt{{{match[1].strip('()')}}}", text)
    config = [math_verify.LatexExtractionConfig()]
    return math_verify.parse(f"${braced}$", config, fallback_mode="no_fallback", parsing_timeout=None)
