"""Figures of what was found out after training; see `finetext.report.plots`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from finetext.evaluation.calibration import Reliability
from finetext.evaluation.selective import Selective
from finetext.report.learning_curve import draw
from finetext.report.plots import INK, SERIES, label_rows, svg
from finetext.types import Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from finetext.diagnosis.curve import Curve
    from finetext.diagnosis.slices import Slice

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
