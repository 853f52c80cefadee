"""Take out of a text what is written the same in every language: code, formulas, units and labels of answers.

Words stay words wherever they stand: a text in another language must not pass because it is put into `$...$`, a block
of code or a heading. So only short tokens, and names of code, are taken out, and only where no words stand in a row.
"""

import re

from rewards.gates.disguise import without_commands

MAX_VARIABLE = 3
"""Most letters of a variable or product of variables: "ax", "xyz", "gcd". Longer tokens are words."""
MIN_PROSE_WORDS = 3
"""Least number of words in a row, with blanks alone between them, that are prose inside code."""
MAX_CODE_SHARE = 0.5
"""Largest share of a text's words, each counted once, that stand in blocks of code only. Above it the code is the text,
and is read as such."""

_FENCE = re.compile(r"```.{0,8000}?```|~~~.{0,8000}?~~~", re.DOTALL)
# Drawings in Asymptote's language, as sets of competition problems have them.
_DRAWING = re.compile(
    r"\[asy\](?:(?!\[asy).){0,8000}?\[/asy\]|\\begin\{asy\}(?:(?!\\begin\{asy).){0,8000}?\\end\{asy\}", re.DOTALL
)
_CODE_MARK = re.compile(r"^(?:```|~~~)\w{0,12}|\[/?asy\]|\\(?:begin|end)\{asy\}|(?:```|~~~)$")
_WORD = r"[^\W\d_]{2,40}(?:['’][^\W\d_]{1,9})?(?![^\W\d_]|[ \t]?\()"
_PROSE = re.compile(rf"{_WORD}(?:[ \t\d_]+(?:[^\W\d_][ \t]+)?{_WORD}){{{MIN_PROSE_WORDS - 1},}}")
_LETTERS = re.compile(r"[^\W\d_]+")

# Pandoc's rule for dollars: no blank inside them, and no digit behind them. Otherwise they are money.
_FORMULA = re.compile(
    r"\$\$(?P<a>[^$]{1,2000})\$\$|\$(?P<b>(?=[^\s$])[^$\n]{0,400}(?<!\s))\$(?!\d)|\\\((?P<c>.{1,600}?)\\\)|\\\[(?P<d>.{1,3000}?)\\\]",
    re.DOTALL,
)
_TEXT_COMMAND = re.compile(
    r"\\(?:text[a-z]{0,10}|mbox|hbox|fbox|boxed|mathrm|mathit|mathbf|operatorname)\s?\{([^{}\n]{0,400})\}"
)
_BLANK_COMMAND = re.compile(r"\\(?:[ ,;:!~]|q?quad\b|hspace\{[^}]{0,10}\}|thinspace\b)|~")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_WORDS_IN_A_ROW = re.compile(r"[A-Za-z]{2,}[ \t]+(?:[a-z]{1,3}[ \t]+|\d+[ \t]+)?[A-Za-z]{2,}")
_SHORT = re.compile(rf"(?<![A-Za-z])[A-Za-z]{{1,{MAX_VARIABLE}}}(?![A-Za-z])")

# Algebra outside of `$...$`: without blanks, with an operator and short tokens; or a short token beside an operator.
_EXPRESSION = re.compile(r"[A-Za-z0-9=+\-−*/^_<>≤≥·×÷√()\[\]{}|.,]{3,200}")
_SIGN = re.compile(r"[=+*/^_<>≤≥·×÷−]")
_LONG = re.compile(rf"[A-Za-z]{{{MAX_VARIABLE + 1},}}")
_LATIN = re.compile("[A-Za-z]+")
_OPERATOR = r"=+*/^_<>≤≥≠≈×÷·−|()\[\]\d"
_VARIABLE = re.compile(
    rf"(?<=[{_OPERATOR}])(?<![A-Za-z])[A-Za-z]{{2,{MAX_VARIABLE}}}(?![A-Za-z'’-]|[ \t]+[A-Za-z]{{2}})"
    rf"|(?<![A-Za-z'’-])(?<![A-Za-z][ \t])[A-Za-z]{{2,{MAX_VARIABLE}}}(?=[ \t]?[=+*/^_<>≤≥≠≈×÷·−])"
)


def without_formulas(text: str) -> str:
    """Return the text without code, variables and LaTeX commands; words and numbers stay. The time is linear."""
    plain = without_commands(_FORMULA.sub(_words_of_formula, without_code(text)))
    return _VARIABLE.sub(" ", _EXPRESSION.sub(_words_of_expression, plain))


def without_code(text: str) -> str:
    """Return the text without its drawings and blocks of code, but with the prose inside them: comments and strings."""
    if "asy" in text:
        text = _DRAWING.sub(_prose, text)
    blocks = _FENCE.findall(text) if "```" in text or "~~~" in text else []
    if not blocks:
        return text
    words = set(_LETTERS.findall(_FENCE.sub(" ", text)))
    in_code = set(_LETTERS.findall(" ".join(blocks))) - words
    num_code, num_words = sum(map(len, in_code)), sum(map(len, words))
    return text if num_code > MAX_CODE_SHARE * (num_code + num_words) else _FENCE.sub(_prose, text)


def _prose(block: re.Match[str]) -> str:
    return "\n" + "\n".join(_PROSE.findall(_CODE_MARK.sub(" ", block[0]))) + "\n"


def _words_of_formula(formula: re.Match[str]) -> str:
    """Return a formula without its variables; as it is, if words stand in a row."""
    inside = formula[formula.lastgroup or 0]
    symbols = _COMMAND.sub("·", _BLANK_COMMAND.sub(" ", _TEXT_COMMAND.sub("·", inside)))
    if _WORDS_IN_A_ROW.search(symbols):
        return formula[0]
    parts: list[str] = []
    end = 0
    for text in _TEXT_COMMAND.finditer(inside):
        # "if" and "of" stand in formulas whatever the language.
        words = " " if _SHORT.fullmatch(text[1].strip()) else f" {text[1]} "
        parts += [_SHORT.sub(" ", without_commands(inside[end : text.start()])), words]
        end = text.end()
    return " ".join(["", *parts, _SHORT.sub(" ", without_commands(inside[end:])), ""])


def _words_of_expression(expression: re.Match[str]) -> str:
    if _SIGN.search(expression[0]) and not _LONG.search(expression[0]):
        return _LATIN.sub(" ", expression[0])
    return expression[0]
