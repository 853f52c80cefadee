"""Cut a text into tokens and runs of tokens, which the gates for repetition and copying compare.

A token is a word, a number or, in scripts that are written without spaces, a character.
"""

import re
from collections.abc import Sequence

from languages.facts import known_language

# Thai; Lao; Myanmar; Khmer; kana; Chinese: the scripts that are written without spaces.
_UNSPACED = r"\u0e01-\u0e4e\u0e81-\u0ecd\u1000-\u103f\u1780-\u17d3\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^\W\d_]{{1,20}}|\d+")


def tokens_of(text: str) -> list[str]:
    """Return words, numbers and, in scripts without spaces, single characters, in order and lower case [T].

    A "word" of more than 20 letters is cut, so that a loop without spaces is a loop too.
    """
    return _TOKEN.findall(text.lower())


def phrase_length(num_words: int, language: str) -> int:
    """Return how many tokens say as much as `num_words` words."""
    return num_words if known_language(language).has_spaces else 2 * num_words


def phrases(tokens: Sequence[str], length: int) -> list[tuple[str, ...]]:
    """Return every run of `length` tokens; none of a shorter text."""
    return list(zip(*(tokens[start:] for start in range(length)), strict=False))
