"""Take the asides in another language out of a text: a quotation of the question, or a gloss of a term.

"Il y a quatre écoles (kuna shule nne)" is French. An aside stands in quotation marks or parentheses. It is taken out
only where asides in other languages are few, short, and a small part of the text: otherwise a text in another language
would only have to put its sentences into quotation marks.
"""

import re

from languages.language import Language
from rewards.gates.words import read_words
from rewards.texts.phrases import tokens_of
from rewards.texts.scripts import foreign_letters, letters_of, num_letters

MAX_ASIDE_WORDS = 8
"""Most words of an aside in another language, or characters of Chinese: part of a question, and no solution."""
MAX_ASIDES = 2
"""Most different asides in other languages. A text that has more keeps all of them."""
MAX_ASIDE_SHARE = 0.15
"""Largest share of a text's letters in such asides, each counted once."""

_INSIDE = r"[^\n\"“”«»「」『』()（）]{2,160}"
_ASIDE = re.compile(rf"“{_INSIDE}”|«{_INSIDE}»|「{_INSIDE}」|『{_INSIDE}』|\"{_INSIDE}\"|[(（]{_INSIDE}[)）]")


def without_asides(text: str, language: Language) -> str:
    """Return the text without its asides in other languages, if they are few, short and a small part of it."""
    foreign = {aside for aside in set(_ASIDE.findall(text)) if _is_foreign(aside, language)}
    if not 0 < len(foreign) <= MAX_ASIDES:
        return text
    num_words = max(sum(not token.isdecimal() for token in tokens_of(aside)) for aside in foreign)
    if num_words > MAX_ASIDE_WORDS or sum(map(num_letters, foreign)) > MAX_ASIDE_SHARE * num_letters(text):
        return text
    return _ASIDE.sub(lambda aside: " " if aside[0] in foreign else aside[0], text)


def _is_foreign(aside: str, language: Language) -> bool:
    """Return whether an aside has a word that is frequent in another language, or is in letters of another script."""
    if foreign_letters(language.scripts).search(aside):
        return True
    words = read_words(aside, language)
    if language.is_latin:
        return any(word.is_strange and not word.is_name for word in words)
    return len(words) > 1 and not letters_of(language.scripts).search(aside)
