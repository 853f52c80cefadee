"""Write the page about the config: each key's values, default and meaning, and what a continued run may change."""

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic.fields import FieldInfo

from contracts.config.keys import Key, SectionKeys, keys, sections
from contracts.config.section import Section, union_members

_INTRODUCTION = """\
# Configuration

A run has one TOML file. Overrides follow it on the command line as `section.key=value` (`reward.weights.answer=0.7`),
`--section.key=value` or `--section.key value`; a later override of the same key wins. The value is read as TOML, and as
text if it is not TOML; a list may be written `data.languages=de,fr`. `python driver/run.py COMMAND -h` lists the keys
that a command reads, and `-h SECTION` explains those of a section.

A file may change another: `extends = "base.toml"`, above all sections, names it, and the path starts at the folder of
the file that has it. The other file may extend a third one. What wins, from the lowest: the defaults of this page, the
file at the end of the chain, each file that extends it, the overrides. Tables are merged key by key; a list is
replaced. A run keeps the result, so a later change of a base changes no run.

All mistakes of a config are reported at once, a line for each. `python driver/run.py plan CONFIG.toml` checks keys,
bounds and what goes together, and prints what would be started. The command itself checks files and models. Commands
that load one model only ask for no more: `evaluate` needs `policy.model`, `references` `pivot.model`, `audit` and
`calibrate` `scorer.model`; everything else needs all three and `algorithm.steps`.

Some keys are a **choice**: `algorithm.name`, `data.source`, `evaluation.source` and `reward.reasoning.method` decide
which other keys their section has. A key of another choice is a mistake. If an override makes the choice
(`algorithm.name=sft`), or a file that extends another, the keys below that belong to other choices only are left out.

Special values are words: `"auto"` is computed as the description says, `"off"` switches off, `"all"` and `"equal"` mean
what they say. A key whose default is *left out* has no value unless the file gives one. Keys and values of earlier
versions are refused with what replaces them.

A run saves its resolved config as `config.toml` in its folder, which can be run again. The line `format` in it says
which version of the project can read the folder; a config of your own needs no such line. A run can be continued with
other values of the keys that say *may change* under *resume*; a change of any other key makes it another run.

Relative paths start at `$PB_RLSVR_HOME` if it is set; else at the project's root; in a submitted Ray job, at the
checkout that the running `.venv` belongs to. A model is a Hugging Face name or a local folder.

Checked across sections: `algorithm.groups_per_step` x `algorithm.group_size` is at least `learner.num_ranks`;
`algorithm.mini_batches` is at most `algorithm.groups_per_step`; `max_response_tokens` is below `max_model_len`;
`learner.row_tokens` is at least `policy.max_model_len`; the reward's weights sum to 1.
"""
_HEAD = ("| key | values | default | resume | meaning |", "|---|---|---|---|---|")
_NAMES: dict[object, str] = {str: "text", int: "integer", float: "number", datetime.date: "date"}
_BOUNDS = ((Ge, "ge", "≥"), (Gt, "gt", ">"), (Le, "le", "≤"), (Lt, "lt", "<"))


def configuration_page() -> str:
    """Return the page in Markdown: what holds for all keys, then the tables of all sections in their order."""
    return "\n".join([_INTRODUCTION, *(_describe_section(section) for section in sections().values())]).strip() + "\n"


def _describe_section(section: SectionKeys) -> str:
    own = [key for key in keys() if key.name.rpartition(".")[0] == section.name]
    own.sort(key=lambda key: key.name != section.chosen_by)
    common = [key for key in own if not key.choices]
    lines = [f"## [{section.name}]", *_intro(section), ""]
    if common:
        lines += [*_HEAD, *map(_row, common), ""]
    for choices in dict.fromkeys(key.choices for key in own if key.choices):
        values = " or ".join(f'"{choice}"' for choice in choices)
        lines += [f"With `{section.chosen_by} = {values}`:", "", *_HEAD]
        lines += [*(_row(key) for key in own if key.choices == choices), ""]
    return "\n".join(lines)


def _intro(section: SectionKeys) -> list[str]:
    """Return what the section is for; of a section with choices, what each choice means."""
    if not section.chosen_by:
        return [_one_line(section.members[0][1].__doc__)]
    lines = [f"`{section.chosen_by}` decides which keys the section has.", ""]
    for choices, member in section.members:
        names = " or ".join(f'`"{choice}"`' for choice in choices)
        lines.append(f"- {names}: {_one_line(member.__doc__)}")
    return lines


def default_of(key: Key) -> str:
    """Return a key's default as TOML in backticks, "required", or "left out" where it has no value unless one is
    given."""
    value = key.field.get_default(call_default_factory=True)
    return "required" if key.field.is_required() else "left out" if value is None else f"`{_toml(value)}`"


def values_of(key: Key) -> str:
    """Return which values a key may have."""
    section = sections()[key.name.rpartition(".")[0]]
    if key.name == section.chosen_by:
        return _words([choice for choices, _ in section.members for choice in choices])
    return describe_type(key.field.annotation, key.field.metadata)


def _row(key: Key) -> str:
    resume = "may change" if key.may_change else ""
    cells = (f"`{key.name}`", values_of(key), default_of(key), resume, _one_line(key.field.description))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def describe_type(annotation: object, metadata: Sequence[object] = ()) -> str:
    """Return which values a type allows, such as "integer ≥ 1 or `"auto"`"."""
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        return describe_type(inner, [*marks, *metadata])
    members = [member for member in union_members(annotation) if member is not type(None)]
    if len(members) > 1:
        return " or ".join(describe_type(member) for member in members)
    kind = members[0]
    if kind is not annotation:
        return describe_type(kind, metadata)
    if get_origin(kind) is Literal:
        return _words(get_args(kind))
    if get_origin(kind) is tuple:
        return _describe_tuple(get_args(kind), metadata)
    if get_origin(kind) in (dict, Mapping):
        return "table"
    if kind is bool:
        return "`true` or `false`"
    return f"{_NAMES[kind]}{_bounds(metadata)}"


def _describe_tuple(items: Sequence[object], metadata: Sequence[object]) -> str:
    if items[-1] is not Ellipsis:
        return f"[{', '.join(describe_type(item) for item in items)}]"
    is_sections = isinstance(items[0], type) and issubclass(items[0], Section)
    what = "tables" if is_sections else describe_type(items[0])
    least = next((mark.min_length for mark in _flat(metadata) if isinstance(mark, MinLen)), 0)
    return f"list of {what}" + (f", at least {least}" if least else "")


def _bounds(metadata: Sequence[object]) -> str:
    found = [
        f" {sign} {getattr(mark, name):g}"
        for kind, name, sign in _BOUNDS
        for mark in _flat(metadata)
        if isinstance(mark, kind)
    ]
    return ",".join(found)


def _flat(metadata: Sequence[object]) -> list[object]:
    """Return the marks; those of a field inside `Annotated` are found in the field."""
    return [inner for mark in metadata for inner in (mark.metadata if isinstance(mark, FieldInfo) else [mark])]


def _words(values: Sequence[object]) -> str:
    return " or ".join(f"`{_toml(value)}`" for value in values)


def _toml(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key} = {_toml(item)}' for key, item in value.items())}}}"
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    return repr(value)


def _one_line(text: str | None) -> str:
    """Return a docstring as one line, with its links to other pages."""
    line = " ".join((text or "").split())
    return re.sub(r"\b([a-z_]+\.md)\b", r"[\1](\1)", line)
