"""Know which words are frequent in the built-in languages in Latin script and in their neighbours.

A word of a list speaks for its languages, and against a language that does not have it. Words that look the same in two
languages stand in both lists. The lists are in the language files; those of the neighbours, in which the project has no
problems but to which a policy may drift, are in a file of their own.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from languages.facts import builtin_languages
from languages.language import Language

_NEIGHBOURS = Path(__file__).parent / "neighbours" / "words.toml"
_SHARED = Path(__file__).parent / "neighbours" / "shared.toml"


@cache
def own_words(language: Language) -> frozenset[str]:
    """Return the frequent words of a language: those of its file, and of the neighbour of the same code."""
    return language.words | _neighbour_words().get(language.code, frozenset())


@cache
def frequent_words() -> frozenset[str]:
    """Return the frequent words of all built-in languages and neighbours, lower case.

    Words of a user's language are not among them: they speak for it, but not against the other languages.
    """
    lists = [language.words for language in builtin_languages().values()]
    return frozenset().union(*lists, *_neighbour_words().values())


@cache
def telling_words(language: Language) -> frozenset[str]:
    """Return the frequent words of a language that no other language's list has: they alone say that it is this one."""
    builtin = [other.words for other in builtin_languages().values() if other.code != language.code]
    neighbours = [words for code, words in _neighbour_words().items() if code != language.code]
    return own_words(language).difference(*builtin, *neighbours)


@cache
def shared_words(language: Language) -> frozenset[str]:
    """Return words of other languages' lists that are as usual in this one: loan words, and words that look the same.

    They speak neither for the language nor against it.
    """
    return _read(_SHARED).get(language.code, frozenset())


@cache
def _neighbour_words() -> Mapping[str, frozenset[str]]:
    return _read(_NEIGHBOURS)


@cache
def _read(file: Path) -> Mapping[str, frozenset[str]]:
    lists = tomllib.loads(file.read_text(encoding="utf-8"))
    return {code: frozenset(words.split()) for code, words in lists.items()}
