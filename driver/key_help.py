"""Explain config keys on the command line: those that a command reads, or those of a section.

Everything is generated from the config's models, as docs/configuration.md is.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from contracts.config.describe import default_of, values_of
from contracts.config.keys import Key, SectionKeys, keys, sections
from contracts.config.load import MODELS
from contracts.errors import BadInput

_EVERY = ("run", "fleet", "cluster")
_REWARD = ("scorer", "reward", "comet", "translator")
SECTIONS: Mapping[str, tuple[str, ...]] = {
    "evaluate": ("policy", "evaluation", "prompt", "data", *_EVERY),
    "references": ("pivot", "data", "prompt", *_EVERY),
    "translate": ("translate", "data", "translator", "scorer", "pivot", *_EVERY),
    "audit": ("audit", *_REWARD, "data", *_EVERY),
    "calibrate": (*_REWARD, *_EVERY),
}
"""The sections that a command reads, the most important first. The commands that are not named read all of them."""

_WIDTH = 80
_NAMES = 24
"""Columns of a key's name, before what it means."""


def sections_of(command: str) -> tuple[str, ...]:
    """Return the sections at the top of a config that a command reads."""
    return SECTIONS.get(command) or tuple(name for name in sections() if "." not in name)


def needs_of(command: str) -> tuple[str, ...]:
    """Return the sections whose model must be given for a command."""
    return tuple(name for name in MODELS if name in sections_of(command))


def overview(command: str) -> str:
    """Return the keys that a command reads with their defaults, section by section."""
    tops = sections_of(command)
    lines = [f"keys, written section.key=value or --section.key value (`{command} -h SECTION` explains them):"]
    for section in sections().values():
        if section.name.partition(".")[0] in tops and (own := _keys_of(section)):
            found = [_with_default(key) for key in own]
            lines += ["", f"  [{section.name}]", *_columns(found)]
    return "\n".join(lines)


def explain(command: str, names: Sequence[str]) -> str:
    """Return what the keys of some sections mean, or single keys.

    Raises:
        BadInput: a name is neither a section nor a key; the message names the nearest ones.
    """
    return "\n\n".join(text for name in names for text in _explained(command, name))


def _explained(command: str, name: str) -> Iterator[str]:
    found = [known for known in sections().values() if f"{known.name}.".startswith(f"{name}.")]
    for section in found:
        if own := _keys_of(section):
            yield "\n".join([f"[{section.name}]", *_doc(section), "", *(line for key in own for line in _entry(key))])
    if found:
        return
    same = [key for key in keys() if key.name == name or key.name.endswith(f".{name}")]
    if not same:
        raise BadInput(_no_such(command, name), key=name)
    yield "\n".join(line for key in same for line in _entry(key, name=key.name))


def _no_such(command: str, name: str) -> str:
    known = [*sections(), *(key.name for key in keys())]
    tails = {key.name.rpartition(".")[2]: key.name for key in keys()}
    near = get_close_matches(name, known, n=2) or [
        tails[tail] for tail in get_close_matches(name, tails, n=2, cutoff=0.7)
    ]
    hint = f"did you mean {' or '.join(near)}?" if near else f"sections are {', '.join(sections_of(command))}"
    return f"there is no section and no key {name!r}; {hint}"


def _keys_of(section: SectionKeys) -> list[Key]:
    """Return a section's own keys, the one that chooses between its forms first."""
    own = [key for key in keys() if key.name.rpartition(".")[0] == section.name]
    return sorted(own, key=lambda key: key.name != section.chosen_by)


def _with_default(key: Key) -> str:
    name, default = key.name.rpartition(".")[2], _plain(default_of(key))
    only = f" ({' or '.join(key.choices)})" if key.choices else ""
    text = f"{name}{only}" if default == "left out" else f"{name}{only}: {default}" if default == "required" else ""
    return text or f"{name}{only} = {default}"


def _columns(texts: Sequence[str]) -> list[str]:
    """Return the texts in lines of at most `_WIDTH` columns; a text is broken only if it is longer than that."""
    lines = [""]
    for text in texts:
        wider = f"{lines[-1]}  {text}" if lines[-1] else text
        if lines[-1] and len(wider) + 4 > _WIDTH:
            lines.append(text)
        else:
            lines[-1] = wider
    return [f"    {line}" if len(line) <= _WIDTH - 4 else f"    {line[: _WIDTH - 8]} ..." for line in lines]


def _doc(section: SectionKeys) -> list[str]:
    """Return what a section is for; of one with several forms, what each of them is."""
    lines: list[str] = []
    for choices, member in section.members:
        text = " ".join((member.__doc__ or "").split())
        lines += _wrapped(f"{' or '.join(choices)}: {text}" if choices else text, indent="  ")
    return lines


def _entry(key: Key, *, name: str = "") -> list[str]:
    name = name or key.name.rpartition(".")[2]
    only = f"Only with {key.chosen_by} = {' or '.join(key.choices)}. " if key.choices else ""
    facts = f"{_plain(values_of(key))}; default: {_plain(default_of(key))}"
    meaning = f"{only}{' '.join((key.field.description or '').split())} ({facts})"
    lines = _wrapped(meaning, indent=" " * (_NAMES + 2))
    if len(name) < _NAMES - 2:
        return [f"  {name:<{_NAMES}}{lines[0].strip()}", *lines[1:]]
    return [f"  {name}", *lines]


def _wrapped(text: str, *, indent: str) -> list[str]:
    return textwrap.wrap(_plain(text), _WIDTH, initial_indent=indent, subsequent_indent=indent)


def _plain(text: str) -> str:
    return text.replace("`", "")
