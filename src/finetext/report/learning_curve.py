"""A learning curve as files: JSON, a table, and pictures."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetext.artefact.folder import write_json, write_text
from finetext.diagnosis.curve import Curve, RungCurve
from finetext.errors import DataError, RunError
from finetext.registry import load
from finetext.report.rate_curve import write_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS: Final = (
    "method", "labels", "kind", "score", "low", "high", "gain", "gain_low", "gain_high", "seconds",
)  # fmt: skip
COLOURS: Final = ("#6b7785", "#2563a8", "#c25e00", "#2a7d4f", "#8a3ffc", "#b0264f", "#7a5c00")
_MARKERS: Final = "osD^vPX"
_MOST_SIZES: Final = 8
"""Sizes with a number below; the smallest of more go without."""


def write_curve(curve: Curve, folder: Path) -> None:
    """Write `curve.json`, `curve.csv`, `curve.svg` and `curve.png`.

    Raises:
        RunError: one of them cannot be written.
    """
    try:
        write_json(folder / "curve.json", curve.to_json())
        write_text(folder / "curve.csv", table(curve))
        for kind in ("svg", "png"):
            write_picture(folder / f"curve.{kind}", lambda axes: draw(axes, curve))
    except (OSError, DataError) as error:
        raise RunError(f"the learning curve cannot be written to {folder}: {error}") from None


def table(curve: Curve) -> str:
    """The curve as CSV: a row for each point measured, and one for each that is expected."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for rung in curve.rungs:
        writer.writerows(_rows(rung))
    return text.getvalue()


def _rows(rung: RungCurve) -> Iterator[tuple[Any, ...]]:
    for point in rung.points:
        at = point.score
        measured = (at.value, at.low, at.high, "", "", "", point.seconds)
        yield (rung.method, point.labels, "measured", *measured)
    for expected in rung.expected:
        score, gain = expected.score, expected.gain
        yield (
            rung.method, expected.labels, "expected", score.value, score.low, score.high,
            gain.value, gain.low, gain.high, "",
        )  # fmt: skip


def draw(axes: Axes, curve: Curve, colours: Sequence[str] = COLOURS) -> None:
    """Points with error bars, and ahead of them the law, dashed, with its band."""
    from matplotlib.ticker import NullLocator

    now = curve.sizes[-1]
    for number, rung in enumerate(curve.rungs):
        colour = colours[number % len(colours)]
        _draw_rung(axes, rung, colour, _MARKERS[number % len(_MARKERS)])
    axes.set_xscale("log")
    ahead = [e.labels for e in curve.best.expected if e.times >= 2]
    ticks = [*curve.sizes[-_MOST_SIZES:], *ahead]
    axes.set_xticks(ticks, [f"{size:,}" for size in ticks], rotation=30)
    axes.xaxis.set_minor_locator(NullLocator())
    if any(rung.expected for rung in curve.rungs):
        axes.axvline(now, color=axes.xaxis.label.get_color(), linewidth=0.8, linestyle=":")
    title = load("metrics", curve.metric).title
    axes.set(xlabel="labelled texts to learn from", ylabel=f"{title} on {curve.part} rows")
    axes.grid(axis="y")
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0.2)


def _draw_rung(axes: Axes, rung: RungCurve, colour: str, marker: str) -> None:
    rows = [point.rows for point in rung.points]
    scores = [point.score for point in rung.points]
    values = [score.value for score in scores]
    bars = [[s.value - s.low for s in scores], [s.high - s.value for s in scores]]
    axes.errorbar(
        rows, values, bars, color=colour, marker=marker, markersize=4, linewidth=1.5,
        elinewidth=1.0, capsize=2.5, label=rung.method,
    )  # fmt: skip
    labels = [place.labels for place in rung.line]
    lows, highs = ([getattr(place.score, end) for place in rung.line] for end in ("low", "high"))
    axes.fill_between(labels, lows, highs, color=colour, alpha=0.15, linewidth=0)
    means = [place.score.value for place in rung.line]
    axes.plot(labels, means, color=colour, linewidth=1.2, linestyle="--")
