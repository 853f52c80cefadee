"""Know the languages of this process: the built-in ones, and those that the run's config adds.

Every built-in language is one TOML file beside this module. A run's own languages are set once in each process, by
`use_own_languages`: in the driver when the config is read, in a scorer when its reward is loaded. A run's own file
takes the place of the built-in one of the same code.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType

from languages.files import LanguageFileError, read_language
from languages.language import Language

_FOLDER = Path(__file__).parent
_PIVOT_LANGUAGE = "en"


class _Languages(Mapping[str, Language]):
    """Map the code of every known language to the language: the built-in ones first."""

    def __init__(self) -> None:
        self._own: Mapping[str, Language] = {}

    def use_own(self, languages: Sequence[Language]) -> None:
        self._own = {language.code: language for language in languages}

    @property
    def own(self) -> tuple[Language, ...]:
        return tuple(self._own.values())

    def __getitem__(self, code: str) -> Language:
        return self._own[code] if code in self._own else builtin_languages()[code]

    def __iter__(self) -> Iterator[str]:
        yield from dict.fromkeys((*builtin_languages(), *self._own))

    def __len__(self) -> int:
        return len(builtin_languages().keys() | self._own.keys())


LANGUAGES = _Languages()
"""Every language that this process knows, by its code."""


@cache
def builtin_languages() -> Mapping[str, Language]:
    """Return the languages that the project comes with, by code, in the order of their codes."""
    read = (read_language(file) for file in sorted(_FOLDER.glob("*.toml")))
    return MappingProxyType({language.code: language for language in read})


def read_own_languages(files: Sequence[Path]) -> tuple[Language, ...]:
    """Read the language files of a user.

    Raises:
        LanguageFileError: a file is wrong, is about English, or has the code of another file.
    """
    found: dict[str, Language] = {}
    for file in files:
        language = read_language(file)
        if language.code == _PIVOT_LANGUAGE:
            raise LanguageFileError(
                f"code is {language.code!r}: the pivot's language has no other file; prompt.instructions words it anew",
                file=str(file),
                key="code",
            )
        if language.code in found:
            raise LanguageFileError(
                f"code is {language.code!r}, as in another language file; each needs its own",
                file=str(file),
                key="code",
            )
        found[language.code] = language
    return tuple(found.values())


def use_own_languages(languages: Sequence[Language]) -> None:
    """Make `languages` known in this process, in place of those that were set before."""
    LANGUAGES.use_own(languages)


def known_language(code: str) -> Language:
    """Return a language by its code.

    Raises:
        ValueError: the language is not known; the message names those that are.
    """
    if code not in LANGUAGES:
        raise ValueError(f"unknown language {code!r}; known are {', '.join(LANGUAGES)}")
    return LANGUAGES[code]


def languages_digest(languages: Sequence[Language]) -> str:
    """Return a digest of all that `languages` hold; it changes with any value that has an effect in a user's file."""
    digest = blake2b(digest_size=16)
    for language in sorted(languages, key=lambda language: language.code):
        digest.update(language.model_dump_json(exclude={"words_are_foreign_elsewhere"}).encode())
    return digest.hexdigest()
