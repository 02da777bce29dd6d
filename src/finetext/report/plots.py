"""Figures of the report as SVG text that takes its colours from the page.

Figures are drawn in marker colours, which are then replaced by CSS variables; so one drawing is
right on a light page, on a dark one and on paper.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.registry import load
from finetext.core.types import Score
from finetext.core.wording import short
from finetext.diagnosis.explore import Lengths
from finetext.evaluation.calibration import Reliability
from finetext.evaluation.deciding import Selective
from finetext.evaluation.intervals import LabelScores
from finetext.evaluation.leaderboard import LeaderboardEntry
from finetext.report.learning_curve import draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from finetext.diagnosis.curve import Curve
    from finetext.diagnosis.slices import Slice


MOST_BARS: Final = 30
MOST_CELLS_WITH_NUMBERS: Final = 20
_MOST_TICKS: Final = 40
_REM_OF_AN_INCH: Final = 6.8
INK: Final = "#010203"
_GRID: Final = "#010204"
_ON_ACCENT: Final = "#010205"
SERIES: Final = tuple(f"#0102{number}" for number in range(11, 21))
_CSS: Final = {
    INK: "currentColor",
    _GRID: "var(--line)",
    _ON_ACCENT: "var(--on-accent)",
    **{colour: f"var(--series-{i})" for i, colour in enumerate(SERIES, 1)},
}
_STYLE: Final[dict[str, Any]] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": _GRID,
    "axes.titlesize": 10,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
}


def class_bars(shares: Mapping[str, Mapping[str, float]]) -> str:
    """Bars of the share of rows that have each label, one colour a split.

    Args:
        shares: split to label to share of its rows; at most three splits.
    """
    labels = list(next(iter(shares.values())))[:MOST_BARS]
    thickness = 0.8 / len(shares)
    height = (0.17 if len(labels) <= 12 else 0.11) * (1 + len(shares) / 2)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        rows = np.arange(len(labels))
        for number, (split, of_labels) in enumerate(shares.items()):
            values = [100 * of_labels.get(label, 0.0) for label in labels]
            offset = (number - (len(shares) - 1) / 2) * thickness
            axes.barh(rows + offset, values, thickness * 0.9, color=SERIES[number], label=split)
        label_rows(axes, labels)
        axes.set_xlabel("% of the rows of the split")
        figure.legend(loc="outside upper left", ncols=3)

    return svg("classes", (6.4, 1.1 + height * len(labels)), draw)


def length_boxes(lengths: Lengths, key: int = 0) -> str:
    """A box a label: the 5th, 25th, 50th, 75th and 95th percentile of words in a text.

    The most that a model is given is drawn as a line, with the share of the texts cut there.

    Args:
        lengths: of all rows and of each label; without any, there is no figure.
        key: what makes this figure's element names unique in the page.
    """
    shown = dict(list(lengths.spreads.items())[:MOST_BARS])
    if not shown:
        return ""
    keys = ("whislo", "q1", "med", "q3", "whishi")
    boxes = [
        dict(zip(keys, (s.low, s.quarter, s.median, s.three_quarters, s.high), strict=True))
        for s in shown.values()
    ]
    line = {"color": INK, "linewidth": 1.0}

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.bxp(
            boxes,
            positions=range(len(boxes)),
            orientation="horizontal",
            showfliers=False,
            patch_artist=True,
            widths=0.6,
            boxprops={"facecolor": SERIES[0], "edgecolor": SERIES[0]},
            medianprops={"color": _ON_ACCENT, "linewidth": 2},
            whiskerprops=line,
            capprops=line,
        )
        label_rows(axes, list(shown))
        axes.set_xlim(left=0)
        axes.set_xlabel(f"{lengths.unit} in a text")
        if lengths.context is not None:
            _cut_at(axes, lengths.context, [spread.cut or 0.0 for spread in shown.values()])

    return svg(f"lengths{key}", (5.4, 0.8 + 0.27 * len(boxes)), draw)


def _cut_at(axes: Axes, limit: int, shares: Sequence[float]) -> None:
    """A line at the limit, if it is in the picture, and the share of each row beyond it."""
    if limit <= axes.get_xlim()[1]:
        axes.axvline(limit, color=SERIES[1], linewidth=1.5, linestyle="--")
    beside = axes.get_yaxis_transform()
    for row, share in enumerate(shares):
        axes.text(1.02, row, f"{share:.1%} cut", transform=beside, va="center")


def leaderboard(entries: Sequence[LeaderboardEntry], metrics: Sequence[str]) -> str:
    """A panel a metric: a dot for the score on test rows, a whisker for its 95% interval.

    Args:
        entries: the rungs, first at the top.
        metrics: names of the metrics to show.
    """
    columns = min(2, len(metrics))
    lines = -(-len(metrics) // columns)

    def draw(figure: Figure) -> None:
        figure.get_layout_engine().set(w_pad=0.14, h_pad=0.1)  # type: ignore[union-attr,call-arg]
        panels = figure.subplots(lines, columns, squeeze=False, sharey=True).ravel()
        for panel, name in zip(panels, metrics, strict=False):
            metric = load("metrics", name)
            scores = [entry.metrics["test"].get(name) for entry in entries]
            for row, score in enumerate(scores):
                if score is not None:
                    _dot(panel, row, score.value, score.low, score.high)
            direction = "" if metric.higher_is_better else " (lower is better)"
            panel.set_title(metric.title + direction, loc="left")
            label_rows(panel, [entry.method for entry in entries])
        for panel in panels[len(metrics) :]:
            panel.set_axis_off()

    return svg("leaderboard", (6.8, lines * (0.85 + 0.24 * len(entries))), draw)


def label_f1(rows: Sequence[LabelScores]) -> str:
    """A dot a label for its F1, a whisker for the 95% interval, in the order given."""
    shown = rows[:MOST_BARS]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for position, row in enumerate(shown):
            _dot(axes, position, row.f1.value, row.f1.low, row.f1.high)
        label_rows(axes, [row.name for row in shown])
        axes.set_xlim(0, 1)
        axes.set_xlabel("F1 on test rows")

    return svg("labels", (6.4, 0.8 + 0.24 * len(shown)), draw)


def confusion_heatmap(names: Sequence[str], counts: Integers, totals: Integers, key: str) -> str:
    """A square a pair of labels, the darker the larger its share of the rows of the true label.

    Args:
        names: k labels.
        counts: (k, k), truth in rows.
        totals: (k,) rows that have each label.
        key: what makes this figure's element names unique in the page.
    """
    from matplotlib.patches import Rectangle

    k = len(names)
    shares = counts / np.maximum(totals, 1)[:, None]
    side = min(7.0, 2.4 + 0.45 * k)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for i, j in zip(*np.nonzero(counts), strict=True):
            strength = min(1.0, float(shares[i, j]))
            axes.add_patch(
                Rectangle((j - 0.5, i - 0.5), 1, 1, color=SERIES[0], alpha=strength, lw=0)
            )
            if k <= MOST_CELLS_WITH_NUMBERS:
                ink = _ON_ACCENT if strength > 0.5 else INK
                small = 8 if k <= 12 else 6.5
                axes.text(j, i, str(counts[i, j]), ha="center", va="center", color=ink, size=small)
        axes.set(xlim=(-0.5, k - 0.5), aspect="equal", xlabel="prediction", ylabel="truth")
        label_rows(axes, names if k <= _MOST_TICKS else [""] * k)
        axes.set_xticks(range(k), [short(n, 16) if k <= _MOST_TICKS else "" for n in names])
        axes.tick_params(axis="x", rotation=90 if k > 6 else 30)
        axes.grid(False)
        axes.spines[["top", "right"]].set_visible(True)

    return svg(f"confusion-{key}", (side, side * 0.95), draw)


def _dot(axes: Axes, row: int, value: float, low: float, high: float) -> None:
    if np.isfinite(low):
        axes.plot([low, high], [row, row], color=SERIES[0], linewidth=1.5)
        axes.plot([low, high], [row, row], "|", color=SERIES[0], markersize=7)
    if np.isfinite(value):
        axes.plot([value], [row], "o", color=SERIES[0], markersize=4)


def label_rows(axes: Axes, labels: Sequence[str], longest: int = 24) -> None:
    """Name the rows of a plot from top to bottom, with at most so many characters each."""
    axes.set_yticks(range(len(labels)), [short(label, longest) for label in labels])
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(axis="x")
    axes.spines["left"].set_visible(False)


def svg(key: str, inches: tuple[float, float], draw: Callable[[Figure], None]) -> str:
    """Draw on a figure of the given size; the SVG text without prolog, in the page's colours."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {**_STYLE, "svg.hashsalt": key}
    with rc_context(style), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=inches, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _for_page(buffer.getvalue(), key, inches[0])


