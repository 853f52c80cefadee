"""Clean a response before anything reads it."""

import re
import unicodedata

MAX_MARKS = 30
"""Most combining marks in a row, as in Unicode's stream-safe format (UAX 15, 13): more would take quadratic time to
order, and no language stacks that many."""

_CONTROLS = "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"
# Fillers, variation selectors and beams: letters and marks to Unicode, but nothing to be seen.
_BLANKS = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U0001d173-\U0001d17a"
_INVISIBLE = f"{_CONTROLS}{_BLANKS}\ufff9-\ufffb\U000e0000-\U000e0fff"
_LINE_ENDS = "\x0b\x0c\x85\u2028\u2029"
_SURROGATES = "\ud800-\udfff"
_JOINERS = "\u200c\u200d"
_TO_CLEAN = re.compile(f"[\r{_INVISIBLE}{_LINE_ENDS}{_SURROGATES}{_JOINERS}]")

_INVISIBLE_ONE = re.compile(f"[{_INVISIBLE}]")
_LINE_END = re.compile(f"\r\n?|[{_LINE_ENDS}]")
_SURROGATE = re.compile(f"[{_SURROGATES}]")
# Zero-width joiners belong to the spelling of Indic and Arabic scripts. Elsewhere they only cut words in two.
_JOINER_RUN = re.compile(f"([{_JOINERS}])[{_JOINERS}]+")
_UNJOINED = "\x00-\u052f\u0e00-\u0e7f\u3000-\u9fff\uac00-\ud7af\uff00-\uffef"
_USELESS_JOINER = re.compile(f"(?<=[{_UNJOINED}])[{_JOINERS}]|[{_JOINERS}](?=[{_UNJOINED}])")
# Marks are no word characters to `re`, nor are symbols: which of a run are marks is looked up.
_PERHAPS_MARKS = re.compile(rf"[^\w\s\x00-\x7f]{{{MAX_MARKS + 1},}}")


def clean(text: str) -> str:
    """Return NFC text without controls, direction marks, tags, soft hyphens, zero-width spaces and stray joiners.

    A lone surrogate becomes U+FFFD, every kind of line end a line feed. Time grows with the length alone.
    """
    if _TO_CLEAN.search(text):
        text = _INVISIBLE_ONE.sub("", _LINE_END.sub("\n", _SURROGATE.sub("\ufffd", text)))
        text = _USELESS_JOINER.sub("", _JOINER_RUN.sub(r"\1", text))
    return unicodedata.normalize("NFC", _PERHAPS_MARKS.sub(_without_excess_marks, text))


def _without_excess_marks(run: re.Match[str]) -> str:
    kept: list[str] = []
    num_marks = 0
    for character in run[0]:
        num_marks = num_marks + 1 if unicodedata.combining(character) else 0
        if num_marks <= MAX_MARKS:
            kept.append(character)
    return "".join(kept)
