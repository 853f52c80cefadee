"""Render the project's Jinja templates."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from driver.names import fixed, language_name, percent, points, signed_points, strict_percent

_FILTERS = (fixed, language_name, percent, points, signed_points, strict_percent)


def render(template: Path, **facts: object) -> str:
    """Return `template` filled in with `facts`; other templates in its folder can be included and imported.

    In templates named *.html.jinja every value is escaped, unless it is `markupsafe.Markup`. A fact that a template
    names and that is missing is an error.

    Raises:
        jinja2.UndefinedError: `facts`, or an object in them, lack a name that the template uses.
    """
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        autoescape=select_autoescape(("html.jinja",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update({write.__name__: write for write in _FILTERS})
    return environment.get_template(template.name).render(**facts)
