"""Know which words are frequent in the languages in Latin script and in their neighbours.

A word of a list speaks for its languages. Those of some built-in languages, and of the neighbours, also speak against
a language that does not have them: a policy may drift to these, and their lists were checked against the others.
Words that look the same in two languages stand in both lists. The lists are in the language files; those of the
neighbours are in a file of their own.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from languages.facts import builtin_languages
from languages.language import Language

_NEIGHBOURS = Path(__file__).parent / "neighbours" / "words.toml"
_SHARED = Path(__file__).parent / "neighbours" / "shared.toml"
_ALIKE = Path(__file__).parent / "neighbours" / "alike.toml"


@cache
def own_words(language: Language) -> frozenset[str]:
    """Return the frequent words of a language: those of its file, and of the neighbour of the same code."""
    return language.words | _neighbour_words().get(language.code, frozenset())


@cache
def frequent_words() -> frozenset[str]:
    """Return the frequent words that speak against a language that does not have them, lower case.

    Words of a user's language are not among them: they speak for it, but not against the other languages.
    """
    return frozenset[str]().union(*_contrasting().values())


@cache
def telling_words(language: Language) -> frozenset[str]:
    """Return the frequent words of a language that speak against the others and are in no other such list.

    They alone say that it is this one.
    """
    others = [words for code, words in _contrasting().items() if code != language.code]
    return own_words(language).difference(*others)


@cache
def shared_words(language: Language) -> frozenset[str]:
    """Return words of other languages' lists that are as usual in this one: loan words, and words that look the same.

    They speak neither for the language nor against it.
    """
    return frozenset[str]().union(*(_read(file).get(language.code, ()) for file in (_SHARED, _ALIKE)))


@cache
def _contrasting() -> Mapping[str, frozenset[str]]:
    """Return the words that speak against other languages, by the code of their language."""
    builtin = {code: known.words for code, known in builtin_languages().items() if known.words_are_foreign_elsewhere}
    return {
        code: builtin.get(code, frozenset()) | _neighbour_words().get(code, frozenset())
        for code in builtin.keys() | _neighbour_words().keys()
    }


@cache
def _neighbour_words() -> Mapping[str, frozenset[str]]:
    return _read(_NEIGHBOURS)


@cache
def _read(file: Path) -> Mapping[str, frozenset[str]]:
    lists = tomllib.loads(file.read_text(encoding="utf-8"))
    return {code: frozenset(words.split()) for code, words in lists.items()}
