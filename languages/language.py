"""Define what the project knows about one language: its prompts, closing phrases, numbers, script and frequent words.

Every key of a language file is a field of `Language`; docs/languages.md explains them to a user.
"""

import re
import unicodedata
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator

from languages.closings import check_pattern, check_words, closing_patterns

Script = Literal[
    # recommended scripts: Unicode Standard Annex 31, table 5
    "Arabic",
    "Armenian",
    "Bengali",
    "Bopomofo",
    "Cyrillic",
    "Devanagari",
    "Ethiopic",
    "Georgian",
    "Greek",
    "Gujarati",
    "Gurmukhi",
    "Han",
    "Hangul",
    "Hebrew",
    "Hiragana",
    "Kannada",
    "Katakana",
    "Khmer",
    "Lao",
    "Latin",
    "Malayalam",
    "Myanmar",
    "Oriya",
    "Sinhala",
    "Tamil",
    "Telugu",
    "Thaana",
    "Thai",
    "Tibetan",
    # scripts of limited use that have a modern literature: the same annex, table 7
    "Adlam",
    "Canadian_Aboriginal",
    "Cherokee",
    "Javanese",
    "Mongolian",
    "Nko",
    "Ol_Chiki",
    "Syriac",
    "Tifinagh",
    "Yi",
]

Text = Annotated[str, StringConstraints(min_length=1, pattern=r"\S")]
Words = tuple[Text, ...]
Phrases = tuple[Annotated[str, AfterValidator(check_words)], ...]
Patterns = tuple[Annotated[str, AfterValidator(check_pattern)], ...]


