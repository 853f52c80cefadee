"""Describe what is wrong with a config, a line for each mistake: place, key, what was found and what is allowed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import get_args

from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from contracts.config.keys import choice_of, keys, section_types, sections
from contracts.config.run import Config
from contracts.config.section import Section
from contracts.errors import BadInput, shown


@dataclass(frozen=True, kw_only=True)
class _Mistake:
    """Hold one mistake; several of pydantic's errors are one where a key allows values of several types."""

    key: str  # dotted
    errors: tuple[ErrorDetails, ...]
    choice: str  # of the innermost section around the key that has choices; empty without one
    siblings: tuple[str, ...]  # keys and sections that may be beside an unknown key

    @property
    def type(self) -> str:
        return self.errors[0]["type"]

    @property
    def own(self) -> BadInput | None:
        """Return the error that a section's own check raised."""
        error = self.errors[0].get("ctx", {}).get("error")
        return error if self.type == "value_error" and isinstance(error, BadInput) else None


def describe_mistakes(errors: Sequence[ErrorDetails], file: str, places: Mapping[str, str]) -> list[BadInput]:
    """Return one line for each mistake, with the key that it is about.

    Args:
        errors: what pydantic found.
        file: where a key comes from that `places` does not have.
        places: the override or the file that sets a key, by dotted key.
    """
    # An unknown key is often the cause of a missing one: it is reported first.
    ordered = sorted(_mistakes(errors), key=lambda mistake: mistake.type != "extra_forbidden")
    return [one for mistake in ordered for one in _described(mistake, file, places)]


def _described(mistake: _Mistake, file: str, places: Mapping[str, str]) -> list[BadInput]:
    """Return the lines of one mistake: a check of a section's own may have found several."""
    found = mistake.own.all if mistake.own else (BadInput(_explain(mistake), key=mistake.key),)
    lines: list[BadInput] = []
    for one in found:
        about = (one.key, mistake.key)
        place = next((place for part in about for name, place in places.items() if _is_about(name, part)), file)
        lines.append(BadInput(f"{place}: {' '.join(str(one).split())}", key=one.key))
    return lines


def _mistakes(errors: Sequence[ErrorDetails]) -> list[_Mistake]:
    found: dict[str, _Mistake] = {}
    for error in errors:
        key, choice, siblings = _locate(error["loc"])
        if error["type"] == "union_tag_invalid":
            key = sections()[key].chosen_by
        before = found[key].errors if key in found else ()
        found[key] = _Mistake(key=key, errors=(*before, error), choice=choice, siblings=siblings)
    return list(found.values())


def _locate(location: tuple[int | str, ...]) -> tuple[str, str, tuple[str, ...]]:
    """Return the dotted key of an error, the choice around it, and what may be beside a key that is unknown.

    ("data", "builtin", "levels", 1) is "data.levels[1]" with the choice "builtin". The location of an error also names
    the type of a value that may have several types.
    """
    path, choice, siblings = "", "", ()
    fields: Mapping[str, FieldInfo] | None = Config.model_fields
    choices: Mapping[str, type[Section]] = {}
    item: type[Section] | None = None
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
            fields = item.model_fields if item else None
        elif choices and part in choices:
            fields, choices, choice = choices[part].model_fields, {}, part
        elif fields is not None:
            path = f"{path}.{part}".lstrip(".")
            siblings = () if part in fields else tuple(fields)
            fields, choices, item = _inside(fields.get(part))
    return path, choice, siblings


def _inside(
    field: FieldInfo | None,
) -> tuple[Mapping[str, FieldInfo] | None, Mapping[str, type[Section]], type[Section] | None]:
    """Return what may follow a field in a location: the fields of its section, its choices, or its items' section."""
    if field is None:
        return None, {}, None
    if (choice := choice_of(field)) is not None:
        return None, choice.members(field.annotation), None
    if types := section_types(field):
        return types[0].model_fields, {}, None
    items = [
        member for member in get_args(field.annotation) if isinstance(member, type) and issubclass(member, Section)
    ]
    return None, {}, items[0] if items else None


def _is_about(override: str, key: str) -> bool:
    """Return whether a mistake at `key` may come from the override: the same key, one inside it, or one around it."""
    return override == key or key.startswith((f"{override}.", f"{override}[")) or override.startswith(f"{key}.")


def _explain(mistake: _Mistake) -> str:
    key, error = mistake.key, mistake.errors[0]
    match mistake.type:
        case "extra_forbidden":
            return _explain_unknown(mistake)
        case "missing":
            section, _, name = key.rpartition(".")
            return f"{key} is missing; add {name} under [{section}]" if section else f"section [{key}] is missing"
        case "value_error":  # a section's own check: its message names the keys
            return " ".join(str(error["ctx"]["error"]).split()) if "ctx" in error else error["msg"]
        case "union_tag_invalid":
            chosen = error["input"].get(key.rpartition(".")[2]) if isinstance(error["input"], Mapping) else None
            allowed = [repr(choice) for choices, _ in sections()[key.rpartition(".")[0]].members for choice in choices]
            return f"{key} is {shown(chosen)}; it should be {_either(allowed)}"
        case "union_tag_not_found":
            return f"{key} is {shown(error['input'])}; it should be a section"
    allowed = [_allowed(error) for error in mistake.errors]
    return f"{key} is {shown(error['input'])}; it should be {_either(list(dict.fromkeys(allowed)))}"


def _allowed(error: ErrorDetails) -> str:
    least = error.get("ctx", {}).get("min_length")
    if least is not None:
        return f"a list of at least {least}" if error["type"] == "too_short" else f"text of at least {least} characters"
    text = error["msg"].removeprefix("Input should be ")
    return f"{text[0].lower()}{text[1:]}".split(", unable to parse")[0]


def _explain_unknown(mistake: _Mistake) -> str:
    """Say where a key belongs that exists with another choice only; else which right key is nearest."""
    key = mistake.key
    if elsewhere := [known for known in keys() if known.name == key]:
        chosen_by = elsewhere[0].chosen_by
        belongs = _either([f'"{one}"' for known in elsewhere for one in known.choices])
        return f'{key} belongs to {chosen_by} = {belongs}, and {chosen_by} is "{mistake.choice}"'
    section, _, name = key.rpartition(".")
    prefix = f"{section}." if section else ""
    if same_name := dict.fromkeys(known.name for known in keys() if known.name.rpartition(".")[2] == name):
        hint = f"did you mean {' or '.join(same_name)}?"
    elif close := get_close_matches(name, mistake.siblings, n=1):
        hint = f"did you mean {prefix}{close[0]}?"
    else:
        hint = f"{f'[{section}] has' if section else 'sections are'} {', '.join(mistake.siblings)}"
    return f"unknown key {key}; {hint}"


def _either(texts: Sequence[str]) -> str:
    """Return "a, b or c"."""
    *first, last = texts
    return f"{', '.join(first)} or {last}" if first else last
