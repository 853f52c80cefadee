"""Check the lists of frequent words against their sources, remove what the sources don't give, and record the rest.

Run it with `make word-lists`: its packages are in requirements/word-lists.txt and not in the product's environment.

The sources are wordfreq 3.1.1 (Speer 2022; data CC BY-SA 4.0) for every language but Swahili, which it does not have,
and the lexicon of gruut-lang-sw 2.0.1 (MIT) for Swahili. Which of a source's words are listed is chosen for the gates.
With lists of a source's most frequent words alone, a foreign sentence inside a text passed 1.5 to 2.4 times as often
(193 to 303 of 2,400 mixed texts instead of 126), and up to 22 of 100 faithful texts were refused instead of
none. Words of other languages' lists that a language uses too (languages/neighbours/shared.toml) are found here.

No other module of the project may be imported here: this environment has none of its packages.
"""

import json
import re
import sqlite3
import textwrap
import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

LANGUAGES = Path(__file__).resolve().parents[1] / "languages"
NEIGHBOURS = LANGUAGES / "neighbours" / "words.toml"
SHARED = LANGUAGES / "neighbours" / "shared.toml"
RECORD = LANGUAGES / "word_sources.json"
MIN_ZIPF = 2.0
"""Least frequency of a word, as the base-10 logarithm of its occurrences in a billion words: one in ten million."""
MIN_SHARED_ZIPF, MAX_SHARED_DISTANCE = 3.5, 0.7
"""A word of another language's list is shared where it is at least this frequent in the asked language, and at most
this much less frequent (base-10 logarithm) than where it is most frequent. English words in German texts are further
off: "the" by 2.1, "left" by 2.2, "ticket" by 0.2."""


def main() -> None:
    """Rewrite the lists and the record of what the sources give."""
    files = {file.stem: file for file in sorted(LANGUAGES.glob("*.toml")) if 'function_words = """' in _read(file)}
    neighbours = tomllib.loads(_read(NEIGHBOURS))
    record: dict[str, dict[str, float]] = {}
    for code, file in files.items():
        record[code] = _given(code, tomllib.loads(_read(file))["function_words"].split())
        _rewrite(file, "function_words", record[code])
    for code, words in neighbours.items():
        record[code] = _given(code, words.split())
        _rewrite(NEIGHBOURS, code, record[code])
    for code in files:
        if code != "sw":  # its source has no frequencies
            _rewrite(SHARED, code, _shared(code, record))
    RECORD.write_text(json.dumps(record, ensure_ascii=False, indent=0, sort_keys=True) + "\n", encoding="utf-8")


def _given(code: str, words: list[str]) -> dict[str, float]:
    """Return the words that the source of a language gives, with their frequency (1 in a lexicon without any)."""
    frequency = _swahili() if code == "sw" else _wordfreq(code)
    found = {word: frequency(word) for word in words}
    if dropped := [word for word, value in found.items() if not value]:
        print(f"{code}: {len(dropped)} of {len(words)} words are not in the source: {' '.join(dropped)}")
    return {word: value for word, value in found.items() if value}


def _shared(code: str, record: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return the words of other languages' lists that are usual in a language too."""
    frequency = _wordfreq(code)
    highest: dict[str, float] = {}
    for other, words in record.items():
        for word, value in words.items():
            highest[word] = max(highest.get(word, 0.0), value if other != "sw" else 0.0)
    others = {word: frequency(word) for word, value in highest.items() if value and word not in record[code]}
    return {
        word: value
        for word, value in others.items()
        if value >= MIN_SHARED_ZIPF and value >= highest[word] - MAX_SHARED_DISTANCE
    }


def _wordfreq(code: str) -> Callable[[str], float]:
    zipf_frequency = import_module("wordfreq").zipf_frequency

    def frequency(word: str) -> float:
        value = round(float(zipf_frequency(word, code)), 2)
        return value if value >= MIN_ZIPF else 0.0

    return frequency


def _swahili() -> Callable[[str], float]:
    lexicon = Path(str(import_module("gruut_lang_sw").__file__)).parent / "lexicon.db"
    with sqlite3.connect(lexicon) as database:
        words = {word for (word,) in database.execute("select word from word_phonemes")}
    return lambda word: float(word in words)


def _rewrite(file: Path, key: str, words: dict[str, float]) -> None:
    block = "\n".join(textwrap.wrap(" ".join(sorted(words)), 116))
    text = re.sub(rf'(?ms)^{key} = """\n.*?^"""', lambda _: f'{key} = """\n{block}\n"""', _read(file))
    file.write_text(text, encoding="utf-8")


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


if __name__ == "__main__":
    main()
