"""Check the lists of frequent words against their sources, remove what the sources don't give, and record the rest.

Run it with `make word-lists`: its packages are in requirements/word-lists.txt and not in the product's environment.

The sources are wordfreq 3.1.1 (Speer 2022; data CC BY-SA 4.0) for every language that it has, the lexicon of
gruut-lang-sw 2.0.1 (MIT) for Swahili, stopwordsiso 0.7.1 (MIT) for the rest, and the stop words of spaCy 3.8.18 (MIT)
for those that it lacks. Which of a source's words are listed is chosen for the gates.
With lists of a source's most frequent words alone, a foreign sentence inside a text passed 1.5 to 2.4 times as often
(193 to 303 of 2,400 mixed texts instead of 126), and up to 22 of 100 faithful texts were refused instead of
none. Words of other languages' lists that a language uses too (languages/neighbours/shared.toml) are found here.

No other module of the project may be imported here: this environment has none of its packages.
"""

import ast
import json
import re
import sqlite3
import textwrap
import tomllib
import unicodedata
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import distribution
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
    contrasting: dict[str, dict[str, float]] = {}  # the words that speak against other languages
    for code, file in files.items():
        values = tomllib.loads(_read(file))
        record[code] = _given(code, values["function_words"].split())
        _rewrite(file, "function_words", record[code])
        if values.get("words_are_foreign_elsewhere"):
            contrasting[code] = record[code]
    for code, words in neighbours.items():
        contrasting[code] = _given(code, words.split())
        _rewrite(NEIGHBOURS, code, contrasting[code])
        record[code] = {**record.get(code, {}), **contrasting[code]}
    _write_shared({code: _shared(code, record[code], contrasting) for code in files if _has_frequencies(code)})
    RECORD.write_text(json.dumps(record, ensure_ascii=False, indent=0, sort_keys=True) + "\n", encoding="utf-8")


def _given(code: str, words: list[str]) -> dict[str, float]:
    """Return the words that the source of a language gives, with their frequency (1 in a source without any)."""
    frequency = _wordfreq(code) if _has_frequencies(code) else _swahili() if code == "sw" else _stop_words(code)
    found = {word: frequency(word) for word in words}
    if dropped := [word for word, value in found.items() if not value]:
        print(f"{code}: {len(dropped)} of {len(words)} words are not in the source: {' '.join(dropped)}")
    return {word: value for word, value in found.items() if value}


def _has_frequencies(code: str) -> bool:
    return code in import_module("wordfreq").available_languages()


def _shared(code: str, own: dict[str, float], contrasting: dict[str, dict[str, float]]) -> dict[str, float]:
    """Return the words of other languages' lists that are usual in a language too."""
    frequency = _wordfreq(code)
    highest: dict[str, float] = {}
    for other, words in contrasting.items():
        for word, value in words.items():
            highest[word] = max(highest.get(word, 0.0), value if other != "sw" else 0.0)
    others = {word: frequency(word) for word, value in highest.items() if value and word not in own}
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


def _stop_words(code: str) -> Callable[[str], float]:
    source = import_module("stopwordsiso")
    found = source.stopwords(code) if source.has_lang(code) else _spacy_words(code)
    words = {unicodedata.normalize("NFC", word) for word in found}
    return lambda word: float(word in words)


def _spacy_words(code: str) -> list[str]:
    """Return the words of spaCy's file of stop words, which is read and not run: spaCy itself needs many packages."""
    folder = Path(str(distribution("spacy").locate_file("spacy/lang"))) / code
    tree = ast.parse(_read(folder / "stop_words.py"))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return " ".join(texts).split()


def _write_shared(shared: dict[str, dict[str, float]]) -> None:
    """Write the file of shared words: its comment, and a list for each language, English first."""
    comment = _read(SHARED).partition("\n\n")[0]
    order = sorted(shared, key=lambda code: (code != "en", code))
    lists = [f'{code} = """\n{_block(shared[code])}\n"""\n' for code in order]
    SHARED.write_text("\n".join([f"{comment}\n", *lists]), encoding="utf-8")


def _rewrite(file: Path, key: str, words: dict[str, float]) -> None:
    text = re.sub(rf'(?ms)^{key} = """\n.*?^"""', lambda _: f'{key} = """\n{_block(words)}\n"""', _read(file))
    file.write_text(text, encoding="utf-8")


def _block(words: dict[str, float]) -> str:
    return "\n".join(textwrap.wrap(" ".join(sorted(words)), 116))


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8")


if __name__ == "__main__":
    main()
