"""Refuse a response that repeats itself.

Four kinds of repetition are found: sentences that come again word for word, phrases that come again, loops that only
count up, and runs of one character. Faithful solutions repeat phrases with other numbers in them ("after people get on,
there are 21 + 4 = 25"). So numbers are part of a phrase, except for loops that hardly say anything else.
"""

import re
from collections import Counter

from languages.closings import STOPS
from rewards.gates.identify import MAX_CHARACTERS
from rewards.reading import Reading
from rewards.texts.phrases import phrase_length, phrases, tokens_of
from rewards.texts.scripts import num_letters

PHRASE_WORDS = 6
"""Words of a phrase; twice as many characters where words have no spaces between them."""
MAX_REPEATED_PHRASES = 0.45
"""Largest share of phrases that came before in the text. Measured: at most 0.29 in 400 built-in solutions of each of 12
languages, MGSM's exemplars and its questions."""
MAX_REPEATED_SHAPES = 0.75
"""Largest share of such phrases with the numbers left out. Measured: at most 0.44; a loop that counts up reaches the
limit after a few turns."""
MAX_SAME_SENTENCES = 2
"""Most times that a sentence may come, word for word."""
MAX_REPEATED_LETTERS = 1 / 3
"""Largest share of a text's letters in sentences that came before. A text that is said twice has a half."""
MIN_SENTENCE_LETTERS = 4
"""Least letters of a sentence that may not come again too often; "So" or a bare formula may."""

_SENTENCE_END = re.compile(rf"\n+|[!?。{STOPS}！？؟]+|\.(?!\d)")
_RUN = re.compile(r"(\S)\1{29}")


class RepetitionGate:
    """Shut where a response repeats characters, sentences or phrases."""

    name = "repetition"

    def is_open(self, reading: Reading) -> bool:
        """Return whether the start of the response, up to MAX_CHARACTERS, does not repeat itself too much."""
        text = reading.text[:MAX_CHARACTERS]
        return not (_RUN.search(text) or repeats_sentences(text) or repeats_phrases(text, reading.task.language))


def repeats_sentences(text: str) -> bool:
    """Return whether one sentence comes too often, or too large a share of the letters came before."""
    sentences = [" ".join(part.split()) for part in _SENTENCE_END.split(text.lower())]
    counts = Counter(part for part in sentences if part)
    letters = {part: num_letters(part) for part in counts}
    again = {part: count for part, count in counts.items() if count > 1 and letters[part] >= MIN_SENTENCE_LETTERS}
    # "That makes:" may lead to one equation after another.
    if any(count > MAX_SAME_SENTENCES and not part.endswith((":", "：")) for part, count in again.items()):
        return True
    num_all = sum(count * letters[part] for part, count in counts.items())
    num_again = sum((count - 1) * letters[part] for part, count in again.items())
    return num_again > MAX_REPEATED_LETTERS * num_all


def repeats_phrases(text: str, language: str) -> bool:
    """Return whether too many of a text's phrases came before, with their numbers or without."""
    tokens = tokens_of(text)
    length = phrase_length(PHRASE_WORDS, language)
    if _repeats(tokens, length, limit=MAX_REPEATED_PHRASES):
        return True
    return _repeats([token for token in tokens if not token.isdecimal()], length, limit=MAX_REPEATED_SHAPES)


def _repeats(tokens: list[str], length: int, *, limit: float) -> bool:
    """Return whether a larger share than `limit` of the phrases of `length` tokens came before."""
    num_phrases = len(tokens) - length + 1
    most_new = (1 - limit) * num_phrases
    # A token that comes for the first time begins a new phrase, unless the text ends within that phrase.
    if num_phrases <= 0 or len(set(tokens)) - length + 1 >= most_new:
        return False
    return len(set(phrases(tokens, length))) < most_new
