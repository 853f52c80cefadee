"""Cut a text into sentences, and into chunks of like size that an encoder can read whole.

Only white space at the cuts is dropped. The caller passes a function that counts tokens.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from languages.closings import STOPS

TINY = 3
"""Most characters of a piece of a text that is no sentence by itself."""
CountTokens = Callable[[Sequence[str]], Sequence[int]]
"""Tokens of each text, those that every text costs (prefix, special tokens) included."""

_CLOSERS = r"[\"'“”’»」』）)\]*_]*+"
# A full stop ends a sentence only before white space: not in 3.5. Thai ends none: its lines are all there is.
# A run of stops is tried once, from its start, and without giving any back: a text of dots takes linear time.
_SENTENCE = re.compile(rf"(?:(?<![.!?…؟۔])[.!?…؟۔]++{_CLOSERS}(?=\s)|[。！？｡॥{STOPS}]+{_CLOSERS}|\n)\s*")
_WORD = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Hold a piece of a text."""

    text: str
    num_tokens: int  # of the piece alone, at least 1: what it weighs


def split_sentences(text: str) -> list[str]:
    """Return the sentences and lines in order, without white space around them; none of them is empty."""
    return [piece for piece in (part.strip() for part in _split(text, _SENTENCE)) if piece]


def cut_text(text: str, *, count: CountTokens, target: int, limit: int) -> list[Chunk]:
    """Return chunks of about `target` tokens and at most `limit` (both with what every text costs).

    White space alone gives no chunk.

    Cut at ends of sentences; a sentence that is too long is cut between words, a word that is too long between
    characters. Only a single character may have more tokens than the limit.

    Raises:
        ValueError: the limit leaves no room for a text.
    """
    cost = text_cost(count)
    if limit <= cost:
        raise ValueError(f"a chunk of {limit} tokens leaves no room for text beside the {cost} that every text costs")

    def own(texts: Sequence[str]) -> list[int]:
        return [max(0, tokens - cost) for tokens in count(texts)]

    room = limit - cost
    pieces = _pieces(text, own=own, room=room)
    packed = _pack(pieces, target=max(1, target - cost), room=room)
    # Put together, pieces may have a few tokens more than they had apart.
    return [chunk for piece in packed for chunk in _halved(piece, own=own, room=room)]


def cut_sentences(text: str, *, count: CountTokens, limit: int) -> list[Chunk]:
    """Return one chunk per sentence or line; one of more than `limit` tokens is cut further. 0: no limit.

    A piece of at most TINY characters, such as the number of a step, goes with the next one.

    Raises:
        ValueError: the limit leaves no room for a text.
    """
    cost = text_cost(count)
    sentences = _with_tiny_joined(split_sentences(text))
    chunks: list[Chunk] = []
    for sentence, tokens in zip(sentences, count(sentences) if sentences else (), strict=True):
        if 0 < limit < tokens:
            chunks += cut_text(sentence, count=count, target=limit, limit=limit)
        else:
            chunks.append(Chunk(sentence, max(1, tokens - cost)))
    return chunks


def _with_tiny_joined(sentences: Sequence[str]) -> list[str]:
    joined: list[str] = []
    before = ""
    for sentence in sentences:
        whole = f"{before} {sentence}".strip()
        before = whole if len(whole) <= TINY else ""
        if not before:
            joined.append(whole)
    return [*joined, before] if before else joined


def text_cost(count: CountTokens) -> int:
    """Return the tokens of an empty text: prefix and special tokens."""
    return count([""])[0]


def _pieces(text: str, *, own: CountTokens, room: int, level: int = 0) -> list[tuple[str, int]]:
    """Split a text into (piece, number of tokens) pairs; each fits into `room` tokens, except single characters."""
    parts = _split_at(text, level)
    pieces: list[tuple[str, int]] = []
    for part, tokens in zip(parts, own(parts), strict=True):
        if tokens <= room or len(part) < 2:
            pieces.append((part, tokens))
        else:
            pieces.extend(_pieces(part, own=own, room=room, level=level + 1))
    return pieces


def _halved(text: str, *, own: CountTokens, room: int) -> list[Chunk]:
    """Return the text, halved until each part fits into `room` tokens."""
    (tokens,) = own([text])
    if tokens <= room or len(text) < 2:
        return [Chunk(text, max(1, tokens))]
    halves = [half for half in (part.strip() for part in _split_at(text, 2)) if half]
    return [chunk for half in halves for chunk in _halved(half, own=own, room=room)]


def _split_at(text: str, level: int) -> list[str]:
    """Split at ends of sentences (level 0), between words (level 1) or in the middle (any higher level)."""
    match level:
        case 0:
            return _split(text, _SENTENCE)
        case 1:
            return _split(text, _WORD)
        case _:
            middle = len(text) // 2
            return [text[:middle], text[middle:]]


def _split(text: str, end: re.Pattern[str]) -> list[str]:
    """Cut behind every match; the parts put together are the text."""
    ends = [match.end() for match in end.finditer(text)]
    starts = [0, *ends]
    parts = [text[start:stop] for start, stop in zip(starts, [*ends, len(text)], strict=True)]
    return [part for part in parts if part]


def _pack(pieces: Sequence[tuple[str, int]], *, target: int, room: int) -> list[str]:
    """Join neighbouring pieces into chunks of even size, about `target` tokens and never over `room`."""
    total = sum(tokens for _, tokens in pieces)
    even = total / max(1, round(total / target))
    chunks: list[str] = []
    current: list[str] = []
    size, has_text = 0, False
    for piece, tokens in pieces:
        # Ends where it comes nearest to the even size.
        is_full = size + tokens / 2 > even or size + tokens > room
        if has_text and is_full:
            chunks.append("".join(current).strip())
            current, size, has_text = [], 0, False
        current.append(piece)
        size += tokens
        has_text = has_text or not piece.isspace()
    return [*chunks, "".join(current).strip()] if has_text else chunks
