"""Remove the markup of a text: what Markdown and LaTeX add is no part of what is said.

Only similarities of reasonings need it: an encoder puts a solution in bullets or display formulas far from the same one
in plain sentences. Gates and numbers read the text as it is written.
"""

import re

_COMMANDS = {r"\times": "×", r"\cdot": "×", r"\div": "÷", r"\approx": "≈", r"\leq": "≤", r"\geq": "≥", r"\$": "$"}
_FRACTION = re.compile(r"\\[dt]?frac\{([^{}\n]{1,40})\}\{([^{}\n]{1,40})\}")
_WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mathbf|boxed|fbox)\{([^{}\n]*)\}")
_DELIMITERS = re.compile(r"\\[()\[\],;!]|\\quad\b|\\left\b|\\right\b|\$\$")
_INLINE_FORMULA = re.compile(r"(?<![\\\d\w])\$(?=[^$\n]{0,200}[\\=+*^])([^$\n]{1,200})\$(?!\d)")
_FENCE = re.compile(r"(?m)^[ \t]*(?:`{3,}|~{3,})[^\n]*$")
_RULE = re.compile(r"(?m)^[-*_=|:+ \t]{3,}+$")
_LINE_MARK = re.compile(r"(?m)^[ \t]*(?:#{1,6}[ \t]+|>[ \t]?|[-*+•][ \t]+|\d{1,2}[.)][ \t]+)")
_EMPHASIS = re.compile(r"\*{1,3}|_{2,3}|~~|`+")
# White space before a mark is tried from the start of its run only: a text of spaces takes linear time.
_CELL = re.compile(r"(?:(?<![ \t])[ \t]++)?\|[ \t]*+")
_SPACES = re.compile(r"[ \t]{2,}")
_LINES = re.compile(r"(?:(?<!\s)[^\S\n]++)?\n\s*+")


def plain(text: str) -> str:
    """Return the text without headings, bullets, emphasis, lines of tables and delimiters of formulas.

    LaTeX's operators and fractions become characters. Text without any markup stays as it is, but for spaces at the
    ends of lines.
    """
    if "\\" in text:
        text = _FRACTION.sub(r"\1/\2", text)
        text = _WRAPPED.sub(r"\1", text)
        for command, symbol in _COMMANDS.items():
            text = text.replace(command, symbol)
    text = _INLINE_FORMULA.sub(r"\1", _DELIMITERS.sub(" ", text))
    text = _LINE_MARK.sub("", _RULE.sub("", _FENCE.sub("", text)))
    # "5 * 6" is a product, "*five*" is emphasis.
    text = _EMPHASIS.sub("", text.replace(" * ", " × "))
    return _LINES.sub("\n", _SPACES.sub(" ", _CELL.sub(" ", text))).strip()
