"""Read a TOML file and `section.key=value` overrides into a checked `Config`, and write a config as TOML text.

Every mistake is one line that names the file or the override, the key, what was found and what is allowed. What a key
means, its bounds and its default are defined by its section.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import ValidationError

from contracts.config.keys import sections
from contracts.config.layers import FORMAT, FORMAT_KEY, Layers, check_format, read_layers
from contracts.config.learning import SftConfig
from contracts.config.mistakes import describe_mistakes
from contracts.config.old_keys import find_old_keys
from contracts.config.run import Config
from contracts.errors import BadInput, refuse_all
from languages.facts import use_own_languages
from languages.text_file import UnreadableFile, read_toml

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")

MODELS = ("policy", "pivot", "scorer")
"""Sections whose model has no default: a config names the models that its command loads."""
NOT_NEEDED = "not needed"
"""Value of `model` in the config of a command that does not load that model, where nobody gave one."""


def load_config(path: Path, overrides: Sequence[str] = (), *, needs: Sequence[str] = MODELS) -> Config:
    """Read a config file, with what it extends and the overrides on top (`contracts.config.layers`).

    The value of an override is read as TOML, and as text if it is not TOML. A list may be written without brackets and
    quotes: `data.languages=de,fr`.

    The languages of the config's own files are known in this process from here on.

    Args:
        path: of the file.
        overrides: `section.key=value`.
        needs: those of `MODELS` that the command loads. The others may be left out, and with them `algorithm.steps`.

    Raises:
        BadInput: one line for each mistake.
    """
    layers = read_layers(path, overrides)
    _fill_models(layers.values, needs)
    if set(MODELS) - set(needs):
        _fill_steps(layers.values)
    return _checked(layers, path)


def load_training_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read the config of a training run in the same way, which names the models that its algorithm loads.

    Raises:
        BadInput: one line for each mistake.
    """
    layers = read_layers(path, overrides)
    _fill_models(layers.values, _trained_with(layers.values))
    return _checked(layers, path)


def _checked(layers: Layers, path: Path) -> Config:
    refuse_all(_old_keys(layers, path))
    try:
        config = Config.model_validate(layers.values)
    except ValidationError as error:
        refuse_all(describe_mistakes(error.errors(include_url=False), str(path), layers.places))
        raise
    use_own_languages(config.data.own_languages)
    return config


def load_run_config(path: Path) -> Config:
    """Read the config.toml of a run folder.

    Raises:
        BadInput: the folder was written by another version of the project (key "format"), or the file has a mistake.
    """
    check_run_format(path)
    return _checked(read_layers(path, ()), path)


def check_run_format(path: Path) -> None:
    """Check that the config.toml of a run folder has this version's format. A file that is not TOML passes this check.

    Raises:
        BadInput: it has another format, or none: an earlier version wrote it (key "format").
    """
    try:
        values = read_toml(path)
    except (FileNotFoundError, UnreadableFile):
        return
    check_format(values.get(FORMAT_KEY), path)


def dump_config(config: Config) -> str:
    """Return the resolved config as TOML text, defaults included; `load_config` reads it back equal.

    Keys without a value are left out.
    """
    tables = config.model_dump(mode="json", exclude_none=True)
    return "\n".join([f"format = {FORMAT}", "", *(_table(name, section) for name, section in tables.items())])


def _trained_with(values: Mapping[str, object]) -> Sequence[str]:
    """Return the sections whose models a training run loads: one that imitates has no reward, and may ask no pivot."""
    algorithm = values.get("algorithm")
    if not isinstance(algorithm, dict) or algorithm.get("name") != "sft":
        return MODELS
    target = algorithm.get("sft_target", SftConfig.model_fields["sft_target"].default)
    return ("policy", "pivot") if target == "pivot" else ("policy",)


def _fill_models(values: dict[str, object], needs: Sequence[str]) -> None:
    """Put a value into each model that need not be given; where a needed one has that value, it is missing again."""
    for name in MODELS:
        section = values.setdefault(name, {}) if name not in needs else values.get(name)
        if not isinstance(section, dict):
            continue
        if name not in needs:
            section.setdefault("model", NOT_NEEDED)
        elif section.get("model") == NOT_NEEDED:
            del section["model"]


def _fill_steps(values: dict[str, object]) -> None:
    algorithm = values.setdefault("algorithm", {})
    if isinstance(algorithm, dict):
        algorithm.setdefault("steps", 1)


def _old_keys(layers: Layers, path: Path) -> list[BadInput]:
    """Return a line for each key or value of an earlier version."""
    lines: list[BadInput] = []
    for key, value, replaced in find_old_keys(layers.values):
        text = toml_value(value)
        what = f"{key} = {text} is of an earlier version; {replaced.now.format(value=text)}"
        lines.append(BadInput(f"{layers.places.get(key, str(path))}: {what}", key=key))
    return lines


# --- writing ---------------------------------------------------------------------------------------------------------


def _table(name: str, section: Mapping[str, object]) -> str:
    own = {key for key in section if f"{name}.{key}" not in sections()}
    values = {key: value for key, value in section.items() if key in own}
    if (chosen_by := sections()[name].chosen_by.rpartition(".")[2]) in values:
        values = {chosen_by: values[chosen_by]} | values  # the choice is read first
    lines = [f"{key} = {toml_value(value)}" for key, value in values.items()]
    inner = [
        _table(f"{name}.{key}", value) for key, value in section.items() if key not in own and isinstance(value, dict)
    ]
    return "\n".join([f"[{name}]", *lines, "", *inner])


def toml_value(value: object) -> str:
    """Return a value of a config as TOML."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            # JSON's escapes are TOML's, except for the one control character that JSON leaves as it is.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case int() | float():
            return repr(value)
        case list():
            return f"[{', '.join(toml_value(item) for item in value)}]"
        case dict():  # a table that is no section: policy.chat_template_arguments, or inside a list: reward.schedule
            return f"{{{', '.join(f'{_key_text(key)} = {toml_value(item)}' for key, item in value.items())}}}"
    raise TypeError(f"a config value can't be a {type(value).__name__}: {value!r}")


def _key_text(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else toml_value(key)
