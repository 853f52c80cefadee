"""Read language files: TOML with the keys of `Language`."""

from pathlib import Path

from pydantic import ValidationError

from languages.language import Language
from languages.text_file import UnreadableFile, read_toml

_LONGEST_SHOWN = 60


class LanguageFileError(ValueError):
    """Report a mistake in a language file, in one line that names the file and the key.

    `key` is empty if no single key is wrong.
    """

    def __init__(self, message: str, *, file: str, key: str = "") -> None:
        super().__init__(f"{file}: {message}")
        self.file = file
        self.key = key


def read_language(path: Path) -> Language:
    """Read one language file.

    Raises:
        LanguageFileError: the file can't be read, or the first key that is wrong.
    """
    file = str(path)
    try:
        values = read_toml(path)
    except FileNotFoundError:
        raise LanguageFileError("there is no such file", file=file) from None
    except UnreadableFile as error:
        raise LanguageFileError(str(error), file=file) from None
    return parse_language(values, file=file)


def parse_language(values: object, *, file: str) -> Language:
    """Make a language of the values that a file holds.

    Raises:
        LanguageFileError: the first key that is wrong.
    """
    try:
        return Language.model_validate(values)
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
    # An unknown key is often the cause of a missing one: it is reported first.
    first = min(mistakes, key=lambda mistake: mistake["type"] != "extra_forbidden")
    key = str(first["loc"][0]) if first["loc"] else ""
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    match first["type"]:
        case "extra_forbidden":
            message = f"unknown key {place}; known are {', '.join(Language.model_fields)}"
        case "missing":
            message = f"the key {place} is missing"
        case "value_error":
            reason = str(first.get("ctx", {}).get("error", first["msg"]))
            message = f"{place}: {reason}" if place else reason
        case _:
            shown = repr(first["input"])
            shown = shown if len(shown) <= _LONGEST_SHOWN else f"{shown[:_LONGEST_SHOWN]}..."
            message = f"{place} is {shown}; {first['msg'].replace('Input should', 'it should').replace('String', 'it')}"
    more = len(mistakes) - 1
    if more:
        message += f" (and {more} more mistake{'s' if more > 1 else ''})"
    raise LanguageFileError(message, file=file, key=key)
