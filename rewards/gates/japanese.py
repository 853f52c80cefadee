"""Tell Japanese from Chinese, and from another language spelled in katakana, by characters alone."""

import re
from functools import cache, lru_cache

from languages.language import Script
from rewards.texts.scripts import KANA, letter_range, letters_of

MIN_LETTERS = 8
"""Shortest text, and shortest clause with a word that Chinese alone has, in letters, whose share of kana is checked."""
MIN_CLAUSE_LETTERS = 12
"""Shortest clause without such a word: Japanese has terms of Chinese characters alone (小数点以下四捨五入)."""
MIN_KANA_SHARE = 0.1
"""Least share of kana in a clause: Chinese has none."""
MIN_TEXT_KANA_SHARE, MIN_TEXT_LETTERS = 0.25, 24
"""Least share of kana in a whole text of at least this many letters (MIN_KANA_SHARE in a shorter one), with の left out
of both counts. Measured: at least 0.58 in built-in solutions, 0.45 in MGSM's questions, 0.29 in right solutions that
models write in bullets and headings. Chinese has none."""
MAX_KATAKANA_SHARE = 0.7
"""Largest share of katakana, each word counted once: katakana writes loan words and names, not sentences. Measured: at
most 0.4 in 600 built-in solutions, 0.6 in MGSM's questions."""
MAX_BARE_SHARE, MIN_BARE_LETTERS = 0.6, 16
"""Largest share of a text's letters in sentences without hiragana, each word counted once; checked from this many such
letters on. Headings, notes and formulas with units have no hiragana, Japanese sentences have some."""
MAX_UNKNOWN_LETTERS = 2
"""Most characters in a sentence that Japanese does not use."""

_SCRIPTS: tuple[Script, ...] = ("Han", *KANA)
# Terms of an equation and what stands in parentheses are clauses of their own: 平均年齢 = (24歳 + 45歳) ÷ 2.
_CLAUSE_END = re.compile(r"[、，,;；:：=＝≈+＋\-−–*×÷/／(){}\[\]（）「」|]+")
_SENTENCE_END = re.compile(r"\n+|[!?。！？]+")
_NO = "の"
# Frequent words of Chinese that Japanese does not write with these characters.
_CHINESE_WORD = re.compile("[是这這那们們个吗嗎呢吧把给給从從还還她它么麼就也没沒每您哪怎什你很让讓咗佢冇]")
# All hiragana but の.
_HIRAGANA = re.compile("[\u3041-\u306d\u306f-\u3096]")


def is_like_japanese(text: str) -> bool:
    """Return whether a whole text has as much kana as Japanese has, hiragana all over, and not too much katakana.

    A text of fewer than MIN_LETTERS letters passes.
    """
    num_letters = len(letters_of(_SCRIPTS).findall(text))
    if num_letters < MIN_LETTERS:
        return True
    # Chinese with a の after each word is still Chinese.
    num_no = text.count(_NO)
    share = MIN_TEXT_KANA_SHARE if num_letters >= MIN_TEXT_LETTERS else MIN_KANA_SHARE
    if len(letters_of(KANA).findall(text)) - num_no < share * (num_letters - num_no):
        return False
    katakana = _katakana().findall(text)
    num_distinct = sum(map(len, set(katakana)))
    num_others = num_letters - sum(map(len, katakana))
    if num_letters >= MIN_TEXT_LETTERS and num_distinct > MAX_KATAKANA_SHARE * (num_distinct + num_others):
        return False
    bare = "".join(part for part in _SENTENCE_END.split(text) if not _HIRAGANA.search(part))
    num_bare = sum(map(len, set(_words().findall(bare))))
    return num_bare < MIN_BARE_LETTERS or num_bare <= MAX_BARE_SHARE * num_letters


def is_chinese(sentence: str) -> bool:
    """Return whether a sentence has a clause without kana, or characters that Japanese does not use."""
    if sum(not _is_written_in_japanese(character) for character in sentence) > MAX_UNKNOWN_LETTERS:
        return True
    for clause in _CLAUSE_END.split(sentence):
        num_letters = len(letters_of(_SCRIPTS).findall(clause))
        shortest = MIN_LETTERS if _CHINESE_WORD.search(clause) else MIN_CLAUSE_LETTERS
        if num_letters >= shortest and len(letters_of(KANA).findall(clause)) < MIN_KANA_SHARE * num_letters:
            return True
    return False


@cache
def _katakana() -> re.Pattern[str]:
    return re.compile(f"[{letter_range(('Katakana',))}]+")


@cache
def _words() -> re.Pattern[str]:
    return re.compile(f"[{letter_range(_SCRIPTS)}]+")


@lru_cache(maxsize=8192)
def _is_written_in_japanese(character: str) -> bool:
    """Return False for a Chinese character outside JIS X 0208, as most simplified ones are."""
    if not letters_of(("Han",)).match(character):
        return True
    try:
        character.encode("shift_jis")
    except UnicodeEncodeError:
        return False
    return True
