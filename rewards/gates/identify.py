"""Decide whether a text is in the language that was asked for, sentence by sentence and as a whole.

The script of the letters decides where it can. Among languages in Latin script frequent words and lingua decide: a
list of words alone decides nothing against lingua about a sentence that lingua is sure of, unless words of another
language stand in a row. Text that is spelled or written to escape these checks is refused as a disguise.

Candidates are all built-in languages and their relatives, not only those of a run: a policy may drift to any. Digits,
formulas, code, units, names and labels of answers are ignored, and text that is too short to decide passes. Results for
sentences are kept in a bounded cache, as the responses of a group repeat each other's sentences.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from languages.closings import STOPS
from languages.facts import known_language
from languages.frequent_words import frequent_words
from languages.language import Language
from rewards.gates.asides import without_asides
from rewards.gates.disguise import in_plain_letters, is_disguised, is_in_commands, normal
from rewards.gates.formulas import without_formulas
from rewards.gates.japanese import is_chinese, is_like_japanese
from rewards.gates.lingua_judge import OWN_SHARE, LinguaJudge, own_script_words
from rewards.gates.words import UNITS, Word, capital_runs, has_foreign_run, longest_row, read_words
from rewards.texts.scripts import foreign_letters, latin_word, letters_of

MAX_CHARACTERS = 50_000
"""Characters of a text that are read. The length gate shuts for a longer text."""
MAX_SENTENCE = 500
"""Characters that are checked at once: a text without full stops is checked piece by piece."""
CACHE_SENTENCES = 16_384
"""Sentences whose results are kept."""
MAX_FOREIGN_LETTERS, MAX_FOREIGN_LETTERS_LINE = 2, 4
"""Most letters of a third script (neither the asked one nor Latin) in a text, and in a sentence, that need no further
check. A sentence may be a line of two words, of which a slip is one."""
MAX_FOREIGN_LETTER_SHARE, MAX_FOREIGN_TEXT_SHARE = 0.25, 0.04
"""Largest share of such letters in a sentence, and in the whole text with each word counted once: a name in the script
of its origin, a slip of one word."""
FOREIGN_SHARE = 0.2
"""Least share of other languages' words in a sentence that makes it foreign, even if it is one word, where lingua is
not sure and no word is the asked language's."""
MIXED_SHARE = 0.125
"""The same from two such words on where lingua is not sure: half a sentence in another language has that many."""
MIXED_SHARE_SURE = 0.25
"""The same where lingua is sure that the sentence is in the asked language."""
MIN_STRANGE_WORDS = 2
"""Least number of other languages' words, units and capitalised ones included, that make a sentence foreign in which no
word is the asked language's alone and lingua is not sure."""
MIN_TITLE_WORDS = 4
"""Least number of words of a sentence in capitals in which words of another language are no names."""
TEXT_SHARE, MIN_TEXT_WORDS = 0.03, 2
"""The same over a whole text, from MIN_TEXT_WORDS different such words on: it finds single words in every other
sentence. A unit or a gloss counts half."""
MIN_OWN_WORDS, MOSTLY_OWN_SHARE = 2, 0.5
"""Least number of frequent words of the asked language alone that need no further check, and the share of its frequent
words, those of other languages included, with which they don't need OWN_SHARE."""
MOST_OWN_SHARE = 0.5
"""Share of frequent words of the asked language alone, with at most one of another language's, against which lingua
doesn't decide."""
MIN_LETTERS_ALONE = 30
"""Least letters of a sentence without words of another language's list that lingua refuses by itself. A shorter one is
refused where lingua is not sure that the whole text is in the asked language."""
MIN_UNSURE_SHARE = 0.5
"""Least share of a text's words in sentences too short to decide by themselves for which they are judged together."""
LINE_SHARE = 0.1
"""Largest share of other languages' words, units and glosses included, in a whole text: a unit in English may be one
word of a solution, and not of a line."""
MIN_LETTERS = 8
"""Least letters of a sentence in another script whose share of Latin letters is checked."""
MIN_SCRIPT_SHARE = 0.4
"""Least share of the asked script in a sentence's letters, names left out and each other Latin word counted once."""
LATIN_SHARE = 0.1
"""Share of lower-case Latin words in a sentence of another script that makes it foreign; single letters and units are
not counted."""
MAX_LOWER_CASE_WORDS = 3
"""Most lower-case Latin words in a sentence of another script ("miles per hour")."""
MAX_KNOWN_CAPITALS = 3
"""Most frequent words of Latin-script languages in a sentence of another script, with capitals or without."""

