"""Figures in marker colors, which CSS variables of a page replace, and pictures as files."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from finetext.core.errors import DataError
from finetext.core.registry import load
from finetext.core.terminal import escaped
from finetext.core.types import Score
from finetext.core.wording import short
from finetext.diagnosis.explore import Lengths
from finetext.diagnosis.slices import Slice
from finetext.evaluation.agreement import Agreement
from finetext.evaluation.calibration import Reliability
from finetext.evaluation.deciding import Selective
from finetext.evaluation.intervals import LabelScores
from finetext.evaluation.leaderboard import LeaderboardEntry
from finetext.report.rendering import metric_title
from finetext.storage.files import output_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS: Final = (".png", ".svg")
MOST_BARS: Final = 30
MOST_SLICES: Final = 15
MOST_CELLS_WITH_NUMBERS: Final = 20
_REM_PER_INCH: Final = 6.8
INK: Final = "#010203"
_GRID: Final = "#010204"
_ON_ACCENT: Final = "#010205"
SERIES: Final = tuple(f"#0102{number}" for number in range(11, 21))
_CSS: Final = {INK: "currentColor", _GRID: "var(--line)", _ON_ACCENT: "var(--on-accent)"} | {
    color: f"var(--series-{i})" for i, color in enumerate(SERIES, 1)
}
LIGHT_INK: Final = "#1b1f24"
LIGHT_SERIES: Final = ("#2563a8", "#c25e00", "#2a7d4f", "#8a3ffc", "#b0264f", "#7a5c00", "#6b7785")
"""Ink and colors of pictures, which cannot take those of a page."""


class Colors(NamedTuple):
    """The colors of a figure of one series: text, fill, and text on the fill."""

    ink: str
    series: str
    on_accent: str


PAGE: Final = Colors(INK, SERIES[0], _ON_ACCENT)
LIGHT: Final = Colors(LIGHT_INK, LIGHT_SERIES[0], "white")
_STYLE: Final = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.linewidth": 0.6,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
}


@contextmanager
def _figure(
    key: str, inches: tuple[float, float], ink: str, grid: str, face: str
) -> Iterator[Figure]:
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    inked = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color")
    colors = dict.fromkeys(inked, ink) | {"axes.edgecolor": grid, "grid.color": grid}
    style: dict[Any, Any] = {"svg.hashsalt": key, **_STYLE, **colors}
    with rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=inches, layout="constrained", facecolor=face)
        FigureCanvasAgg(figure)
        yield figure


def svg(key: str, inches: tuple[float, float], draw: Callable[[Figure], None]) -> str:
    """Return a figure in `INK` and `SERIES` as SVG in the colors of the page, `key` in its ids."""
    with _figure(key, inches, INK, _GRID, "none") as figure:
        draw(figure)
        _escape_texts(figure)
        drawn = _laid_out(figure)
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"\s*<metadata>.*?</metadata>|<!--.*?-->", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{key}-", drawn)
    width = f"max-width: {inches[0] * _REM_PER_INCH:.1f}rem"
    opening = rf'<svg \1 style="{width}" aria-hidden="true">'
    drawn = re.sub(r'<svg[^>]*?(viewBox="[^"]*")[^>]*>', opening, drawn, count=1)
    drawn = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font: \1 var(--font)", drawn)
    for color, variable in _CSS.items():
        drawn = drawn.replace(color, variable)
    return re.sub(r"\n\s*", "\n", drawn)


def _escape_texts(figure: Figure) -> None:
    """Escape what XML cannot hold or would reorder; `short` does so for the labels of ticks."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        if isinstance(text, Text) and (shown := escaped(text.get_text())) != text.get_text():
            text.set_text(shown)


def _laid_out(figure: Figure) -> str:
    # By far the longest part of a report: most tests put a double in its place.
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", facecolor="none", metadata={"Date": None})
    return buffer.getvalue()


def _axes_svg(key: str, inches: tuple[float, float], draw: Callable[[Axes], None]) -> str:
    return svg(key, inches, lambda figure: draw(figure.subplots()))


def check_picture(path: Path) -> None:
    """Raise a `DataError` if a file name ends in neither .png nor .svg."""
    if path.suffix.lower() not in FORMATS:
        raise DataError(f"{path} cannot be drawn: the name must end in {' or '.join(FORMATS)}")


def write_picture(
    path: Path, draw: Callable[[Figure], None], inches: tuple[float, float] = (6.4, 4.0)
) -> Path:
    """Draw a light picture as .png or .svg completely, or raise a DataError."""
    picture(draw, inches, path)
    return path