def _for_page(svg: str, key: str, inches: float) -> str:
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{key}-", svg)
    opening = rf'<svg \1 style="max-width: {inches * _REM_OF_AN_INCH:.1f}rem" aria-hidden="true">'
    svg = re.sub(r'<svg[^>]*?(viewBox="[^"]*")[^>]*>', opening, svg, count=1)
    svg = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font: \1 var(--font)", svg)
    for colour, variable in _CSS.items():
        svg = svg.replace(colour, variable)
    return re.sub(r"\n\s*", "\n", svg)


MOST_SLICES: Final = 15


def reliability_diagram(panels: Sequence[tuple[str, Reliability]]) -> str:
    """Accuracy over confidence, with how many there are of each confidence below.

    Args:
        panels: title and what to draw, side by side.
    """

    def draw(figure: Figure) -> None:
        axes = figure.subplots(
            2, len(panels), squeeze=False, sharex=True, sharey="row", height_ratios=(3, 1)
        )
        for (title, of), upper, lower in zip(panels, axes[0], axes[1], strict=True):
            upper.set_title(title, loc="left")
            _accuracy_over_confidence(upper, of)
            _share_over_confidence(lower, of)
        axes[0, 0].set_ylabel("share that is right")
        axes[1, 0].set_ylabel("% of all")

    return svg("reliability", (0.6 + 3.1 * len(panels), 4.3), draw)