_SENTENCE_END = re.compile(rf"\n+|[!?。{STOPS}！？؟]+|\.(?!\d)")
# Models write these in English whatever the language of the text. They say nothing, so they hide nothing.
_LABEL = re.compile(
    r"(?im)^[ \t*_#>:\-]{0,12}(?:the )?(?:final )?(?:answer|solution|step \d{1,2})[ *_]*(?:[:：][ *_]*|$)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sentence:
    """Hold what one sentence tells about its language."""

    is_foreign: bool
    is_sure: bool = True  # False: too little to decide by itself
    is_doubtful: bool = False  # foreign unless lingua is sure of the whole text
    words: tuple[str, ...] = ()
    unsure_words: tuple[str, ...] = ()  # judged again together with those of the other sentences
    num_words: float = 0  # estimated where words have no spaces between them
    foreign_words: frozenset[str] = frozenset()
    weak_words: frozenset[str] = frozenset()  # units and glosses
    capitals: frozenset[str] = frozenset()  # other languages' words with capitals


_FOREIGN = _Sentence(is_foreign=True)


class LanguageIdentifier:
    """Decide whether texts are in one of the languages that it was built for."""

    def __init__(self, languages: Sequence[str]) -> None:
        """Load what is needed for `languages` (ISO 639-1).

        Raises:
            ValueError: a language is unknown.
        """
        self._asked = {code: known_language(code) for code in languages}
        self._judges = {code: LinguaJudge(language) for code, language in self._asked.items()}
        self._check_cached = lru_cache(maxsize=CACHE_SENTENCES)(self._check)

    def is_in(self, text: str, language: str) -> bool:
        """Return False where some sentence, or the text as a whole, is clearly in another language.

        Raises:
            ValueError: the identifier was not built for `language`.
        """
        if language not in self._asked:
            raise ValueError(
                f"the identifier was built for {', '.join(self._asked)}, not for {language!r}; add it to the languages"
            )
        facts = self._asked[language]
        plain = _LABEL.sub("\n", without_formulas(normal(text[:MAX_CHARACTERS])[:MAX_CHARACTERS]))
        if (
            is_in_commands(text[:MAX_CHARACTERS])
            or is_disguised(plain, facts)
            or (facts.has_kana and not is_like_japanese(plain))
        ):
            return False
        plain = without_asides(plain, facts)
        if _has_foreign_letters(plain, facts, MAX_FOREIGN_LETTERS, MAX_FOREIGN_TEXT_SHARE):
            return False
        plain = in_plain_letters(plain, facts)
        sentences = [piece for part in _SENTENCE_END.split(plain) for piece in _pieces(part.strip())]
        checked: list[_Sentence] = []
        for sentence in sentences:
            checked.append(self._check_cached(sentence, language))
            if checked[-1].is_foreign:
                return False
        if _is_sprinkled(checked):
            return False
        if any(sentence.is_doubtful for sentence in checked):
            words = [word for sentence in checked for word in sentence.words]
            if not self._judges[language].judge(words):
                return False
        unsure = _unsure_words(checked)
        if not facts.is_latin and _is_mostly_other_script(plain, facts):
            return False
        return not unsure or self._judges[language].judge(unsure) is not False

    def _check(self, sentence: str, code: str) -> _Sentence:
        language = self._asked[code]
        if _has_foreign_letters(sentence, language, MAX_FOREIGN_LETTERS_LINE, MAX_FOREIGN_LETTER_SHARE):
            return _FOREIGN
        words = read_words(sentence, language)
        if language.is_latin:
            return self._check_by_words(words, code)
        return self._check_by_script(sentence, words, language)

    def _check_by_words(self, words: Sequence[Word], code: str) -> _Sentence:
        """Check a sentence among languages in Latin script, by frequent words and lingua."""
        counted = [word for word in words if not word.is_name]
        strange = [word for word in counted if word.is_strange]
        strong = [word for word in strange if not word.is_weak]
        num_own = sum(word.is_own for word in counted)
        num_telling = sum(word.is_telling for word in counted)
        if has_foreign_run(words) or any(self._judge(row, code) is False for row in capital_runs(words)):
            return _FOREIGN
        is_mostly_own = num_own >= MOSTLY_OWN_SHARE * len(counted) or num_telling >= OWN_SHARE * len(counted)
        is_own = not strong and num_telling >= MIN_OWN_WORDS and is_mostly_own
        by_lingua = True if is_own else self._judge(words, code)
        if by_lingua is False and len(counted) < len(words):
            by_lingua = self._judge(counted, code)
        if by_lingua is False and len(strong) < 2 and num_telling >= MOST_OWN_SHARE * len(counted):
            by_lingua = None
        is_doubtful = by_lingua is False and _needs_context(counted, num_own=num_own, num_strong=len(strong))
        if by_lingua is False and not is_doubtful:
            return _FOREIGN
        if _is_mixed(len(strong), len(counted), is_sure=bool(by_lingua), has_own=num_telling > 0):
            return _FOREIGN
        num_strange = len({word.text.lower() for word in words if word.is_strange})
        is_checked = strong or _is_title(words)
        if is_checked and not by_lingua and num_telling == 0 and num_strange >= MIN_STRANGE_WORDS:
            return _FOREIGN
        return _Sentence(
            is_foreign=False,
            is_doubtful=is_doubtful,
            capitals=frozenset(word.text.lower() for word in words if word.is_strange and word.is_name),
            words=tuple(word.text for word in words),
            is_sure=bool(by_lingua),
            unsure_words=() if by_lingua else tuple(word.text.lower() for word in words),
            num_words=len(counted),
            foreign_words=frozenset(word.text.lower() for word in strong),
            weak_words=frozenset(word.text.lower() for word in strange if word.is_weak),
        )

    def _judge(self, words: Sequence[Word], code: str) -> bool | None:
        return self._judges[code].judge(word.text for word in words)

    def _check_by_script(self, sentence: str, words: Sequence[Word], language: Language) -> _Sentence:
        """Check a sentence in another script: its Latin words, and whether lingua takes it for a relative."""
        num_own = len(letters_of(language.scripts).findall(sentence))
        lower_case = [word for word in words if word.text.islower() and len(word.text) > 1 and word.text not in UNITS]
        strong = {word.text for word in lower_case if not word.is_weak}
        known = {word.text for word in lower_case if word.is_strange and not word.is_weak}
        num_words = num_own / language.letters_per_word + len(words)
        is_foreign = (
            len(strong) > MAX_LOWER_CASE_WORDS
            or longest_row(lower_case) > MAX_LOWER_CASE_WORDS
            or (len(strong) >= LATIN_SHARE * num_words and (len(known) > 0 or len(strong) > 1))
            or _is_mostly_latin(words, num_own)
            or (language.has_kana and is_chinese(sentence))
        )
        own = own_script_words(language.scripts).findall(sentence)
        by_lingua = None if is_foreign else self._judges[language.code].judge(own)
        return _Sentence(
            is_foreign=is_foreign or by_lingua is False,
            is_sure=bool(by_lingua),
            unsure_words=() if by_lingua else tuple(own),
            num_words=num_words,
            foreign_words=frozenset(known),
            weak_words=frozenset(word.text for word in lower_case if word.is_weak),
        )


def _pieces(sentence: str) -> list[str]:
    """Cut a sentence into pieces of MAX_SENTENCE characters, which bounds the cache; an empty one has none."""
    return [sentence[start : start + MAX_SENTENCE] for start in range(0, len(sentence), MAX_SENTENCE)]


def _needs_context(words: Sequence[Word], *, num_own: int, num_strong: int) -> bool:
    """Return whether a sentence that lingua refuses is too short for that, or has many words of its language."""
    num_letters = sum(map(len, {word.text.lower() for word in words}))
    if num_strong == 0 and num_letters < MIN_LETTERS_ALONE:
        return True
    return num_strong < 2 and num_own >= MOST_OWN_SHARE * len(words)


def _is_title(words: Sequence[Word]) -> bool:
    """Return whether all words of a sentence have capitals: more than names have."""
    return len(words) >= MIN_TITLE_WORDS and not any(word.text.islower() for word in words)


def _unsure_words(sentences: Sequence[_Sentence]) -> list[str]:
    """Return the distinct words of the unsure sentences, if these are enough of the text to decide about it.

    Names are among them only where no sentence is sure: they must not decide about a text that has other words.
    """
    unsure = list(dict.fromkeys(word for sentence in sentences for word in sentence.unsure_words))
    num_words = sum(sentence.num_words for sentence in sentences)
    return unsure if len(unsure) >= MIN_UNSURE_SHARE * num_words else []


def _is_mostly_other_script(text: str, language: Language) -> bool:
    """Return whether a text has too few letters of its script, each Latin word counted once."""
    num_own = language.letter_weight * len(letters_of(language.scripts).findall(text))
    num_latin = sum(map(len, {word.lower() for word in latin_word().findall(text)}))
    return num_own + num_latin >= MIN_LETTERS and num_own < MIN_SCRIPT_SHARE * (num_own + num_latin)


def _has_foreign_letters(text: str, language: Language, most: int, max_share: float) -> bool:
    """Return whether a text has more than `most` letters of a third script, and a larger share; each word counts once.

    The share is of the language's own letters.
    """
    pattern = foreign_letters(language.scripts)
    if len(pattern.findall(text)) <= most:
        return False
    num_foreign = sum(map(len, set(_runs_of(pattern).findall(text))))
    num_own = language.letter_weight * len(letters_of(language.scripts).findall(text))
    return num_foreign > most and num_foreign > max_share * num_own


@lru_cache
def _runs_of(letter: re.Pattern[str]) -> re.Pattern[str]:
    return re.compile(f"(?:{letter.pattern})+")


def _is_mixed(num_foreign: int, num_words: int, *, is_sure: bool, has_own: bool) -> bool:
    """Return whether a sentence has one foreign word among few words, or several among many."""
    if num_foreign < 2:
        return num_foreign == 1 and not is_sure and not has_own and num_foreign >= FOREIGN_SHARE * num_words
    return num_foreign >= (MIXED_SHARE_SURE if is_sure else MIXED_SHARE) * num_words


def _is_mostly_latin(words: Sequence[Word], num_own: int) -> bool:
    """Return whether a sentence has more Latin letters than belong there, or many words with capitals in a row."""
    distinct = {word.text.lower() for word in words if word.text.islower() or word.is_strange}
    num_latin = sum(map(len, distinct))
    if num_latin + num_own >= MIN_LETTERS and num_own < MIN_SCRIPT_SHARE * (num_latin + num_own):
        return True
    known = {word.text.lower() for word in words if word.is_strange} - UNITS
    return len(known) > MAX_KNOWN_CAPITALS or bool(capital_runs(words))


def _is_sprinkled(sentences: Sequence[_Sentence]) -> bool:
    """Return whether single words of other languages are spread over a whole text."""
    strong = frozenset[str]().union(*(sentence.foreign_words for sentence in sentences))
    weak = frozenset[str]().union(*(sentence.weak_words for sentence in sentences)) - strong
    num_words = sum(part.num_words for part in sentences)
    capitals = frozenset[str]().union(*(sentence.capitals for sentence in sentences))
    if len(capitals) > MAX_KNOWN_CAPITALS and len(capitals) > num_words:
        return True
    num_foreign = len(strong) + len(weak) / 2
    if len((strong | weak) & frequent_words()) > LINE_SHARE * num_words:
        return True
    return num_foreign >= MIN_TEXT_WORDS and num_foreign >= TEXT_SHARE * num_words
