"""What the pages that finetext writes have in common."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from finetext.core import wording as figures


def render_page(template: str, context: Mapping[str, object]) -> str:
    """A template of this folder, filled in; whatever the data hold is escaped.

    Args:
        template: file name of the template.
        context: what it names; a name that is missing raises an error.

    Returns:
        HTML text.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for written in (
        figures.number,
        figures.signed,
        figures.ends,
        figures.p_value,
        figures.duration,
        figures.speed,
        figures.size,
        figures.start_and_rest,
        figures.capitalize_first,
        figures.rows_of,
    ):
        environment.filters[written.__name__] = written
    environment.filters["svg"] = Markup
    return environment.get_template(template).render(context)
