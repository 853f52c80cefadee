"""Hold the words of the built-in problems: one file a language.

To add a language, write `<code>.py` beside this file; the language must have a language file too. The file
defines `TEXT = LanguageText(...)` (see `wording`), and says what `en.py` says, sentence by sentence, as a native
speaker would write it in a school book:

    language       ISO 639-1 code
    question_mark  what every question ends with ("?", "？", "؟"), "" where the language writes none
    girls, boys    the names of `en.py` in the same order, in the language's own spelling and script
    sentences      for every template of `en.py`: the question, then one sentence per arithmetic step; a sentence
                   that takes several lines stands in its own parentheses

Placeholders:

    {a} {b} {c} {d} {e}   the numbers of the question. The question shows each number of `en.py` once, in any order.
    {eq}                  the equation of a step, such as "12 + 3 = 15". Each step shows it once and shows no other
                          number. The sentence goes on after the result: "Maria now has 12 + 3 = 15 apples."
    {p} {q}               names: p is always a girl, q always a boy, so pronouns, verbs and participles can agree.
                          The question names each at least once, in any form; elsewhere a name may be repeated, left
                          out or replaced by a pronoun, whatever reads best.
    {a:x|y|z} {eq:x|y|z}  only a word, in the form that goes with the number (for {eq}: with its result): x, y or z
                          by the language's `plural`, for instance "{a} {a:книга|книги|книг}".
    {p:gen}               a form of the name: the language's `cases` name the forms ("nom", "gen", ...), and each
                          name then lists them, parted by "|"; {p} is the first. For suffixes that differ by name.

Every number of an item, results too, is from 3 to 999 and doesn't end in 01 or 02: no singular "1", no dual "2". Most
languages then need one plural form and no `plural`. A language that needs more gives `plural`, a function from
the number to the index of its form, e.g. Russian 21 -> 0, 3, 4, 23 -> 1, 5 to 20, 25, 100 -> 2; Arabic 3 to 10, 103 ->
0, 11 to 99 -> 1, 100, 200 -> 2. A form can't contain "{", "}" or "|".

Digits and operators (+ - × ÷ =) are the same ASCII or × ÷ characters everywhere and come only from placeholders: write
no digit in a sentence, and no numeral in words for a number of the problem. Sentences end with the language's
own full stop. Put a blank between a number and its unit where the language writes one; never two in a row. Prices
are in euros in every language. Never leave a sentence in English.

`tests/unit/driver/problems/test_builtin_problems.py` runs over every language in `TEXTS`.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from driver.problems.builtin.texts.wording import LanguageText
from languages.facts import builtin_languages

_FIRST = ("en", "de", "fr", "es", "ru", "zh", "ja", "th", "sw", "bn", "te", "ar")


def _text(code: str) -> LanguageText:
    text = import_module(f"{__name__}.{code}").TEXT
    assert isinstance(text, LanguageText), f"TEXT of {code} is not a LanguageText"
    return text


_FOUND = sorted({file.stem for file in Path(__file__).parent.glob("*.py")} & builtin_languages().keys())

TEXTS: Mapping[str, LanguageText] = {code: _text(code) for code in dict.fromkeys((*_FIRST, *_FOUND))}
"""The words of every language that has built-in problems, by its code, in the order in which languages are listed
everywhere.

Languages that `_FIRST` does not name follow by code.
"""
