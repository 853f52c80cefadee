"""Find where a text declares its final answer: closing phrases, `\\boxed{}` and `####`.

A mark says where a declaration is and how far its content reaches. What the content says is read elsewhere. All offsets
are in folded text, which keeps every character's position.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice

from languages.closings import STOPS
from languages.facts import known_language
from languages.language import Language
from rewards.answers.numbers import nfc
from rewards.answers.scales import composed

MAX_CONTENT = 300
"""Most characters of one declaration that are read."""
MAX_MARKS = 32
"""Most marks of one kind that are read, counted from the end. More than one already shuts the gate "format"."""

_OPENING = re.compile(r"(?:\\[(\[]|[\s:*_$(\[{}«»„“”\"'「`]){0,60}")
# A part of every English closing phrase: a response in another language is searched for those only where it has it.
_ENGLISH = re.compile(r"[Aa]nswer|ANSWER|[Cc]orrect|CORRECT")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s{0,3}\{")
_BRACE = re.compile(r"[{}]")
_HASHES = re.compile(r"#{4,}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """Hold one place that declares an answer. Offsets hold in the folded and in the NFC text."""

    start: int  # of the phrase, box or hashes
    content: int  # start of the content, markup included
    opened: int  # start of the content after line breaks, emphasis and opening brackets
    stop: int  # latest end of the content: end of the sentence, closing brace, end of the line
    end: int | None  # after the closing brace of a box; None where the content decides
    language: str | None  # of the closing phrase; None for \boxed{} and ####
    lead: int | None = None  # end of a label, with a colon ("Answer:") or on a line of its own; None for anything else

    @property
    def is_box(self) -> bool:
        """Return whether this is a closed box, or a phrase around one."""
        return self.end is not None and self.end > self.stop

    @property
    def is_phrase(self) -> bool:
        """Return whether this is a phrase alone, with no brace that limits the answer."""
        return self.language is not None and self.end is None


def find_marks(folded: str, language: str) -> list[Mark]:
    """Return every mark of a final answer: phrases of the language, English phrases, boxes and hashes.

    Raises:
        ValueError: the language is unknown.
    """
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


@cache
def sentence_end(language: Language) -> re.Pattern[str]:
    """Return the pattern of the end of a sentence: a mark or a line break.

    A full stop before digits, or of an abbreviation before a number ("approx. 18"), ends none.
    """
    words = {word for known in (language, known_language("en")) for word in composed(known.abbreviations)}
    unabbreviated = "".join(rf"(?<!(?<!\w){re.escape(word)})" for word in sorted(words))
    before_number = r"(?:\d|[\s$€£¥₹]{0,3}-?\d)"
    return re.compile(rf"\n|[!?。{STOPS}]|{unabbreviated}\.(?!\d)|\.(?!{before_number})", re.IGNORECASE)


def whole_text(folded: str) -> Mark:
    """Return a mark for a text that is nothing but an answer, such as a column of a data set."""
    return Mark(start=0, content=0, opened=_skip_opening(folded, 0), stop=len(folded), end=len(folded), language=None)


@cache
def _closing_patterns(language: Language) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(nfc(pattern), re.IGNORECASE) for pattern in language.declarations)


def _last(matches: Iterable[re.Match[str]]) -> list[re.Match[str]]:
    """Return the last MAX_MARKS matches, in order."""
    found = list(islice(matches, MAX_MARKS + 1))
    return found if len(found) <= MAX_MARKS else [*found, *matches][-MAX_MARKS:]


def _phrase(match: re.Match[str], folded: str, code: str, boxes: list[Mark]) -> Mark | None:
    """Return the mark of a phrase; None where its sentence has a box that is never closed.

    A phrase whose sentence has a box shares the box's content: "The answer is \\boxed{18}" is one declaration.
    """
    opened = _skip_opening(folded, match.end())
    lead = match.end() if match[0].rstrip(" *_").endswith((":", "=", "\n")) else None
    limit = min(len(folded), opened + MAX_CONTENT)
    ended = sentence_end(known_language(code)).search(folded, opened, limit)
    stop = ended.start() if ended else limit
    for box in boxes:
        if match.end() <= box.start <= stop:
            if not box.is_box:
                return None
            # A heading above a box says nothing that the box does not: many models write it in English.
            is_heading = match[0].rstrip(" *_").endswith("\n")
            return replace(box, start=match.start(), language=None if is_heading else code, lead=lead)
    return Mark(start=match.start(), content=match.end(), opened=opened, stop=stop, end=None, language=code, lead=lead)


def _box(match: re.Match[str], folded: str) -> Mark:
    """Return the mark of a box. Without a closing brace within MAX_CONTENT characters its `is_box` is False."""
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
