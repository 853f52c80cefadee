"""Read a TOML file and `section.key=value` overrides into a checked `Config`, and write a config as TOML text.

A mistake is reported in one line that names the file or the override, the key, what was found and what is allowed. What
a key means, its bounds and its default are defined by its section.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic import ValidationError

from contracts.config.keys import keys, sections
from contracts.config.mistakes import describe_mistakes
from contracts.config.old_keys import find_old_key
from contracts.config.run import Config
from contracts.config.section import union_members
from contracts.errors import BadInput, shown
from languages.facts import use_own_languages
from languages.text_file import MAX_DEPTH, OutOfBounds, UnreadableFile, parse_toml, read_toml

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")

FORMAT = 2
"""Format of the config.toml of a run folder. A folder of another format is neither continued nor read."""


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a config file, with the overrides on top; a later override of the same key wins.

    The value of an override is read as TOML, and as text if it is not TOML. A list may be written without brackets and
    quotes: `data.languages=de,fr`. If an override makes a choice, such as `algorithm.name=sft`, the file's keys that
    belong to other choices only are left out.

    The languages of the config's own files are known in this process from here on.

    Raises:
        BadInput: one line about the first mistake, and how many more there are.
    """
    values = _read(path)
    _check_format(values.pop("format", FORMAT), path)
    places: dict[str, str] = {}
    for override in overrides:
        key, text = _split(override)
        _put(values, key, _override_value(key, text), override)
        places[key] = f"override {shown(override)}"
    _leave_out_other_choices(values, overridden=places)
    _refuse_old_key(values, path, places)
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        message, key = describe_mistakes(error.errors(include_url=False), str(path), places)
        raise BadInput(message, key=key) from None
    use_own_languages(config.data.own_languages)
    return config


def load_run_config(path: Path) -> Config:
    """Read the config.toml of a run folder.

    Raises:
        BadInput: the folder was written by another version of the project (key "format"), or the file has a mistake.
    """
    check_run_format(path)
    return load_config(path)


def check_run_format(path: Path) -> None:
    """Check that the config.toml of a run folder has this version's format. A file that is not TOML passes this check.

    Raises:
        BadInput: it has another format, or none: an earlier version wrote it (key "format").
    """
    try:
        values = read_toml(path)
    except (FileNotFoundError, UnreadableFile):
        return
    _check_format(values.get("format"), path)


def dump_config(config: Config) -> str:
    """Return the resolved config as TOML text, defaults included; `load_config` reads it back equal.

    Keys without a value are left out.
    """
    tables = config.model_dump(mode="json", exclude_none=True)
    return "\n".join([f"format = {FORMAT}", "", *(_table(name, section) for name, section in tables.items())])


def _read(path: Path) -> dict[str, object]:
    try:
        return read_toml(path)
    except FileNotFoundError:
        raise BadInput(f"there is no config file {path}; the project's own are in configs/", key=str(path)) from None
    except UnreadableFile as error:
        raise BadInput(f"{path} {error}", key=str(path)) from None


def _check_format(found: object, path: Path) -> None:
    if found == FORMAT and not isinstance(found, bool):
        return
    what = "an earlier version" if found is None else f"another version (format {shown(found)})"
    raise BadInput(
        f"{path} was written by {what} of the project, and this version reads format {FORMAT} only; start a new run",
        key="format",
    )


def _refuse_old_key(values: Mapping[str, object], path: Path, places: Mapping[str, str]) -> None:
    if (old := find_old_key(values)) is None:
        return
    key, value, replaced = old
    text = _toml(value)
    raise BadInput(
        f"{places.get(key, str(path))}: {key} = {text} is of an earlier version; {replaced.now.format(value=text)}",
        key=key,
    )


# --- overrides -------------------------------------------------------------------------------------------------------


