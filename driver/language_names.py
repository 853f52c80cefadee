"""Name languages that have no language file: their English names (ISO 639) and scripts (ISO 15924, as Unicode names).

A task may have items in any of them. Such a language is asked about with English instructions that name it.
"""

from languages.facts import LANGUAGES

_LATIN = """
az Azerbaijani, bm Bambara, ca Catalan, ceb Cebuano, cy Welsh, da Danish, ee Ewe, eu Basque, fi Finnish, fil Filipino,
ga Irish, gl Galician, gn Guarani, ha Hausa, hr Croatian, ig Igbo, is Icelandic, jv Javanese, lg Ganda, ln Lingala, lt
Lithuanian, lv Latvian, mg Malagasy, mi Maori, ms Malay, mt Maltese, no Norwegian, ny Chewa, om Oromo, rw Kinyarwanda,
sk Slovak, sl Slovenian, sn Shona, so Somali, sq Albanian, ss Swati, st Southern Sotho, su Sundanese, sv Swedish, tl
Tagalog, tn Tswana, ts Tsonga, tw Twi, uz Uzbek, wo Wolof, xh Xhosa
"""
_BY_SCRIPT = {
    "Latin": _LATIN,
    "Cyrillic": "be Belarusian, bg Bulgarian, kk Kazakh, ky Kyrgyz, mk Macedonian, mn Mongolian, tg Tajik",
    "Arabic": "ps Pashto, sd Sindhi",
    "Bengali": "as Assamese",
    "Gujarati": "gu Gujarati",
    "Gurmukhi": "pa Punjabi",
    "Kannada": "kn Kannada",
    "Malayalam": "ml Malayalam",
    "Oriya": "or Odia",
    "Sinhala": "si Sinhala",
    "Khmer": "km Khmer",
    "Lao": "lo Lao",
    "Myanmar": "my Burmese",
    "Tibetan": "bo Tibetan",
    "Armenian": "hy Armenian",
    "Ethiopic": "am Amharic, ti Tigrinya",
    "Georgian": "ka Georgian",
    "Hebrew": "he Hebrew",
    "Vai": "vai Vai",
}
_NAMES = {
    entry.split(maxsplit=1)[0]: (entry.split(maxsplit=1)[1], script)
    for script, entries in _BY_SCRIPT.items()
    for entry in entries.replace("\n", " ").split(",")
}
_FAMILIES = {
    "Han": "Han",
    "Hiragana": "Kana",
    "Hangul": "Hangul",
    "Thai": "Thai",
    **dict.fromkeys(
        (
            *("Bengali", "Devanagari", "Gujarati", "Gurmukhi", "Kannada", "Malayalam", "Oriya", "Sinhala", "Tamil"),
            *("Telugu", "Khmer", "Lao", "Myanmar", "Tibetan"),
        ),
        "Brahmic",
    ),
}


def language_title(code: str) -> str:
    """Return the English name of a language; a code that nobody here knows stays a code."""
    if code in LANGUAGES:
        return LANGUAGES[code].name
    return _NAMES[code][0] if code in _NAMES else code


def script_family(code: str) -> str:
    """Return the family of the script in which a language is written: "Latin", "Cyrillic", "Brahmic", ...

    Thai is a family of its own, as in the tables of the literature, although its script is of Brahmic origin. A
    language that nobody here knows is of the family "other".
    """
    if code in LANGUAGES:
        scripts = LANGUAGES[code].scripts
        script = "Hiragana" if LANGUAGES[code].has_kana else scripts[0]
    elif code in _NAMES:
        script = _NAMES[code][1]
    else:
        return "other"
    return _FAMILIES.get(script, script)


def has_file(code: str) -> bool:
    """Return whether the project knows the language: its prompts, its numbers and how to tell it from others."""
    return code in LANGUAGES


def known_codes() -> tuple[str, ...]:
    """Return the codes of all languages that have a file or a name here."""
    return (*LANGUAGES, *_NAMES)
