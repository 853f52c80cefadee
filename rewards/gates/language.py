"""Is a response in the language that was asked for? Reasoning and answer, sentence by sentence and as a whole.

Owns the gate that keeps the policy from collapsing to English. Three judges, any of which can shut it: the script of
the letters, lingua over sentences and the whole text, and English function words inside a sentence of another
Latin-script language (lingua hears "il remain 9" as French). Knows text only.

All languages of rewards/languages.py are candidates, not only those of a run: a policy may drift to any of them.
Digits, operators and LaTeX commands are never judged; text too short to judge passes.
"""

import re
from collections.abc import Sequence

from lingua import IsoCode639_1, LanguageDetectorBuilder
from lingua import Language as LinguaLanguage

from rewards.answers import DeclaredAnswer, known_language
from rewards.languages import LANGUAGES, Language, Script
from rewards.numbers import fold

MIN_LETTERS = 12
"""Shortest sentence, in letters, that is judged by itself (Latin, Cyrillic, Arabic)."""
MIN_LETTERS_DENSE = 8
"""The same for scripts whose letters carry more (Han, Japanese, Thai, Bengali, Telugu)."""
MIN_CONFIDENCE = 0.6
"""What lingua must give another language to shut the gate; below it the sentence is undecided."""
MIN_SCRIPT_SHARE_SENTENCE = 0.4
MIN_SCRIPT_SHARE = 0.75
"""Least share of the asked script among the letters: the rest is room for names, units and LaTeX."""
MAX_FOREIGN_RUN = 3
"""Most lower-case words in a row of another script ("miles per hour")."""
ENGLISH_SHARE = 0.2
"""Share of English function words among a sentence's words that shuts the gate."""

_SCRIPT_RANGES: dict[Script, str] = {
    "latin": r"A-Za-z\u00aa\u00ba\u00c0-\u024f\u1e00-\u1eff",
    "cyrillic": r"\u0400-\u052f",
    "han": r"\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af",
    "japanese": r"\u3005\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff",
    "thai": r"\u0e00-\u0e7f",
    "bengali": r"\u0980-\u09ff",
    "telugu": r"\u0c00-\u0c7f",
    "arabic": r"\u0600-\u06ff\u0750-\u077f\ufb50-\ufdff\ufe70-\ufeff",
}
_OWN_LETTERS = {script: re.compile(f"[{ranges}]+") for script, ranges in _SCRIPT_RANGES.items()}
_FOREIGN_WORD = {script: re.compile(rf"[^\W\d_{ranges}]+") for script, ranges in _SCRIPT_RANGES.items()}
_DENSE: frozenset[Script] = frozenset({"han", "japanese", "thai", "bengali", "telugu"})

_SENTENCE_END = re.compile(r"\n+|[!?。।]+|\.(?!\d)")
_LATEX_COMMAND = re.compile(r"\\[A-Za-z]+")
_NOT_WORDS = re.compile(r"[\d_+\-*/×÷=<>≈$€£¥%^(){}\[\]|\\#~`]+")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")

# English function words, and which of them are also words of another Latin-script language.
_ENGLISH = (
    "after an and answer are as at be because been before bought buys by could did does each finally first for "
    "from gave gets gives goes had has have he how in is it its left makes many more much needs next now of old "
    "on other our remain remaining remains sells she should so sold some step than that the their then therefore "
    "these they this those to was we were what when where which who will with would you your "
)
_ALSO_THEIRS = {"de": "an in so was will", "es": "as has he", "fr": "an as on", "sw": ""}
_ENGLISH_WORDS = {
    code: frozenset(_ENGLISH.split()) - frozenset(theirs.split()) for code, theirs in _ALSO_THEIRS.items()
}


class LanguageGate:
    """Judges text against the language that was asked for, one of `languages`."""

    def __init__(self, languages: Sequence[str]) -> None:
        self._asked = {code: known_language(code) for code in languages}
        self._lingua = {code: _lingua_language(code) for code in LANGUAGES}
        self._detector = LanguageDetectorBuilder.from_languages(*self._lingua.values()).build()

    def is_open(self, text: str, language: str, declared: Sequence[DeclaredAnswer]) -> bool:
        """True where text and closing phrases are in the language; a box or `####` has none and passes."""
        return all(answer.language in (None, language) for answer in declared) and self.is_in(text, language)

    def is_in(self, text: str, language: str) -> bool:
        """True unless some sentence, or the whole, is clearly in another language."""
        if language not in self._asked:
            raise ValueError(
                f"this gate judges {', '.join(self._asked)}, not {language!r}; name it when building the gate"
            )
        facts = self._asked[language]
        folded = _LATEX_COMMAND.sub(" ", fold(text))
        sentences = [_NOT_WORDS.sub(" ", sentence).strip() for sentence in _SENTENCE_END.split(folded)]
        if any(self._is_foreign(sentence, facts, MIN_SCRIPT_SHARE_SENTENCE) for sentence in sentences):
            return False
        return not self._is_foreign("\n".join(sentences), facts, MIN_SCRIPT_SHARE)

    def _is_foreign(self, text: str, language: Language, min_script_share: float) -> bool:
        if _has_english_words(text, language):
            return True
        num_letters = sum(character.isalpha() for character in text)
        if num_letters < (MIN_LETTERS_DENSE if language.script in _DENSE else MIN_LETTERS):
            return False
        own = _FOREIGN_WORD[language.script].sub(" ", text)
        num_own = sum(character.isalpha() for character in own)
        if num_own < min_script_share * (num_own + _num_foreign_letters(text, language.script)):
            return True
        if language.script != "latin" and _has_foreign_stretch(text, language.script):
            return True
        if not own.strip():
            return False
        top = self._detector.compute_language_confidence_values(own)[0]
        return top.language != self._lingua[language.code] and top.value >= MIN_CONFIDENCE


def _lingua_language(code: str) -> LinguaLanguage:
    return LinguaLanguage.from_iso_code_639_1(IsoCode639_1.from_str(code.upper()))


def _num_foreign_letters(text: str, script: Script) -> int:
    """Letters of other scripts, each word once: a name that every sentence repeats is still one name."""
    return sum(map(len, {word.lower() for word in _FOREIGN_WORD[script].findall(text)}))


def _has_foreign_stretch(text: str, script: Script) -> bool:
    """A run of lower-case words of another script: a clause, not a name. Thai has no full stop to part it off."""
    stretches = _OWN_LETTERS[script].split(text)
    return any(sum(word[0].islower() for word in _WORD.findall(piece)) > MAX_FOREIGN_RUN for piece in stretches)


def _has_english_words(text: str, language: Language) -> bool:
    """Whether English function words are too many of the words, for a language whose script doesn't tell."""
    if language.code not in _ENGLISH_WORDS:
        return False
    words = _WORD.findall(text.lower())
    num_english = sum(word in _ENGLISH_WORDS[language.code] for word in words)
    return num_english > 0 and num_english >= ENGLISH_SHARE * len(words)
