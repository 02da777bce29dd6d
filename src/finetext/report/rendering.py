"""Shared rendering: tables for the terminal, lines of 80 characters, and pages from templates."""

from __future__ import annotations

import io
import math
import os
import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from finetext.core import wording
from finetext.core.display import html_text
from finetext.core.errors import RunError
from finetext.core.registry import load
from finetext.core.terminal import escaped, one_line
from finetext.core.types import Score
from finetext.storage.files import write_text

if TYPE_CHECKING:
    from jinja2 import Environment
    from rich.console import Console

WIDTH: Final = 80
Value = TypeVar("Value")


@dataclass(frozen=True)
class Cell:
    """A cell of a table: a text with a note, such as an interval, and the value to sort by."""

    text: str
    note: str = ""
    value: float | None = None

    def __str__(self) -> str:
        return f"{self.text} {self.note}".rstrip()

    @property
    def key(self) -> str:
        """The value for a page; nothing where it is undefined."""
        return "" if self.value is None or math.isnan(self.value) else str(self.value)


def count(number: int) -> Cell:
    """A cell with a number of things."""
    return Cell(f"{number:,}", value=number)


def share(value: float | None) -> Cell:
    """A cell with a percentage."""
    return Cell("" if value is None else f"{value:.1%}", value=value)


def score(of: Score | None, written: str = ".3f") -> Cell:
    """A cell with a score, its interval as the note; "+.3f" writes a difference."""
    if of is None:
        return Cell("-")
    text = "-" if math.isnan(of.value) else f"{of.value:{written}}"
    return Cell(text, wording.ends(of, written), of.value)


@dataclass(frozen=True)
class Table:
    """A table for terminal and page alike; the first cell of a row is its name."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]


def aligned(rows: Sequence[Sequence[str]], left: int = 1, gap: str = "  ") -> list[str]:
    """Return lines with aligned columns, the first `left` of them to the left; cells escaped."""
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        gap.join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def table_lines(table: Table) -> list[str]:
    """Return a table as plain lines, without its caption."""
    return aligned([list(table.header), *(list(map(str, row)) for row in table.rows)])


def terminal_width() -> int:
    """Return the columns of the terminal; 80 where there is none."""
    return shutil.get_terminal_size((WIDTH, 24)).columns


def printed(show: Callable[[Console], None]) -> str:
    """Return what `show` prints on a console of the width of the terminal, without color."""
    from finetext.core.styled import Console

    written = io.StringIO()
    is_text = {"color_system": None, "force_jupyter": False}  # else a notebook shows it at once
    show(Console(file=written, width=terminal_width(), **is_text))
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())


def table_html(table: Table) -> str:
    """Return a table as HTML for a notebook, which styles it."""
    row = "<tr>{}</tr>".format
    head = row("".join(f"<th>{html_text(name)}</th>" for name in table.header))
    body = "".join(
        row("".join(f"<td>{html_text(cell)}</td>" for cell in cells)) for cells in table.rows
    )
    return f"<table><caption>{html_text(table.caption)}</caption>{head}{body}</table>"


def blocks(length: float) -> str:
    """Return a bar of that many characters, to an eighth of a character."""
    eighths = round(8 * length)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def wrapped(text: str, indent: str = "", most: int | None = None, hang: str = "") -> list[str]:
    """Break a text at 80 characters, into at most that many lines; `hang` follows the indent."""
    wrapper = textwrap.TextWrapper(WIDTH, indent, indent + hang, break_on_hyphens=False)
    wrapper.max_lines, wrapper.placeholder = most, " …"
    return wrapper.wrap(text)


def evenly(values: Sequence[Value], most: int) -> list[Value]:
    """Return at most that many of the values, evenly spaced, with the first and the last."""
    if len(values) <= most:
        return list(values)
    return [values[round(n * (len(values) - 1) / (most - 1))] for n in range(most)]


def metric_title(name: str, positive: str | None = None) -> str:
    """Return the name of a metric as people write it, with the class of two that it is about.

    `positive` is that class, which only the name of a metric of one class says.
    """
    metric = load("metrics", name)
    is_named = positive is not None and metric.of_positive_class
    return f"{metric.title} of “{positive}”" if is_named else metric.title


def without_middle(name: str, longest: int) -> str:
    """Cut the middle of a long name: names of methods often differ at the end."""
    tail = longest // 2
    return name if len(name) <= longest else f"{name[: longest - 1 - tail]}…{name[-tail:]}"


def render_page(template: str, context: Mapping[str, object]) -> str:
    """Return a template of this folder as HTML, filled in; whatever the data hold is escaped."""
    return _environment().get_template(template).render(context)


@cache
def _environment() -> Environment:
    # Kept: it compiles each template once.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= vars(wording) | {"svg": Markup, "metric_title": metric_title}
    return environment


def _shown(value: object) -> object:
    """Return a value for a page: texts escaped, markup of templates as it is."""
    return value if hasattr(value, "__html__") or not isinstance(value, str) else escaped(value)


def write_page(path: str | Path, page: str) -> Path:
    """Write a page completely and return its path, or raise a RunError."""
    try:
        write_text(Path(os.path.realpath(path)), page)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}; choose another place") from None
    return Path(path)
