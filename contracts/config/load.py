"""From a TOML file and `section.key=value` arguments to a checked `Config`, and back to TOML text.

Owns reading, overriding and what a user is told about a mistake: one line that names the file or the override, the key,
what was got and what is allowed. Must not know what any key means: bounds and defaults are the sections' own.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from contracts.config.run import Config
from contracts.errors import BadInput
from languages.facts import use_own_languages
from languages.files import LanguageFileError

_MISSING = "missing"
_UNKNOWN = "extra_forbidden"
_LONGEST_SHOWN = 80  # characters of a bad value that a message repeats


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """The file's config with the overrides on top; a later override of the same key wins.

    An override's value is read as TOML, else taken as text. Where a list is wanted, `data.languages=de,fr` will do.

    The languages of the config's own files are known in this process from here on.

    Raises:
        BadInput: one line about the first mistake, and how many more there are.
    """
    values = _read(path)
    places: dict[str, str] = {}
    for override in overrides:
        key, text = _split(override)
        _put(values, key, _override_value(key, text), override)
        places[key] = f"override {_shown(override)}"
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
        raise BadInput(_one_line(mistakes, str(path), places), key=_language_key(mistakes)) from None
    use_own_languages(config.data.own_languages)
    return config


def dump_config(config: Config) -> str:
    """The resolved config as TOML text, defaults included; `load_config` reads it back equal."""
    return "\n".join(_table(name, section) for name, section in config.model_dump(mode="json").items())


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise BadInput(f"there is no config file {path}; the project's own are in configs/") from None
    except IsADirectoryError:
        raise BadInput(f"{path} is a folder; give a TOML file") from None
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except OSError as error:
        raise BadInput(f"{path} can't be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{path} is not valid TOML: {error}") from None


# --- overrides ------------------------------------------------------------------------------------------------------


def _split(override: str) -> tuple[str, str]:
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise BadInput(f"override {_shown(override)} is not section.key=value, such as algorithm.steps=20")
    return key, text.strip()


def _override_value(key: str, text: str) -> object:
    wanted = _keys(Config).get(key)
    value = _toml_value(text)
    if get_origin(wanted) is tuple and not isinstance(value, list):
        return [_toml_value(part.strip()) for part in text.strip("[]").split(",") if part.strip()]
    return text if wanted is str and not isinstance(value, str) else value


def _toml_value(text: str) -> object:
    try:
        document = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return document["value"] if document.keys() == {"value"} else text


def _put(values: dict[str, object], key: str, value: object, override: str) -> None:
    *sections, last = key.split(".")
    for depth, name in enumerate(sections, start=1):
        inner = values.setdefault(name, {})
        if not isinstance(inner, dict):
            raise BadInput(f"override {_shown(override)}: {'.'.join(sections[:depth])} is a value, not a section")
        values = inner
    values[last] = value


# --- messages -------------------------------------------------------------------------------------------------------


def _one_line(errors: Sequence[ErrorDetails], file: str, places: Mapping[str, str]) -> str:
    # An unknown key is often the cause of a missing one: it is said first.
    first = min(errors, key=lambda error: error["type"] != _UNKNOWN)
    key = _dotted(first["loc"])
    place = next((place for name, place in places.items() if _is_about(name, key)), file)
    message = f"{place}: {_explain(first, key)}"
    more = len(errors) - 1
    return f"{message} (and {more} more mistake{'s' if more > 1 else ''})" if more else message


def _language_key(errors: Sequence[ErrorDetails]) -> str:
    """Return the config key of a mistake in a language file; empty for another mistake."""
    is_about_file = any(isinstance(error.get("ctx", {}).get("error"), LanguageFileError) for error in errors)
    return "data.language_files" if is_about_file else ""


def _is_about(override: str, key: str) -> bool:
    """Whether a mistake at `key` may come from the override: the same key, one inside it, or the section around it."""
    return override == key or key.startswith((f"{override}.", f"{override}[")) or override.startswith(f"{key}.")


def _explain(error: ErrorDetails, key: str) -> str:
    if error["type"] == _UNKNOWN:
        return f"unknown key {key}; {_suggestion(key)}"
    if error["type"] == _MISSING:
        section, _, name = key.rpartition(".")
        return f"{key} is missing; add {name} under [{section}]" if section else f"section [{key}] is missing"
    if error["type"] == "value_error":  # a section's own check: its message names the keys
        reason = error["ctx"]["error"] if "ctx" in error else error["msg"]
        named = "data.language_files: " if isinstance(reason, LanguageFileError) else ""
        return named + " ".join(str(reason).split())
    allowed = error["msg"].replace("Input should be", "it should be")
    return f"{key} is {_shown(error['input'])}; {allowed[0].lower()}{allowed[1:]}"


def _suggestion(key: str) -> str:
    known = _keys(Config)
    section, _, name = key.rpartition(".")
    if same_name := [path for path in known if path.rpartition(".")[2] == name]:
        return f"did you mean {' or '.join(same_name)}?"
    prefix = f"{section}." if section else ""
    siblings = list(dict.fromkeys(path[len(prefix) :].split(".")[0] for path in known if path.startswith(prefix)))
    if close := get_close_matches(name, siblings, n=1):
        return f"did you mean {prefix}{close[0]}?"
    return f"{f'[{section}] has' if section else 'sections are'} {', '.join(siblings)}"


def _keys(section: type[BaseModel], prefix: str = "") -> dict[str, object]:
    """Every dotted key below a section with the type it wants."""
    found: dict[str, object] = {}
    for name, field in section.model_fields.items():
        wanted = field.annotation
        if isinstance(wanted, type) and issubclass(wanted, BaseModel):
            found |= _keys(wanted, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = wanted
    return found


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _dotted(location: tuple[int | str, ...]) -> str:
    """("data", "levels", 1) -> "data.levels[1]"."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")


# --- writing --------------------------------------------------------------------------------------------------------


def _table(name: str, section: Mapping[str, object]) -> str:
    values = [f"{key} = {_toml(value)}" for key, value in section.items() if not isinstance(value, dict)]
    inner = [_table(f"{name}.{key}", value) for key, value in section.items() if isinstance(value, dict)]
    return "\n".join([f"[{name}]", *values, "", *inner])


def _toml(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            # JSON's escapes are TOML's, but for the one control character that JSON leaves as it is.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case int() | float():
            return repr(value)
        case list():
            return f"[{', '.join(_toml(item) for item in value)}]"
        case dict():  # inside a list: reward.schedule
            return f"{{{', '.join(f'{key} = {_toml(item)}' for key, item in value.items())}}}"
    raise TypeError(f"a config value can't be a {type(value).__name__}: {value!r}")
