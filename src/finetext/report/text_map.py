"""The map of texts: a scatter with a text to read at each mark, and the density of each label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from finetext.core.arrays import Floats
from finetext.core.wording import counted, short
from finetext.diagnosis.text_map import BETWEEN_LABELS, TextMap
from finetext.report.plots import INK, LIGHT_INK, LIGHT_SERIES, SERIES, picture, svg
from finetext.report.rendering import evenly, render_page, write_page

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS: Final = 10
MOST_DOTS: Final = 2000
WIDTH: Final = 1000
_MARGIN: Final = 14
_COLUMNS: Final = 4
_HEXAGONS: Final = 26
_STANDALONE: Final = (
    "<style>svg{color:#1b1f24;background:#fff;--series-1:#2563a8;--line:#d5dae0;--font:sans-serif}"
    "@media(prefers-color-scheme:dark){svg{color:#e4e8ec;background:#15181c;--series-1:#6ea8e8;"
    "--line:#39414a}}</style>"
)


@dataclass(frozen=True)
class Dot:
    """A text of the map, placed from the left and the top; the rarer labels have color 0."""

    row: int
    x: float
    y: float
    color: int
    is_wrong: bool


@dataclass(frozen=True)
class MapView:
    """A map as a page shows it, with the true labels, or predictions where those are unknown."""

    map: TextMap
    labels: Sequence[str]
    legend: Sequence[tuple[str, int, int]]
    dots: Sequence[Dot]
    size: tuple[int, int]
    wrong: int

    @property
    def headline(self) -> str:
        """How many of the texts are predicted wrong, or how many there are."""
        texts = counted(len(self.map.ids), "text")
        if not self.map.truths:
            return f"{texts}, similar ones close together"
        return f"{self.map.method} is wrong on {self.wrong:,} of {texts} on the map"


def map_view(of: TextMap, most: int | None = None) -> MapView:
    """Scale the map to its figure, with all texts or that many, evenly spaced."""
    labels, legend = of.truths or of.predictions, _legend(of)
    x, y = np.asarray(of.x), np.asarray(of.y)
    scale = (WIDTH - 2 * _MARGIN) / max(float(np.ptp(x)), float(np.ptp(y)), 1e-12)
    across = np.round(_MARGIN + (x - x.min()) * scale, 1).tolist()
    down = np.round(_MARGIN + (y.max() - y) * scale, 1).tolist()
    colors = {name: color for name, color, _ in legend}
    wrong = [label != given for label, given in zip(labels, of.predictions, strict=True)]
    first = [colors[label.split(BETWEEN_LABELS)[0]] for label in labels]
    every = list(map(Dot, range(len(of.ids)), across, down, first, wrong))
    dots = sorted(evenly(every, most or len(every)), key=lambda dot: dot.is_wrong)
    size = (WIDTH, round(float(np.ptp(y)) * scale + 2 * _MARGIN))
    return MapView(of, labels, legend, dots, size, sum(wrong))


def _legend(of: TextMap) -> list[tuple[str, int, int]]:
    labels = of.truths or of.predictions
    counts = Counter(name for named in labels for name in named.split(BETWEEN_LABELS))
    given = (name for named in of.predictions for name in named.split(BETWEEN_LABELS))
    places = enumerate(dict.fromkeys([*(name for name, _ in counts.most_common()), *given]), 1)
    return [(name, place if place <= COLORS else 0, counts[name]) for place, name in places]


def write_map_page(of: TextMap, path: Path) -> Path:
    """Write the page, and return its path; see `write_page`."""
    context = {"view": map_view(of), "map": of, "density": density(of), "between": BETWEEN_LABELS}
    return write_page(path, render_page("map_page.html.j2", context))


def density(of: TextMap) -> str:
    """Return a panel per label as SVG: its texts as hexagons, darker where there are more."""
    return svg("map", _panel_size(of), lambda figure: _draw(figure, of, INK, SERIES[0]))


def plot_density(of: TextMap, out: str | Path | None = None) -> Figure:
    """Return a figure with a panel per label, which notebooks display; see `plots.picture`."""
    colors = (LIGHT_INK, LIGHT_SERIES[0])
    return picture(lambda figure: _draw(figure, of, *colors), _panel_size(of), out)


def write_density(of: TextMap, path: Path) -> Path:
    """Write the picture as .svg, in the colors of its viewer, or as .png, which is light."""
    if path.suffix == ".svg":
        names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        head, drawn = density(of).split(">", 1)
        return write_page(path, f"{head.replace('<svg', f'<svg {names}')}>{_STANDALONE}{drawn}")
    plot_density(of, path)
    return path


def _frequent(of: TextMap) -> list[tuple[str, int]]:
    return [(name, texts) for name, _, texts in _legend(of) if texts][:30]


def _panel_size(of: TextMap) -> tuple[float, float]:
    panels = len(_frequent(of))
    columns = min(_COLUMNS, panels)
    side = 2.1 if columns > 2 else 2.9
    height = side * max(0.35, max(of.y) / max(max(of.x), 1e-9))
    return columns * side, -(-panels // columns) * (height + 0.35)


def _draw(figure: Figure, of: TextMap, ink: str, color: str) -> None:
    shown, labels = _frequent(of), of.truths or of.predictions
    columns = min(_COLUMNS, len(shown))
    x, y = np.array(of.x), np.array(of.y)
    figure.get_layout_engine().set(w_pad=0.12)  # type: ignore[union-attr,call-arg]
    panels = figure.subplots(-(-len(shown) // columns), columns, squeeze=False).ravel()
    for panel, (name, texts) in zip(panels, shown, strict=False):
        own = np.array([name in named.split(BETWEEN_LABELS) for named in labels])
        _hexagons(panel, x, y, ink, (0.07, 0.07))
        _hexagons(panel, x[own], y[own], color, (0.25, 1.0))
        panel.set_title(f"{short(name, 19)} ({texts:,})", loc="left", size=9, color=ink)
    for panel in panels:
        panel.set(aspect="equal", xlim=(-0.02, x.max() + 0.02), ylim=(-0.02, y.max() + 0.02))
        panel.set_axis_off()


def _hexagons(axes: Axes, x: Floats, y: Floats, color: str, strength: tuple[float, float]) -> None:
    from matplotlib.colors import to_rgba

    shape = (_HEXAGONS, max(2, round(_HEXAGONS / 3**0.5)))
    drawn: Any = axes.hexbin(x, y, gridsize=shape, extent=(0, 1, 0, 1), mincnt=1, linewidths=0)
    counts, (low, high) = np.asarray(drawn.get_array(), dtype=np.float64), strength
    shares = low + (high - low) * counts / counts.max(initial=1)
    drawn.set_array(None)
    drawn.set(facecolor=[to_rgba(color, share) for share in shares], edgecolor="none")