def _split(override: str) -> tuple[str, str]:
    key, equals, text = override.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        raise BadInput(f"override {shown(override)} is not section.key=value, such as algorithm.steps=20", key=override)
    if key.count(".") >= MAX_DEPTH:
        raise BadInput(f"override {shown(override)}: there is no key with so many dots", key=key.partition(".")[0])
    return key, text.strip()


def _override_value(key: str, text: str) -> object:
    """Read an override's value as the key wants it: a list may lack its brackets, and text its quotes."""
    wanted = [member for known in keys() if known.name == key for member in union_members(known.field.annotation)]
    try:
        value = _toml_value(text)
    except OutOfBounds as error:
        if str in wanted:
            return text
        raise BadInput(f"override {shown(f'{key}={text}')}: the value {error}", key=key) from None
    words = [word for member in wanted if get_origin(member) is Literal for word in get_args(member)]
    if _takes_list(wanted) and not isinstance(value, list) and value not in words:
        return [_toml_value(part.strip()) for part in text.strip("[]").split(",") if part.strip()]
    return text if str in wanted and not isinstance(value, str) else value


def _takes_list(wanted: Sequence[object]) -> bool:
    bare = [get_args(member)[0] if hasattr(member, "__metadata__") else member for member in wanted]
    return any(get_origin(member) is tuple for member in bare)


def _toml_value(text: str) -> object:
    try:
        document = parse_toml(f"value = {text}")
    except OutOfBounds:
        raise
    except UnreadableFile:
        return text
    return document["value"] if document.keys() == {"value"} else text


def _put(values: dict[str, object], key: str, value: object, override: str) -> None:
    *parents, last = key.split(".")
    for depth, name in enumerate(parents, start=1):
        inner = values.setdefault(name, {})
        if not isinstance(inner, dict):
            parent = ".".join(parents[:depth])
            raise BadInput(f"override {shown(override)}: {parent} is a value, not a section", key=parent)
        values = inner
    values[last] = value


def _leave_out_other_choices(values: Mapping[str, object], *, overridden: Mapping[str, str]) -> None:
    """Remove the file's keys that do not exist with a choice that an override makes."""
    for section in sections().values():
        if section.chosen_by not in overridden:
            continue
        inside: object = values
        for name in section.name.split("."):
            inside = inside.get(name) if isinstance(inside, dict) else None
        if not isinstance(inside, dict):
            continue
        choice = inside[section.chosen_by.rpartition(".")[2]]
        fields = next((set(member.model_fields) for choices, member in section.members if choice in choices), None)
        known = {name for _, member in section.members for name in member.model_fields}
        if fields is None:
            continue
        for name in known - fields:
            if f"{section.name}.{name}" not in overridden:
                inside.pop(name, None)


# --- writing ---------------------------------------------------------------------------------------------------------


def _table(name: str, section: Mapping[str, object]) -> str:
    own = {key for key in section if f"{name}.{key}" not in sections()}
    values = {key: value for key, value in section.items() if key in own}
    if (chosen_by := sections()[name].chosen_by.rpartition(".")[2]) in values:
        values = {chosen_by: values[chosen_by]} | values  # the choice is read first
    lines = [f"{key} = {_toml(value)}" for key, value in values.items()]
    inner = [
        _table(f"{name}.{key}", value) for key, value in section.items() if key not in own and isinstance(value, dict)
    ]
    return "\n".join([f"[{name}]", *lines, "", *inner])


def _toml(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            # JSON's escapes are TOML's, except for the one control character that JSON leaves as it is.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case int() | float():
            return repr(value)
        case list():
            return f"[{', '.join(_toml(item) for item in value)}]"
        case dict():  # a table that is no section: policy.chat_template_arguments, or inside a list: reward.schedule
            return f"{{{', '.join(f'{_toml_key(key)} = {_toml(item)}' for key, item in value.items())}}}"
    raise TypeError(f"a config value can't be a {type(value).__name__}: {value!r}")


def _toml_key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _toml(key)
