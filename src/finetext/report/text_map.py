"""The map of texts: a scatter with a text to read at each mark, and the density of each label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from finetext.core.arrays import Floats
from finetext.core.wording import short
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
MOST_PANELS: Final = 30
ALL_TEXTS: Final = "all texts"
"""The only label of texts without labels."""
_NAMED: Final = 12
_TITLE_LETTERS: Final = 26
_LINE_HEIGHT: Final = 0.16
_LETTERS_PER_INCH: Final = 15
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
    """A map as a page shows it.

    `labels` are the true ones, or predictions where those are unknown, or "all texts".
    """

    map: TextMap
    labels: Sequence[str]
    legend: Sequence[tuple[str, int, int]]
    dots: Sequence[Dot]
    size: tuple[int, int]
    wrong: int

    @property
    def headline(self) -> str:
        """How many of the texts are predicted wrong, or how many there are."""
        texts = self.map.counted()
        if not self.is_judged:
            return f"{texts}, similar ones close together"
        return f"{self.map.method} is wrong on {self.wrong:,} of {texts} on the map"

    @property
    def is_judged(self) -> bool:
        """Whether there are truths and predictions to compare."""
        return bool(self.map.truths and self.map.predictions)

    @property
    def left_out(self) -> str:
        """Which labels have no panel in the picture of densities, all by name; "" if all do."""
        return left_out_sentence(self.map, len(self.legend), longest=80)


def map_view(of: TextMap, most: int | None = None) -> MapView:
    """Scale the map to its figure, with all texts or that many, evenly spaced."""
    labels, legend = _labels(of), _legend(of)
    x, y = np.asarray(of.x), np.asarray(of.y)
    scale = (WIDTH - 2 * _MARGIN) / max(float(np.ptp(x)), float(np.ptp(y)), 1e-12)
    across = np.round(_MARGIN + (x - x.min()) * scale, 1).tolist()
    down = np.round(_MARGIN + (y.max() - y) * scale, 1).tolist()
    colors = {name: color for name, color, _ in legend}
    wrong = [label != given for label, given in zip(labels, of.predictions or labels, strict=True)]
    first = [colors[of.separate(label)[0]] for label in labels]
    every = list(map(Dot, range(len(of.ids)), across, down, first, wrong))
    dots = sorted(evenly(every, most or len(every)), key=lambda dot: dot.is_wrong)
    size = (WIDTH, round(float(np.ptp(y)) * scale + 2 * _MARGIN))
    return MapView(of, labels, legend, dots, size, sum(wrong))


def _labels(of: TextMap) -> Sequence[str]:
    return of.truths or of.predictions or (ALL_TEXTS,) * len(of.ids)


def _legend(of: TextMap) -> list[tuple[str, int, int]]:
    counts = Counter(name for named in _labels(of) for name in of.separate(named))
    given = (name for named in of.predictions for name in of.separate(named))
    places = enumerate(dict.fromkeys([*(name for name, _ in counts.most_common()), *given]), 1)
    return [(name, place if place <= COLORS else 0, counts[name]) for place, name in places]


def left_out_sentence(of: TextMap, most: int = _NAMED, longest: int = 24) -> str:
    """Return which labels have no panel, `most` by name; "" if all labels have one."""
    names = [name for name, _ in _by_frequency(of)]
    if not (out := names[MOST_PANELS:]):
        return ""
    more = f" and {len(out) - most:,} more" if len(out) > most else ""
    return (
        f"The {MOST_PANELS} most frequent of {len(names):,} labels have a panel; left out: "
        f"{', '.join(short(name, longest) for name in out[:most])}{more}."
    )


def write_map_page(of: TextMap, path: Path) -> Path:
    """Write the page, and return its path; see `write_page`."""
    between = BETWEEN_LABELS if of.multilabel else ""
    context = {"view": map_view(of), "map": of, "density": density(of), "between": between}
    return write_page(path, render_page("map_page.html.j2", context))


def density(of: TextMap, is_alone: bool = False) -> str:
    """Return a panel per label as SVG: its texts as hexagons, darker where there are more.

    A picture that stands alone also says which texts are drawn, as a page does.
    """
    panels = _Panels.of(of, is_alone)
    return svg("map", panels.size, lambda figure: panels.draw(figure, INK, SERIES[0]))


def plot_density(of: TextMap, out: str | Path | None = None) -> Figure:
    """Return a figure with a panel per label, which notebooks display; see `plots.picture`."""
    panels, colors = _Panels.of(of, is_alone=True), (LIGHT_INK, LIGHT_SERIES[0])
    return picture(lambda figure: panels.draw(figure, *colors), panels.size, out)


def write_density(of: TextMap, path: Path) -> Path:
    """Write the picture as .svg, in the colors of its viewer, or as .png, which is light."""
    if path.suffix.lower() == ".svg":
        names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        head, drawn = density(of, is_alone=True).split(">", 1)
        return write_page(path, f"{head.replace('<svg', f'<svg {names}')}>{_STANDALONE}{drawn}")
    plot_density(of, path)
    return path


def _by_frequency(of: TextMap) -> list[tuple[str, int]]:
    return [(name, texts) for name, _, texts in _legend(of) if texts]


def _title(name: str, texts: int) -> str:
    """Return the title of a panel in one or two lines."""
    return fill(f"{short(name, 2 * _TITLE_LETTERS - 10)} ({texts:,})", _TITLE_LETTERS)


@dataclass(frozen=True)
class _Panels:
    """A picture of densities: its map, labels, columns, inches, and lines above and below."""

    map: TextMap
    shown: Sequence[tuple[str, int]]
    columns: int
    size: tuple[float, float]
    above: str
    below: str

    @classmethod
    def of(cls, of: TextMap, is_alone: bool) -> _Panels:
        shown = _by_frequency(of)[:MOST_PANELS]
        columns = 3 if len(shown) in (5, 6, 9) else min(4, len(shown))
        side = 2.1 if columns > 2 else 2.9
        above = below = ""
        if is_alone:
            letters = max(30, round(_LETTERS_PER_INCH * columns * side))
            has_labels = of.truths or of.predictions
            meaning = "more texts of the label; gray: other texts" if has_labels else "more texts"
            said = f"{of.drawn}. UMAP of {of.source}. Stronger color: {meaning}."
            above = fill(said, letters)
            below = fill(left_out_sentence(of), letters)
        height = side * max(0.35, max(of.y) / max(max(of.x), 1e-9)) + 0.35
        height += _LINE_HEIGHT * any("\n" in _title(*label) for label in shown)
        lines = sum(text.count("\n") + 2 for text in (above, below) if text)
        inches = (columns * side, -(-len(shown) // columns) * height + _LINE_HEIGHT * lines)
        return cls(of, shown, columns, inches, above, below)

    def draw(self, figure: Figure, ink: str, color: str) -> None:
        labels, rows = _labels(self.map), -(-len(self.shown) // self.columns)
        x, y = np.array(self.map.x), np.array(self.map.y)
        figure.get_layout_engine().set(w_pad=0.12)  # type: ignore[union-attr,call-arg]
        panels = figure.subplots(rows, self.columns, squeeze=False).ravel()
        for panel, (name, texts) in zip(panels, self.shown, strict=False):
            own = np.array([name in self.map.separate(named) for named in labels])
            _hexagons(panel, x, y, ink, (0.07, 0.07))
            _hexagons(panel, x[own], y[own], color, (0.25, 1.0))
            panel.set_title(_title(name, texts), loc="left", size=9, color=ink)
        for panel in panels:
            panel.set(aspect="equal", xlim=(-0.02, x.max() + 0.02), ylim=(-0.02, y.max() + 0.02))
            panel.set_axis_off()
        if self.above:
            figure.suptitle(self.above, x=0.01, ha="left", size=9, color=ink)
        if self.below:
            figure.supxlabel(self.below, x=0.01, ha="left", size=8, color=ink)


def _hexagons(axes: Axes, x: Floats, y: Floats, color: str, strength: tuple[float, float]) -> None:
    from matplotlib.colors import to_rgba

    shape = (_HEXAGONS, max(2, round(_HEXAGONS / 3**0.5)))
    drawn: Any = axes.hexbin(x, y, gridsize=shape, extent=(0, 1, 0, 1), mincnt=1, linewidths=0)
    counts, (low, high) = np.asarray(drawn.get_array(), dtype=np.float64), strength
    shares = low + (high - low) * counts / counts.max(initial=1)
    drawn.set_array(None)
    drawn.set(facecolor=[to_rgba(color, share) for share in shares], edgecolor="none")
