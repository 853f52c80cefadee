"""Write chosen values of config keys as a TOML file with a comment for each reason."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field

from contracts.config.keys import sections
from contracts.config.layers import EXTENDS
from contracts.config.load import toml_value

_COMMENT_AT = 40  # column


@dataclass(kw_only=True)
class Choices:
    """Hold values by dotted key, in order, and why they were chosen."""

    title: str
    extends: str = ""  # path of the config that the values change; empty: of none
    values: dict[str, object] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    fixed: frozenset[str] = frozenset()  # keys whose values the user gives

    def fix(self, values: Mapping[str, object]) -> None:
        """Set values that no later choice changes."""
        self.values |= values
        self.why |= dict.fromkeys(values, "as given")
        self.fixed |= frozenset(values)

    def put(self, key: str, value: object, *, why: str = "") -> None:
        """Set a value; the reason is written behind it. A key that the user gives stays."""
        if key in self.fixed:
            return
        self.values[key] = value
        if why:
            self.why[key] = why

    def say(self, key: str, why: str) -> None:
        """Write a reason behind a key."""
        self.why[key] = why

    def __getitem__(self, key: str) -> object:
        return self.values[key]

    def copy(self) -> "Choices":
        """Return a copy that later choices don't change."""
        return deepcopy(self)

    def restore(self, before: "Choices") -> None:
        """Go back to what `copy` returned."""
        self.values, self.why = dict(before.values), dict(before.why)


def config_text(choices: Choices) -> str:
    """Return the choices as TOML, section by section in the order of the config."""
    lines = [f"# {choices.title}"]
    lines += [f"{EXTENDS} = {toml_value(choices.extends)}"] if choices.extends else []
    for section in sections():
        own = {key: value for key, value in choices.values.items() if key.rpartition(".")[0] == section}
        if own:
            lines += ["", f"[{section}]", *(_line(key, value, choices.why.get(key, "")) for key, value in own.items())]
    return "\n".join(lines) + "\n"


def _line(key: str, value: object, why: str) -> str:
    text = f"{key.rpartition('.')[2]} = {toml_value(value)}"
    return f"{text:<{_COMMENT_AT}} # {why}" if why else text
