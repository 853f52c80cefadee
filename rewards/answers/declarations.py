"""Where a text says that its final answer comes now: closing phrases, `\\boxed{}` and `####`.

Owns the marks of a declaration and how far its content reaches. Reads folded text (rewards/answers/numbers.py). Must
not know what an answer is: rewards/answers/final.py reads the content.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import islice

from languages.closings import STOPS
from languages.facts import known_language
from languages.language import Language
from rewards.answers.numbers import nfc

MAX_CONTENT = 300
"""Most characters of one declaration that are read."""
MAX_MARKS = 32
"""Most marks of one kind that are read, from the end: more than one already shuts the format gate."""

_OPENING = re.compile(r"(?:\\[(\[]|[\s:*_$(\[{}«»„“”\"'「`]){0,60}")
SENTENCE_END = re.compile(rf"\n|[!?。{STOPS}]|(?<!\brs)(?<!\bca)\.(?!\d)", re.IGNORECASE)
# In every English closing phrase; a native response is seldom searched for more of it.
_ENGLISH = re.compile(r"[Aa]nswer|ANSWER|[Cc]orrect|CORRECT")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s{0,3}\{")
_BRACE = re.compile(r"[{}]")
_HASHES = re.compile(r"#{4,}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """One place that declares. Offsets hold in the folded and in the NFC text."""

    start: int  # of the phrase, box or hashes
    content: int  # where what is declared begins, markup included
    opened: int  # the same behind line breaks, emphasis and opening brackets
    stop: int  # where it must have ended: the sentence, the closing brace, the line
    end: int | None  # behind the closing brace of a box; None where the content tells
    language: str | None  # of the closing phrase; None for \boxed{} and ####

    @property
    def is_box(self) -> bool:
        """A box, or a phrase around one: its closing brace stands behind what is declared."""
        return self.end is not None and self.end > self.stop

    @property
    def is_phrase(self) -> bool:
        """Words only, with no brace or line that says how far the answer reaches."""
        return self.language is not None and self.end is None


def find_marks(folded: str, language: str) -> list[Mark]:
    """Every mark of a final answer, in the language's phrases, in English, or in none."""
    opened = _last(_BOXED.finditer(folded)) if "\\" in folded else []
    boxes = [_box(match, folded) for match in opened]
    marks = [box for box in boxes if box.is_box]
    for code in (language, "en") if language != "en" and _ENGLISH.search(folded) else (language,):
        for pattern in _closing_patterns(known_language(code)):
            phrases = (_phrase(match, folded, code, boxes) for match in _last(pattern.finditer(folded)))
            marks.extend(mark for mark in phrases if mark is not None)
    if "####" in folded:
        marks.extend(_hashes(match, folded) for match in _last(_HASHES.finditer(folded)))
    return marks


def whole_text(folded: str) -> Mark:
    """A text that is nothing but an answer, as a mark: the column of a data set."""
    return Mark(start=0, content=0, opened=_skip_opening(folded, 0), stop=len(folded), end=len(folded), language=None)


@cache
def _closing_patterns(language: Language) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(nfc(pattern), re.IGNORECASE) for pattern in language.declarations)


def _last(matches: Iterable[re.Match[str]]) -> list[re.Match[str]]:
    found = list(islice(matches, MAX_MARKS + 1))
    return found if len(found) <= MAX_MARKS else [*found, *matches][-MAX_MARKS:]


def _phrase(match: re.Match[str], folded: str, code: str, boxes: list[Mark]) -> Mark | None:
    """A phrase whose sentence holds a box shares the box's content: "The answer is \\boxed{18}" is one declaration.

    None where that box is never closed.
    """
    opened = _skip_opening(folded, match.end())
    limit = min(len(folded), opened + MAX_CONTENT)
    sentence_end = SENTENCE_END.search(folded, opened, limit)
    stop = sentence_end.start() if sentence_end else limit
    for box in boxes:
        if match.end() <= box.start <= stop:
            if not box.is_box:
                return None
            return Mark(
                start=match.start(), content=box.content, opened=box.opened, stop=box.stop, end=box.end, language=code
            )
    return Mark(start=match.start(), content=match.end(), opened=opened, stop=stop, end=None, language=code)


def _box(match: re.Match[str], folded: str) -> Mark:
    """Without a closing brace within MAX_CONTENT it is no declaration, and `is_box` is false."""
    content, limit = match.end(), min(len(folded), match.end() + MAX_CONTENT)
    stop, end, depth = limit, limit, 1
    for brace in _BRACE.finditer(folded, content, limit):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            stop, end = brace.start(), brace.end()
            break
    opened = min(_skip_opening(folded, content), stop)
    return Mark(start=match.start(), content=content, opened=opened, stop=stop, end=end, language=None)


def _hashes(match: re.Match[str], folded: str) -> Mark:
    limit = min(len(folded), match.end() + MAX_CONTENT)
    newline = folded.find("\n", match.end(), limit)
    stop = newline if newline >= 0 else limit
    opened = min(_skip_opening(folded, match.end()), stop)
    return Mark(start=match.start(), content=match.end(), opened=opened, stop=stop, end=None, language=None)


def _skip_opening(folded: str, position: int) -> int:
    match = _OPENING.match(folded, position)
    return match.end() if match else position
