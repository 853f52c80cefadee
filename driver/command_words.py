"""Read `--section.key value` and `--section.key=value` on the command line as `section.key=value`."""

from collections.abc import Collection, Iterator, Sequence

from contracts.config.keys import keys
from contracts.errors import BadInput


def overrides_from_options(words: Sequence[str], *, options: Collection[str]) -> list[str]:
    """Return the words with an override in place of every option that names a config key.

    Args:
        words: of the command line, without the command.
        options: those that the command itself has, such as "--json".

    Raises:
        BadInput: an option has no value, or names no key although it is the end of one, such as --steps.
    """
    found: list[str] = []
    rest = iter(words)
    for word in rest:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or f"--{name}" in options:
            found.append(word)
        elif "." not in name:
            _refuse_end_of_key(name)
            found.append(word)
        else:
            found.append(f"{name}={value if equals else _next_value(word, rest)}")
    return found


def _next_value(option: str, rest: Iterator[str]) -> str:
    value = next(rest, None)
    if value is None or value.startswith("--"):
        raise BadInput(f"{option} has no value; write {option} VALUE or {option}=VALUE", key=option.removeprefix("--"))
    return value


def _refuse_end_of_key(name: str) -> None:
    """Refuse an option without its section: `--steps` instead of `--algorithm.steps`."""
    end = name.replace("-", "_")
    whole = list(dict.fromkeys(key.name for key in keys() if key.name.rpartition(".")[2] == end))
    if whole:
        near = " or ".join(f"--{key}" for key in whole[:3])
        raise BadInput(f"there is no option --{name}; did you mean {near}? (-h lists all keys)", key=f"--{name}")
