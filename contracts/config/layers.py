"""Read the layers of a config, and say which of them sets a key: the file, the files that it extends, the overrides.

`extends = "base.toml"` at the top of a file names the file whose keys it changes, relative to its own folder. That file
may extend another. A key of the extending file wins over the one below it, and an override wins over both; tables are
merged key by key, lists are replaced.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args, get_origin

from contracts.config.keys import keys, sections
from contracts.config.section import union_members
from contracts.errors import BadInput, refuse_all, shown
from languages.text_file import MAX_DEPTH, OutOfBounds, UnreadableFile, parse_toml, read_toml

EXTENDS = "extends"
FORMAT_KEY = "format"
FORMAT = 2
"""Format of the config.toml of a run folder. A folder of another format is neither continued nor read."""


@dataclass(kw_only=True)
class Layers:
    """Hold the values of all layers together."""

    values: dict[str, object]
    places: dict[str, str] = field(default_factory=dict)
    """The override or the extended file that sets a key, by dotted key; the other keys are of the config's own file."""


def read_layers(path: Path, overrides: Sequence[str]) -> Layers:
    """Read a config file, what it extends, and the overrides on top; a later override of the same key wins.

    If a layer makes a choice, such as `algorithm.name = "sft"`, the keys of lower layers that belong to other choices
    only are left out.

    Raises:
        BadInput: a file can't be read, files extend each other in a circle, or an override is none.
    """
    layers = _read_files(path, above=())
    mistakes: list[BadInput] = []
    set_by: dict[str, str] = {}
    for override in overrides:
        try:
            key, value = parse_override(override)
            _put(layers.values, key, value, override)
            set_by[key] = f"override {shown(override)}"
        except BadInput as mistake:
            mistakes.append(mistake)
    refuse_all(mistakes)
    _leave_out_other_choices(layers.values, overridden=set_by)
    return Layers(values=layers.values, places=set_by | layers.places)


def check_format(found: object, path: Path) -> None:
    """Check the format of a config.toml.

    Raises:
        BadInput: it is not this version's; `key` is "format".
    """
    if found == FORMAT and not isinstance(found, bool):
        return
    what = "an earlier version" if found is None else f"another version (format {shown(found)})"
    raise BadInput(
        f"{path} was written by {what} of the project, and this version reads format {FORMAT} only; start a new run",
        key=FORMAT_KEY,
    )


# --- files -----------------------------------------------------------------------------------------------------------


def _read_files(path: Path, *, above: tuple[Path, ...]) -> Layers:
    """Return the values of a file on top of what it extends; `above` are the files that extend it."""
    values = _read(path, above)
    check_format(values.pop(FORMAT_KEY, FORMAT), path)
    if (named := values.pop(EXTENDS, None)) is None:
        return Layers(values=values)
    if not isinstance(named, str) or not named.strip() or "\0" in named:
        raise BadInput(
            f'{path}: {EXTENDS} is {shown(named)}; it should be the path of one config, such as "base.toml"',
            key=EXTENDS,
        )
    base_path = path.parent / Path(named).expanduser()
    chain = (*above, path)
    if os.path.realpath(base_path) in map(os.path.realpath, chain):
        circle = " -> ".join(str(one) for one in (*chain, base_path))
        raise BadInput(f"configs extend each other in a circle: {circle}; take one {EXTENDS} out", key=EXTENDS)
    base = _read_files(base_path, above=chain)
    places = {key: str(base_path) for key in _leaves(base.values)} | base.places
    own = dict.fromkeys(_leaves(values), str(path))
    merged = _merged(base.values, values)
    _leave_out_other_choices(merged, overridden=own)
    return Layers(values=merged, places={key: place for key, place in places.items() if key not in own})


def _read(path: Path, above: tuple[Path, ...]) -> dict[str, object]:
    try:
        return read_toml(path)
    except FileNotFoundError:
        if above:
            raise BadInput(
                f"{above[-1]}: {EXTENDS} names {path}, which does not exist; the path starts at the folder of the file "
                "that has it",
                key=EXTENDS,
            ) from None
        raise BadInput(f"there is no config file {path}; the project's own are in configs/", key=str(path)) from None
    except UnreadableFile as error:
        raise BadInput(f"{path} {error}", key=str(path)) from None


def _merged(base: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """Return `above` laid over `base`, table by table."""
    merged = dict(base)
    for key, value in above.items():
        below = base.get(key)
        merged[key] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _leaves(values: Mapping[str, object], prefix: str = "") -> Iterator[str]:
    """Yield the dotted key of every value that is no table."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


# --- overrides -------------------------------------------------------------------------------------------------------


def parse_override(override: str) -> tuple[str, object]:
    """Return the key and the value of `section.key=value`.

    Raises:
        BadInput: it is no override.
    """
    key, text = _split(override)
    return key, _override_value(key, text)


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
