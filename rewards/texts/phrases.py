"""A text as tokens and runs of tokens: what the gates for repetition and copying compare.

Owns the cutting: a word, a number, or, where words are not parted by spaces, a character. Knows characters only.
"""

import re
from collections.abc import Sequence

from languages.facts import known_language

# Thai; Lao; Myanmar; Khmer; kana; Chinese: the scripts that are written without spaces.
_UNSPACED = r"\u0e01-\u0e4e\u0e81-\u0ecd\u1000-\u103f\u1780-\u17d3\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\W\d_]{{1,20}}|\d+")


def tokens_of(text: str) -> list[str]:
    """Words, numbers and, in Chinese, Japanese and Thai, single characters, in order and lower case.

    A "word" of more than 20 letters is cut, so that a loop without spaces is a loop too.
    """
    return _TOKEN.findall(text.lower())


def phrase_length(num_words: int, language: str) -> int:
    """How many tokens say as much as so many words."""
    return num_words if known_language(language).has_spaces else 2 * num_words


def phrases(tokens: Sequence[str], length: int) -> list[tuple[str, ...]]:
    """Every run of `length` tokens; none of a shorter text."""
    return list(zip(*(tokens[start:] for start in range(length)), strict=False))
