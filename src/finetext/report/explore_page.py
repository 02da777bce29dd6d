"""An exploration as one self-contained HTML page: tables, with a plot beside each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from finetext.data.explore import Exploration
from finetext.errors import RunError
from finetext.report import plots
from finetext.report.page import render_page


def write_explore_page(exploration: Exploration, path: str | Path) -> Path:
    """Write the page, whole or not at all.

    Args:
        exploration: what `finetext.data.explore.explore` gave.
        path: the file to write; one that is there is replaced.

    Returns:
        the path.

    Raises:
        RunError: the file cannot be written.
    """
    from finetext.artefact.folder import write_text

    path = Path(path)
    page = render(exploration)
    try:
        write_text(path, page)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}; choose another place") from None
    return path


def render(exploration: Exploration) -> str:
    """The page as HTML text."""
    return render_page("explore_page.html.j2", _context(exploration))


def _context(exploration: Exploration) -> dict[str, Any]:
    lengths = [each for each in (exploration.words, exploration.pieces) if each is not None]
    classes = exploration.classes
    return {
        "data": exploration,
        "total": sum(exploration.rows.values()),
        "class_plot": plots.class_bars(_shares(exploration)) if classes else "",
        "lengths": [(each, plots.length_boxes(each, key)) for key, each in enumerate(lengths)],
        "most_bars": plots.MOST_BARS,
    }


def _shares(exploration: Exploration) -> dict[str, dict[str, float]]:
    """Part -> class -> share of its rows."""
    return {
        part: {name: counts[part] / max(rows, 1) for name, counts in exploration.classes.items()}
        for part, rows in exploration.rows.items()
    }