def _accuracy_over_confidence(axes: Axes, of: Reliability) -> None:
    filled = [each for each in of.bins if each.rows]
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    for each in filled:
        axes.plot([each.confidence] * 2, each.interval(), color=SERIES[1], linewidth=1.2)
    axes.plot(
        [each.confidence for each in filled], [each.accuracy for each in filled],
        "o-", color=SERIES[0], markersize=4, linewidth=1.2,
    )  # fmt: skip
    axes.set(xlim=(0, 1.01), ylim=(-0.02, 1.02))
    axes.grid(axis="both")


def _share_over_confidence(axes: Axes, of: Reliability) -> None:
    total = max(1, sum(each.rows for each in of.bins))
    widths = [each.high - each.low for each in of.bins]
    heights = [100 * each.rows / total for each in of.bins]
    axes.bar([each.low for each in of.bins], heights, widths, align="edge", color=SERIES[0])
    axes.set_xlabel("confidence")
    axes.grid(axis="y")


def selective_curve(of: Selective) -> str:
    """Accuracy on the rows that are decided, over their share."""
    from matplotlib.ticker import MaxNLocator

    shares, accuracies = zip(*[point[:2] for point in of.points], strict=True)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(shares, accuracies, color=SERIES[0], linewidth=1.8)
        if of.coverage < 1 and math.isfinite(of.accuracy):
            axes.plot([of.coverage], [of.accuracy], "o", color=SERIES[1], label="as it decides")
            axes.legend(loc="lower left")
        axes.set(xlim=(0, 1.01), xlabel="share of rows decided", ylabel="accuracy on these")
        axes.yaxis.set_major_locator(MaxNLocator(6))
        axes.grid(axis="both")

    return svg("selective", (5.4, 3.0), draw)


def slice_differences(slices: Sequence[Slice]) -> str:
    """A dot a slice for its difference to the other rows; worse ones in another colour."""
    shown = slices[:MOST_SLICES]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.axvline(0, color=INK, linewidth=0.8)
        for row, each in enumerate(shown):
            _difference(axes, row, each.difference, SERIES[1 if each.worse else 0])
        names = [f"{each.kind.removeprefix('column:')}: {each.name}" for each in shown]
        label_rows(axes, names, longest=34)
        axes.set_xlabel("difference to the other rows")

    return svg("slices", (6.4, 0.8 + 0.24 * len(shown)), draw)


def learning_curve(curve: Curve) -> str:
    """Scores over labels, with what is expected of more."""
    return svg("curve", (6.4, 3.8), lambda figure: draw(figure.subplots(), curve, SERIES))


def _difference(axes: Axes, row: int, of: Score, colour: str) -> None:
    if math.isfinite(of.low):
        axes.plot([of.low, of.high], [row, row], color=colour, linewidth=1.5)
    if math.isfinite(of.value):
        axes.plot([of.value], [row], "o", color=colour, markersize=4)
