"""The report of a run: one HTML file that needs nothing beside it, not even a network."""

from __future__ import annotations

from pathlib import Path

from finetext.report.context import context_of
from finetext.report.data import ReportData
from finetext.report.page import render_page
from finetext.storage.files import write_text


def write_report(data: ReportData, path: str | Path) -> Path:
    """Write the report, whole or not at all.

    Args:
        data: what to say.
        path: the HTML file; one that is there is replaced.

    Returns:
        the path.
    """
    path = Path(path)
    write_text(path, render(data))
    return path


def render(data: ReportData) -> str:
    """The report as HTML text."""
    return render_page("page.html.j2", context_of(data))
