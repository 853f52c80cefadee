"""What a chat template is given beside the chat: the arguments of the config, and the date of the run.

A template may ask for the date in two ways: it calls `strftime_now`, or it writes the argument `date_string`. Both get
the run's date, so that prompts don't change at midnight. A template that sets a `date_string` of its own where none is
given keeps it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from contracts.config.run import RunConfig
from contracts.config.workers import EngineConfig

_CLOCK = "strftime_now"
_DATE = "date_string"
_DATE_FORMAT = "%d %b %Y"  # as templates that call the clock write it


@dataclass(frozen=True, kw_only=True)
class TemplateInputs:
    """Hold what a config gives to a model's chat template."""

    arguments: Mapping[str, object] = field(default_factory=dict)
    day: date | None = None  # None: the clock's

    @classmethod
    def of(cls, engine: EngineConfig, run: RunConfig) -> "TemplateInputs":
        """Return the inputs of an engine's template; a date that is still "auto" is the clock's."""
        return cls(arguments=engine.chat_template_arguments, day=None if run.date == "auto" else run.date)


@dataclass(frozen=True, kw_only=True)
class TemplateFacts:
    """Hold what the text of a template says about itself."""

    names: frozenset[str] = frozenset()  # that it reads
    sets_date: bool = False  # it has a date of its own where it is given none

    @classmethod
    def of(cls, text: str) -> "TemplateFacts":
        """Read a template without running it; of one that can't be read nothing is known."""
        environment = ImmutableSandboxedEnvironment(extensions=[loopcontrols, _Generation])
        try:
            names = [(name.name, name.ctx) for name in environment.parse(text).find_all(nodes.Name)]
        except (TemplateError, RecursionError, ValueError):  # rendering says what is wrong with it
            return cls()
        # Jinja's own list of names generates code for it, which computes constants: a template's author could make that
        # take for ever.
        return cls(
            names=frozenset(name for name, context in names if context == "load"), sets_date=(_DATE, "store") in names
        )

    @property
    def uses_date(self) -> bool:
        """Return whether another date gives another text."""
        return _CLOCK in self.names or self.wants_date

    @property
    def wants_date(self) -> bool:
        """Return whether the date has to be given as an argument."""
        return _DATE in self.names and not self.sets_date

    def unknown(self, arguments: Mapping[str, object]) -> tuple[str, ...]:
        """Return the names of arguments that the template does not read."""
        return tuple(name for name in arguments if self.names and name not in self.names)

    def given(self, inputs: TemplateInputs) -> dict[str, object]:
        """Return the arguments with which the template is rendered, beside the chat."""
        day = inputs.day or date.today()
        clock = {_CLOCK: datetime.combine(day, time()).strftime} if inputs.day is not None else {}
        dated = {_DATE: day.strftime(_DATE_FORMAT)} if self.wants_date else {}
        return {**clock, **dated, **inputs.arguments}


class _Generation(Extension):
    """Read the tag `generation` around an assistant's words, which transformers adds to Jinja."""

    tags = {"generation"}  # noqa: RUF012 - as Jinja declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Return what is inside the tag."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)
