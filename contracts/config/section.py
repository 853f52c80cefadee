"""Define what all config sections share: the frozen base class, choices between sections, and marks on fields."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Literal, TypeAlias, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

Value = TypeVar("Value")


class Section(BaseModel):
    """Hold the keys of one config section. A section is frozen, and a key that it does not have is an error.

    The docstring under a field is what the configuration page says about the key.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


@dataclass(frozen=True)
class _MayChangeOnResume:
    """Mark a key, or a whole section, that a continued run may have another value of."""


MAY_CHANGE_MARK = _MayChangeOnResume()
MayChange: TypeAlias = Annotated[Value, MAY_CHANGE_MARK]
"""`steps: MayChange[int]`: a run may be continued with another value. A change of any other key makes it another
run."""

Auto: TypeAlias = Literal["auto"]
Off: TypeAlias = Literal["off"]


def decided(value: int | Auto) -> int:
    """Return the number of a key whose "auto" depends on the device; `with_device_defaults` has put it there."""
    assert value != "auto", "with_device_defaults was not called on this config"
    return value


@dataclass(frozen=True)
class Choice:
    """Let one key of a section decide which class the section has: `Annotated[Grpo | Ppo, Choice("name",
    default="grpo")]`.

    Each class has the key with the `Literal` of the values that choose it. Without the key the default is chosen.
    """

    key: str
    default: str

    def members(self, union: object) -> dict[str, type[Section]]:
        """Return the classes of the union by the value that chooses them, in order."""
        return {
            value: member for member in get_args(union) for value in get_args(member.model_fields[self.key].annotation)
        }

    def chosen(self, value: object) -> str | None:
        """Return the choice that a mapping or a section makes; None if `value` is neither."""
        if isinstance(value, Mapping):
            chosen = value.get(self.key, self.default)
            return chosen if isinstance(chosen, str) else repr(chosen)
        return getattr(value, self.key, None)

    def __get_pydantic_core_schema__(self, union: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Build pydantic's tagged union, so that a mistake is reported for the chosen class alone."""
        schemas = {value: handler.generate_schema(member) for value, member in self.members(union).items()}
        return core_schema.tagged_union_schema(dict(schemas), discriminator=self.chosen)


def union_members(annotation: object) -> tuple[object, ...]:
    """Return the types that a union allows, or the one type."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