def picture(
    draw: Callable[[Figure], None],
    inches: tuple[float, float] = (6.4, 4.0),
    out: str | Path | None = None,
) -> Figure:
    """Return a light figure, which notebooks display; with `out` write it, or raise a DataError."""
    path = None if out is None else Path(out)
    if path is not None:
        check_picture(path)
    with _figure("picture", inches, LIGHT_INK, "#d5dae0", "white") as figure:
        draw(figure)
        _escape_texts(figure)
        if path is not None:
            _save(figure, path)
    # Without pyplot nobody tells a notebook how to show a figure.
    figure.__dict__["_repr_png_"] = partial(_png, figure)
    return figure


def _save(figure: Figure, path: Path) -> None:
    kind = path.suffix.lower()[1:]
    metadata = {"Date": None} if kind == "svg" else {}
    try:
        with output_file(path) as beside:
            figure.savefig(beside, format=kind, dpi=160, metadata=metadata)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror}") from None


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def panels_of(figure: Figure, count: int, **shared: Any) -> list[Axes]:
    """Return axes for some panels in rows of two."""
    columns = min(2, count)
    figure.get_layout_engine().set(w_pad=0.14, h_pad=0.1)  # type: ignore[union-attr,call-arg]
    axes = figure.subplots(-(-count // columns), columns, squeeze=False, **shared).ravel()
    for panel in axes[count:]:
        panel.set_axis_off()
    return list(axes[:count])


def label_rows(axes: Axes, labels: Sequence[str], longest: int = 24) -> None:
    """Name the rows of a plot from top to bottom, with at most `longest` characters each."""
    axes.set_yticks(range(len(labels)), [short(label, longest) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)


def _dots(axes: Axes, scores: Sequence[Score | None], colors: Sequence[str] = ()) -> None:
    for row, (score, color) in enumerate(zip(scores, colors or cycle(SERIES[:1]), strict=False)):
        if score is not None and math.isfinite(score.low):
            axes.plot([score.low, score.high], [row, row], color=color, linewidth=1.5)
            axes.plot([score.low, score.high], [row, row], "|", color=color, markersize=7)
        if score is not None and math.isfinite(score.value):
            axes.plot([score.value], [row], "o", color=color, markersize=4)


def class_bars(shares: Mapping[str, Mapping[str, float]]) -> str:
    """Bars of the share of rows that have each label, one color per split, at most three."""
    labels = list(next(iter(shares.values())))[:MOST_BARS]
    thickness = 0.8 / len(shares)
    height = (0.17 if len(labels) <= 12 else 0.11) * (1 + len(shares) / 2)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for number, (split, of_labels) in enumerate(shares.items()):
            values = [100 * of_labels.get(label, 0.0) for label in labels]
            rows = np.arange(len(labels)) + (number - (len(shares) - 1) / 2) * thickness
            axes.barh(rows, values, thickness * 0.9, color=SERIES[number], label=split)
        label_rows(axes, labels)
        axes.set_xlabel("% of the rows of the split")
        figure.legend(loc="outside upper left", ncols=3)

    return svg("classes", (6.4, 1.1 + height * len(labels)), draw)


def length_boxes(lengths: Lengths, key: int = 0) -> str:
    """A box per label: the 5th, 25th, 50th, 75th and 95th percentile of the length of a text."""
    shown = dict(list(lengths.spreads.items())[:MOST_BARS])
    if not shown:
        return ""
    keys = ("whislo", "q1", "med", "q3", "whishi", "cut")
    found = ((s.low, s.quarter, s.median, s.three_quarters, s.high, s.cut) for s in shown.values())
    boxes = [dict(zip(keys, values, strict=True)) for values in found]
    line = {"color": INK, "linewidth": 1.0}
    look: dict[str, Any] = {"orientation": "horizontal", "showfliers": False, "patch_artist": True}
    look["boxprops"] = {"facecolor": SERIES[0], "edgecolor": SERIES[0]}
    look["medianprops"] = {"color": _ON_ACCENT, "linewidth": 2}
    look |= {"whiskerprops": line, "capprops": line}

    def draw(axes: Axes) -> None:
        axes.bxp(boxes, range(len(boxes)), widths=0.6, **look)
        label_rows(axes, list(shown))
        axes.set_xlim(left=0)
        axes.set_xlabel(f"{lengths.unit} per text")
        if lengths.context is None:
            return
        if lengths.context <= axes.get_xlim()[1]:
            axes.axvline(lengths.context, color=SERIES[1], linewidth=1.5, linestyle="--")
        beside = axes.get_yaxis_transform()
        for row, box in enumerate(boxes):
            axes.text(1.02, row, f"{box['cut'] or 0.0:.1%} cut", transform=beside, va="center")

    return _axes_svg(f"lengths{key}", (5.4, 0.8 + 0.27 * len(boxes)), draw)


def leaderboard(
    entries: Sequence[LeaderboardEntry],
    metrics: Sequence[str],
    people: Agreement | None = None,
    positive: str | None = None,
) -> str:
    """A picture per metric, side by side where there is room: a dot for each score, with interval.

    A dashed line is what one annotator reaches against the others, a band its interval. `positive`
    is the class that binary metrics are about.
    """

    def draw(figure: Figure, name: str) -> None:
        [panel], metric = panels_of(figure, 1), load("metrics", name)
        _dots(panel, [entry.metrics["test"].get(name) for entry in entries])
        direction = "" if metric.higher_is_better else " (lower is better)"
        title = metric_title(name, positive and short(positive, 16))
        panel.set_title(title + direction, loc="left")
        label_rows(panel, [entry.method for entry in entries])
        if people is not None and people.metric == name:
            panel.axvspan(people.ceiling.low, people.ceiling.high, color=SERIES[1], alpha=0.15)
            panel.axvline(people.ceiling.value, color=SERIES[1], linewidth=1.5, linestyle="--")

    inches = 3.4, 0.85 + 0.24 * len(entries)
    return "".join(svg(f"leaderboard-{name}", inches, partial(draw, name=name)) for name in metrics)


def label_f1(rows: Sequence[LabelScores]) -> str:
    """A dot for the F1 of each label, a whisker for its interval, in the order given."""
    shown = rows[:MOST_BARS]

    def draw(axes: Axes) -> None:
        _dots(axes, [row.f1 for row in shown])
        label_rows(axes, [row.name for row in shown])
        axes.set(xlim=(0, 1), xlabel="F1")

    return _axes_svg("labels", (6.4, 0.8 + 0.24 * len(shown)), draw)


def slice_differences(slices: Sequence[Slice]) -> str:
    """A dot for the difference of each slice from the other rows; worse ones in another color."""
    shown = slices[:MOST_SLICES]

    def draw(axes: Axes) -> None:
        axes.axvline(0, color=INK, linewidth=0.8)
        _dots(axes, [each.difference for each in shown], [SERIES[each.worse] for each in shown])
        names = [f"{each.kind.removeprefix('column:')}: {each.name}" for each in shown]
        label_rows(axes, names, longest=34)
        axes.set_xlabel("difference from the other rows")

    return _axes_svg("slices", (6.4, 0.8 + 0.24 * len(shown)), draw)


def reliability_diagram(panels: Sequence[tuple[str, Reliability]]) -> str:
    """Panels with a title each: accuracy over confidence, and the share of each confidence."""

    def draw(figure: Figure) -> None:
        shape: dict[str, Any] = {"sharex": True, "sharey": "row", "height_ratios": (3, 1)}
        axes = figure.subplots(2, len(panels), squeeze=False, **shape)
        for (title, of), upper, lower in zip(panels, axes[0], axes[1], strict=True):
            filled = [each for each in of.bins if each.rows]
            upper.set_title(title, loc="left")
            upper.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
            for each in filled:
                upper.plot([each.confidence] * 2, each.interval(), color=SERIES[1], linewidth=1.2)
            dots = [(each.confidence, each.accuracy) for each in filled]
            upper.plot(*zip(*dots, strict=True), "o-", color=SERIES[0], markersize=4, linewidth=1.2)
            upper.set(xlim=(0, 1.01), ylim=(-0.02, 1.02))
            upper.grid(axis="both")
            total = max(1, sum(each.rows for each in of.bins))
            bars = [(e.low, 100 * e.rows / total, e.high - e.low) for e in of.bins]
            lower.bar(*zip(*bars, strict=True), align="edge", color=SERIES[0])
            lower.set_xlabel("confidence")
            lower.grid(axis="y")
        axes[0, 0].set_ylabel("share that is right")
        axes[1, 0].set_ylabel("% of all")

    return svg("reliability", (0.6 + 3.1 * len(panels), 4.3), draw)


def selective_curve(of: Selective) -> str:
    """Accuracy on the rows that are decided, over their share."""
    from matplotlib.ticker import MaxNLocator

    shares, accuracies = zip(*[point[:2] for point in of.points], strict=True)

    def draw(axes: Axes) -> None:
        axes.plot(shares, accuracies, color=SERIES[0], linewidth=1.8)
        if of.coverage < 1 and math.isfinite(of.accuracy):
            axes.plot([of.coverage], [of.accuracy], "o", color=SERIES[1], label="this model")
            axes.legend(loc="lower left")
        axes.set(xlim=(0, 1.01), xlabel="coverage: share of rows decided", ylabel="accuracy")
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.grid(axis="both")

    return _axes_svg("selective", (5.4, 3.0), draw)
