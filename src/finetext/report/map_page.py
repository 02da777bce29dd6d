"""A map of texts as one self-contained HTML page: dots that can be read, filtered and coloured."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from finetext.diagnosis.map import BETWEEN_LABELS, TextMap
from finetext.errors import RunError
from finetext.report.map_plots import density, labels_of
from finetext.report.page import render_page

COLOURS: Final = 10
_WIDTH: Final = 1000
_MARGIN: Final = 14


@dataclass(frozen=True)
class Mark:
    """A text on the page.

    Attributes:
        row: its row of the table, from 0.
        x: from the left, of 1,000.
        y: from the top.
        colour: number of its colour, from 1; 0 for the rarer labels.
        is_wrong: whether the prediction is not the true label.
    """

    row: int
    x: float
    y: float
    colour: int
    is_wrong: bool


def write_map_page(of: TextMap, path: Path) -> Path:
    """Write the page, whole or not at all.

    Raises:
        RunError: the file cannot be written.
    """
    from finetext.artefact.folder import write_text

    try:
        write_text(path, render_page("map_page.html.j2", _context(of)))
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}; choose another place") from None
    return path


def _context(of: TextMap) -> dict[str, object]:
    counts = Counter(name for names in labels_of(of) for name in names)
    seen = (name for named in of.predictions for name in named.split(BETWEEN_LABELS))
    ranked = list(dict.fromkeys([*(name for name, _ in counts.most_common()), *seen]))
    colours = {name: number for number, name in enumerate(ranked[:COLOURS], 1)}
    return {
        "map": of,
        "marks": _marks(of, colours),
        "legend": [(name, colours.get(name, 0), counts[name]) for name in ranked],
        "between": BETWEEN_LABELS,
        "size": (_WIDTH, round(_WIDTH * max(of.y) + 2 * _MARGIN)),
        "density": density(of),
        "wrong": sum(map(_differ, of.truths, of.predictions)),
    }


def _marks(of: TextMap, colours: dict[str, int]) -> list[Mark]:
    """The texts, those that are wrong last, so that they lie on top."""
    span, height = _WIDTH - 2 * _MARGIN, _WIDTH * max(of.y) + 2 * _MARGIN
    known = of.truths or of.predictions
    marks = [
        Mark(
            row,
            round(_MARGIN + span * of.x[row], 1),
            round(height - _MARGIN - span * of.y[row], 1),
            colours.get(known[row].split(BETWEEN_LABELS)[0], 0),
            _differ(known[row], of.predictions[row]),
        )
        for row in range(len(of.ids))
    ]
    return sorted(marks, key=lambda mark: mark.is_wrong)


def _differ(truth: str, prediction: str) -> bool:
    return truth != prediction
