"""List every key of the config, with the choices that it belongs to and whether a continued run may change it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from contracts.config.run import Config
from contracts.config.section import MAY_CHANGE_MARK, Choice, Section, union_members


@dataclass(frozen=True, kw_only=True)
class Key:
    """Hold what is known of one key."""

    name: str  # dotted, e.g. "reward.weights.answer"
    field: FieldInfo
    may_change: bool  # when a run is continued
    chosen_by: str = ""  # dotted key of the choice that it belongs to, e.g. "algorithm.name"; empty: it is always there
    choices: tuple[str, ...] = ()  # values of `chosen_by` with which the key exists


@dataclass(frozen=True, kw_only=True)
class SectionKeys:
    """Hold one section: the classes that it may have, and its own keys."""

    name: str  # dotted; empty for the whole config
    members: tuple[tuple[tuple[str, ...], type[Section]], ...]  # choices and class; choices () without a choice
    chosen_by: str = ""  # dotted key of the choice; empty without one


@cache
def sections() -> dict[str, SectionKeys]:
    """Return every section by its dotted name, in the order of the config."""
    return {section.name: section for section in _sections("", Config.model_fields)}


@cache
def keys() -> tuple[Key, ...]:
    """Return every key, in the order of the config. A key that differs between choices is there once for each."""
    found: list[Key] = []
    for section in sections().values():
        found += _keys_of(section)
    return tuple(found)


def may_change(key: str) -> bool:
    """Return whether a run may be continued with another value of a key."""
    return any(known.may_change for known in keys() if key == known.name or key.startswith(f"{known.name}."))


def section_types(field: FieldInfo) -> tuple[type[Section], ...]:
    """Return the classes that a field's section may have; none if the field is a value."""
    members = [member for member in union_members(field.annotation) if member is not type(None)]
    found = tuple(member for member in members if isinstance(member, type) and issubclass(member, BaseModel))
    return tuple(member for member in found if issubclass(member, Section))


def choice_of(field: FieldInfo) -> Choice | None:
    """Return what chooses between the classes of a field's section; None if there is one class."""
    return next((mark for mark in field.metadata if isinstance(mark, Choice)), None)


def _sections(prefix: str, fields: dict[str, FieldInfo]) -> Iterator[SectionKeys]:
    for name, field in fields.items():
        types = section_types(field)
        if not types:
            continue
        path, choice = f"{prefix}{name}", choice_of(field)
        if choice is None:
            members = tuple(((), member) for member in types)
        else:
            values = choice.members(field.annotation)
            members = tuple(
                (tuple(value for value, member in values.items() if member is chosen), chosen) for chosen in types
            )
        yield SectionKeys(name=path, members=members, chosen_by=f"{path}.{choice.key}" if choice else "")
        for _, member in members:
            yield from _sections(f"{path}.", dict(member.model_fields))


def _keys_of(section: SectionKeys) -> list[Key]:
    """Return the section's own keys; the same field of several choices is one key."""
    found: list[Key] = []
    all_choices = {choice for choices, _ in section.members for choice in choices}
    for choices, member in section.members:
        for name, field in member.model_fields.items():
            if section_types(field):
                continue
            path = f"{section.name}.{name}"
            if path == section.chosen_by:
                if any(key.name == path for key in found):
                    continue
                choices_of_key: tuple[str, ...] = ()
            else:
                choices_of_key = choices
            same = next((key for key in found if key.name == path and _is_same(key.field, field)), None)
            if same is not None:
                found[found.index(same)] = replace(same, choices=(*same.choices, *choices_of_key))
            else:
                found.append(
                    Key(
                        name=path,
                        field=field,
                        may_change=MAY_CHANGE_MARK in field.metadata or _section_may_change(section.name),
                        chosen_by=section.chosen_by if choices_of_key else "",
                        choices=choices_of_key,
                    )
                )
    return [replace(key, chosen_by="", choices=()) if set(key.choices) == all_choices else key for key in found]


def _is_same(one: FieldInfo, other: FieldInfo) -> bool:
    return (one.annotation, one.metadata, one.default, one.description) == (
        other.annotation,
        other.metadata,
        other.default,
        other.description,
    )


def _section_may_change(section: str) -> bool:
    top = section.split(".")[0]
    return MAY_CHANGE_MARK in Config.model_fields[top].metadata