class Language(BaseModel):
    """Hold one language. Two objects are the same language only if they are the same object."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str = Field(pattern=r"^[a-z]{2,3}$")
    """ISO 639-1 code, or ISO 639-3 where there is none."""
    name: Text
    """Name in English."""
    flores: str = ""
    """FLORES-200 code, by which translators of the NLLB family know the language. Empty: it has none."""

    scripts: tuple[Script, ...] = Field(min_length=1)
    """Unicode names of the scripts in which the language is written."""
    alphabet: str | None = None
    """Letters that the language uses beside A to Z (Latin) or of all that its script has (others); а-я is a range.
    Letters of the script outside it are strange. Without the key no letter of the language's own script is strange."""
    has_spaces: bool = True
    """Whether spaces separate words."""
    marks_sentence_ends: bool = True
    """Whether sentences end with a mark, such as a full stop."""
    letter_weight: float = Field(default=1.0, gt=0)
    """Letters of English that say what one letter of the language says, vowel signs counted."""
    characters_per_english: float = Field(default=1.0, gt=0)
    """Characters of the language that say what one character of English says."""
    letters_per_word: float = Field(default=5, gt=0)
    """Letters of a word on average, vowel signs counted."""
    function_words: str = ""
    """Frequent words, lower case, separated by white space."""
    words_are_foreign_elsewhere: bool = False
    """Whether a frequent word of this language speaks against every other language. Of built-in languages only."""

    question_prefix: Text
    """Text before a question in a prompt, such as "Question:"."""
    instruction: Text
    """Asks for reasoning step by step in the language and for the closing phrase at the end."""
    closing: Text
    """The sentence that declares the final answer; {answer} stands for the answer."""
    or_word: Text = "/"
    """Word between two alternatives, such as "or"."""
    solution_label: str = ""
    """Text before a worked solution in MGSM's exemplars; it is cut when they are read."""

    closing_phrases: Phrases = ()
    """Words that declare a final answer wherever they stand; the answer follows."""
    closing_patterns: Patterns = ()
    """The same as regular expressions with placeholders, for what words alone can't say."""
    closing_labels: Phrases = ()
    """Words that declare it at the start of a line or sentence with a colon behind them."""
    closing_headings: Phrases = ()
    """Words that declare it as a line of their own above a line with nothing but the answer."""
    closing_results: Phrases = ()
    """Words at the start of a line that also open intermediate results: they declare it where it ends the text."""
    option_words: Words = ()
    """Words for an option of a multiple choice, such as "option" in "the answer is option B"."""

    decimal_mark: Literal[".", ","] = "."
    """The mark before the decimals; the other one groups thousands."""
    percents: Words = ()
    """Words for "%" behind a number, lower case."""
    percents_before: Words = ()
    """The same before the number."""
    tenths: Words = ()
    """Words for tenths behind a number, lower case: with 割, 3割 is 30%."""
    scales: Mapping[str, Words] = {}
    """Words that multiply the number before them, by their value, lower case."""
    scales_before: Mapping[str, Words] = {}
    """Words that multiply the number behind them, by their value, lower case."""
    groups: Mapping[str, Words] = {}
    """Words behind a number for so many things, by their number, lower case: "2 dozen" is 24, and 2 where a question
    asks for dozens."""
    halves: Words = ()
    """Words behind a number that add a half ("and a half"), lower case."""
    halves_before: Words = ()
    """The same before the number."""
    minus_words: Words = ()
    """Words for a minus before a number, lower case."""
    abbreviations: Words = ()
    """Abbreviations that end with a full stop and may stand before a number, without the stop, lower case."""
    hedges: Words = ()
    """Words right before a number that make it no answer ("not", "at least", "between"), lower case."""
    hedges_behind: Words = ()
    """The same behind the number, perhaps with a unit between."""
    range_words: Words = ()
    """Words between two numbers of which either may be meant ("to"), lower case; `or_word` is one of them."""
    number_words: Mapping[str, Words] = {}
    """Small numbers as they are spelled out, by their value, lower case."""

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    @field_validator("scales", "scales_before", "groups", "number_words")
    @classmethod
    def _numbers(cls, words: Mapping[str, Words]) -> Mapping[str, Words]:
        for value in words:
            if not (value.isascii() and value.isdecimal() and int(value) > 0):
                raise ValueError(f"{value!r} is no whole number above 0; write number = [words], such as 1000 = [...]")
        return words

    @field_validator("closing")
    @classmethod
    def _declares(cls, closing: str) -> str:
        if (
            closing.count("{answer}") != 1
            or "{" in closing.replace("{answer}", "")
            or "}" in closing.replace("{answer}", "")
        ):
            raise ValueError(f"{closing!r} must have {{answer}} once, and no other braces")
        if not closing.partition("{answer}")[0].strip():
            raise ValueError(f"{closing!r} must have words before {{answer}}: they declare it")
        return closing

    @property
    def is_latin(self) -> bool:
        """Return whether the language is written in Latin letters."""
        return "Latin" in self.scripts

    @property
    def has_han(self) -> bool:
        """Return whether Chinese characters, and so Chinese numerals, are part of the language."""
        return "Han" in self.scripts

    @property
    def has_kana(self) -> bool:
        """Return whether the language is written with kana beside Chinese characters, as Japanese is."""
        return "Hiragana" in self.scripts

    @cached_property
    def closing_suffix(self) -> str:
        """Return the letters of the closing that are written on to the answer (입니다); "" where none are."""
        letters = re.match(r"[^\W\d_]*", self.closing.partition("{answer}")[2])
        return letters[0] if letters else ""

    @cached_property
    def words(self) -> frozenset[str]:
        """Return the frequent words."""
        return frozenset(map(_plain, self.function_words.split()))

    @cached_property
    def scale_values(self) -> Mapping[str, int]:
        """Return the factor of each word of `scales`."""
        return _by_word(self.scales)

    @cached_property
    def scale_values_before(self) -> Mapping[str, int]:
        """Word to the factor of `scales_before`."""
        return _by_word(self.scales_before)

    @cached_property
    def group_sizes(self) -> Mapping[str, int]:
        """Return the size of each word of `groups`."""
        return _by_word(self.groups)

    @cached_property
    def small_numbers(self) -> Mapping[str, int]:
        """Word to the number of `number_words`."""
        return _by_word(self.number_words)

    @cached_property
    def declarations(self) -> tuple[str, ...]:
        """Regular expressions that declare a final answer; it follows. Matched without regard to case."""
        return tuple(
            closing_patterns(
                phrases=self.closing_phrases,
                patterns=self.closing_patterns,
                labels=self.closing_labels,
                headings=self.closing_headings,
                results=self.closing_results,
                has_spaces=self.has_spaces,
            )
        )


def _by_word(words_by_value: Mapping[str, Words]) -> Mapping[str, int]:
    return {_plain(word): int(value) for value, words in words_by_value.items() for word in words}


def _plain(word: str) -> str:
    """Return a word as it is looked up: lower case, every accent composed (NFC)."""
    return unicodedata.normalize("NFC", word).lower()
