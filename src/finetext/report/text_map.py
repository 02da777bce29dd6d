"""The picture of a map of texts: how densely the texts of each label lie where."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from finetext.core.errors import RunError
from finetext.core.wording import short
from finetext.diagnosis.text_map import BETWEEN_LABELS, TextMap
from finetext.report.page import render_page
from finetext.report.plots import INK, SERIES, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from finetext.core.arrays import Floats


MOST_PANELS: Final = 30
_COLUMNS: Final = 4
_ACROSS: Final = 26
_FAINTEST: Final = 0.25
_LONGEST_TITLE: Final = 19
"""Characters of a label over its panel, beside which its number has room."""
_LIGHT: Final = ("#1b1f24", "#2563a8")
"""Ink and hexagons of the PNG, which cannot take the colours of a page."""
_STANDALONE: Final = (
    "<style>svg{color:#1b1f24;background:#fff;--series-1:#2563a8;--line:#d5dae0;--font:sans-serif}"
    "@media(prefers-color-scheme:dark){svg{color:#e4e8ec;background:#15181c;--series-1:#6ea8e8;"
    "--line:#39414a}}</style>"
)


def labels_of(of: TextMap) -> list[tuple[str, ...]]:
    """The labels of each text: the true ones, or those it gets where these are not known."""
    return [tuple(named.split(BETWEEN_LABELS)) for named in of.truths or of.predictions]


def density(of: TextMap, key: str = "map") -> str:
    """A panel a label: its texts as hexagons, the darker the more of them; SVG for a page.

    Args:
        of: the map.
        key: what makes this figure's element names unique in the page.
    """
    return svg(key, _size(of), lambda figure: _draw(figure, of, INK, SERIES[0]))


def write_density(of: TextMap, path: Path) -> Path:
    """Write the picture as .svg, which is light or dark as its viewer, or .png, which is light.

    Raises:
        RunError: the file cannot be written.
    """
    from finetext.storage.files import put_in_place, write_text

    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        if path.suffix == ".svg":
            names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
            opening = re.compile(r"<svg([^>]*)>")
            write_text(path, opening.sub(rf"<svg {names}\1>{_STANDALONE}", density(of), count=1))
        else:
            _write_png(of, unfinished)
            put_in_place(unfinished, path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise RunError(f"cannot write {path}: {error.strerror}; choose another place") from None
    return path


def _write_png(of: TextMap, path: Path) -> None:
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context({"font.size": 9.5, "text.parse_math": False}):
        figure = Figure(figsize=_size(of), layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        _draw(figure, of, *_LIGHT)
        figure.savefig(path, format="png", dpi=160)


def _shown(of: TextMap) -> list[tuple[str, int]]:
    """The most frequent labels, with the number of their texts."""
    return Counter(name for names in labels_of(of) for name in names).most_common(MOST_PANELS)


def _size(of: TextMap) -> tuple[float, float]:
    panels = len(_shown(of))
    columns = min(_COLUMNS, panels)
    side = 2.1 if columns > 2 else 2.9
    height = side * max(0.35, max(of.y) / max(max(of.x), 1e-9))
    return columns * side, -(-panels // columns) * (height + 0.35)


def _draw(figure: Figure, of: TextMap, ink: str, colour: str) -> None:
    shown, labels = _shown(of), labels_of(of)
    columns = min(_COLUMNS, len(shown))
    x, y = np.array(of.x), np.array(of.y)
    figure.get_layout_engine().set(w_pad=0.12)  # type: ignore[union-attr,call-arg]
    panels = figure.subplots(-(-len(shown) // columns), columns, squeeze=False).ravel()
    for panel, (name, texts) in zip(panels, shown, strict=False):
        own = np.array([name in names for names in labels])
        _hexagons(panel, x, y, ink, (0.07, 0.07))
        _hexagons(panel, x[own], y[own], colour, (_FAINTEST, 1.0))
        panel.set_title(f"{short(name, _LONGEST_TITLE)} ({texts:,})", loc="left", size=9, color=ink)
    for panel in panels:
        panel.set(aspect="equal", xlim=(-0.02, x.max() + 0.02), ylim=(-0.02, y.max() + 0.02))
        panel.set_axis_off()


def _hexagons(axes: Axes, x: Floats, y: Floats, colour: str, strength: tuple[float, float]) -> None:
    """Hexagons where there are texts, from the fainter to the stronger by their number."""
    from matplotlib.colors import to_rgba

    down = max(2, round(_ACROSS / 3**0.5))
    drawn: Any = axes.hexbin(
        x, y, gridsize=(_ACROSS, down), extent=(0, 1, 0, 1), mincnt=1, linewidths=0
    )
    counts = np.asarray(drawn.get_array(), dtype=np.float64)
    low, high = strength
    shares = low + (high - low) * counts / counts.max(initial=1)
    drawn.set_array(None)
    drawn.set(facecolor=[to_rgba(colour, share) for share in shares], edgecolor="none")


COLOURS: Final = 10
MOST_DOTS: Final = 2000
WIDTH: Final = 1000
HEIGHT: Final = 680
_MARGIN: Final = 16


@dataclass(frozen=True)
class Dot:
    """A text.

    Attributes:
        row: its place in the map.
        x: from the left, of `WIDTH`.
        y: from the top, of `HEIGHT`.
        colour: number of the colour of its label, from 1; 0 for the rarer labels.
        is_wrong: whether the prediction is another.
    """

    row: int
    x: int
    y: int
    colour: int
    is_wrong: bool


@dataclass(frozen=True)
class MapView:
    """What the page draws of a map.

    Attributes:
        map: the map.
        dots: all texts, or evenly chosen ones of more than 2,000; wrong ones are last, so on top.
        legend: each label with a colour of its own, the most frequent first.
        others: number of labels that share a colour.
        labels: of each text of the map, that which gives the colour: the true one if it is known,
            or else the one that it gets.
    """

    map: TextMap
    dots: Sequence[Dot]
    legend: Sequence[str]
    others: int
    labels: Sequence[str]


def map_view(of: TextMap) -> MapView:
    """Scale the map to the figure and give the most frequent labels a colour each."""
    labels = of.truths or of.predictions
    counts = Counter(labels)
    ranked = [name for name, _ in counts.most_common()]
    legend = ranked if len(ranked) <= COLOURS else ranked[: COLOURS - 1]
    colours = {name: number for number, name in enumerate(legend, 1)}
    chosen = np.unique(np.linspace(0, len(of.ids) - 1, min(MOST_DOTS, len(of.ids))).astype(int))
    x, y = _scaled(of.x, WIDTH), HEIGHT - _scaled(of.y, HEIGHT)
    dots = [
        Dot(i, int(x[i]), int(y[i]), colours.get(labels[i], 0), labels[i] != of.predictions[i])
        for i in chosen.tolist()
    ]
    dots.sort(key=lambda dot: dot.is_wrong)
    return MapView(of, dots, legend, len(ranked) - len(legend), labels)


def _scaled(values: Sequence[float], length: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Coordinates so that all lie within the margins of an edge of the figure."""
    raw = np.asarray(values, dtype=np.float64)
    low, span = raw.min(), max(float(np.ptp(raw)), 1e-12)
    return np.asarray(_MARGIN + (raw - low) / span * (length - 2 * _MARGIN))


_WIDTH: Final = 1000
_PAGE_MARGIN: Final = 14


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
    from finetext.storage.files import write_text

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
        "size": (_WIDTH, round(_WIDTH * max(of.y) + 2 * _PAGE_MARGIN)),
        "density": density(of),
        "wrong": sum(map(_differ, of.truths, of.predictions)),
    }


def _marks(of: TextMap, colours: dict[str, int]) -> list[Mark]:
    """The texts, those that are wrong last, so that they lie on top."""
    span, height = _WIDTH - 2 * _PAGE_MARGIN, _WIDTH * max(of.y) + 2 * _PAGE_MARGIN
    known = of.truths or of.predictions
    marks = [
        Mark(
            row,
            round(_PAGE_MARGIN + span * of.x[row], 1),
            round(height - _PAGE_MARGIN - span * of.y[row], 1),
            colours.get(known[row].split(BETWEEN_LABELS)[0], 0),
            _differ(known[row], of.predictions[row]),
        )
        for row in range(len(of.ids))
    ]
    return sorted(marks, key=lambda mark: mark.is_wrong)


def _differ(truth: str, prediction: str) -> bool:
    return truth != prediction
