"""A learning curve in a terminal: a table of sizes and rungs, then what it means."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetext.core.errors import DataError, RunError
from finetext.core.registry import load
from finetext.core.types import Score
from finetext.core.wording import counted, ends, number, short, signed
from finetext.diagnosis.curve import Curve, Expectation, MethodCurve
from finetext.report.pictures import write_picture
from finetext.storage.files import write_json, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes


_GAP: Final = "  "
_LONGEST_NAME: Final = 20
_NO_MARK: Final = "   "
_MOST_WITH_INTERVALS: Final = 3


def curve_lines(curve: Curve) -> list[str]:
    """The table, then two or three sentences."""
    return [*_table(curve), "", *sentences(curve)]


def sentences(curve: Curve) -> list[str]:
    """What more labels would be worth, which rung is right, and what that rests on."""
    title = load("metrics", curve.metric).title
    lines = [_worth(curve.best, title), *_still_steep(curve), _right(curve)]
    lines += [
        f"{crossing.after} overtakes {crossing.before} at about {crossing.labels:,} labels."
        for crossing in curve.crossings
    ]
    times = counted(curve.trainings, "training")
    lines.append(
        f"Scores are means over {times} a size, on {curve.measured_rows:,} validation rows, with "
        "95% intervals; no test row was used."
    )
    return lines


def _table(curve: Curve) -> Iterator[str]:
    """Sizes in rows, rungs in columns; `*` marks the best, `+` the cheapest that will do."""
    title = load("metrics", curve.metric).title
    names = [short(rung.method, _LONGEST_NAME) + _NO_MARK for rung in curve.rungs]
    header = ["labels", *names]
    rows = [_measured(curve, position) for position in range(len(curve.sizes))]
    told = next((rung.expected for rung in curve.rungs if rung.expected), ())
    ahead = [_expected(curve, position) for position in range(len(told))]
    widths = [max(map(len, column)) for column in zip(header, *rows, *ahead, strict=True)]
    for line in (header, *rows):
        yield _line(line, widths)
    if ahead:
        yield "expected with more:"
        for line in ahead:
            yield _line(line, widths)
    yield f"{title}; * best, + cheapest that is not significantly worse (paired test, 5%)"


def _line(cells: list[str], widths: list[int]) -> str:
    return _GAP.join(c.rjust(w) for c, w in zip(cells, widths, strict=True)).rstrip()


def _measured(curve: Curve, position: int) -> list[str]:
    choice = curve.choices[position]
    cells = [f"{choice.labels:,}"]
    for rung in curve.rungs:
        score = rung.points[position].score
        mark = ("*" if rung.method == choice.best else "") + (
            "+" if rung.method == choice.cheapest else ""
        )
        cells.append(f"{_shown(score, curve)} {mark:<2}")
    return cells


def _expected(curve: Curve, position: int) -> list[str]:
    some = next(rung.expected[position] for rung in curve.rungs if rung.expected)
    cells = [f"{some.labels:,}"]
    for rung in curve.rungs:
        told = rung.expected[position].score if rung.expected else None
        cells.append(("-" if told is None else _shown(told, curve)) + _NO_MARK)
    return cells


def _shown(score: Score, curve: Curve) -> str:
    """A score with its interval, as long as there is room for that of every rung."""
    interval = ends(score) if len(curve.rungs) <= _MOST_WITH_INTERVALS else ""
    return f"{number(score.value)} {interval}".rstrip()


def _worth(rung: MethodCurve, title: str) -> str:
    """What more labels would be worth for the rung that is best now."""
    last = rung.points[-1]
    start = f"With {last.labels:,} labels {rung.method} is best, {title} {number(last.score.value)}"
    if rung.outlook == "too few":
        return f"{start}; to say what more would bring takes at least 4 sizes and 2 trainings each."
    if rung.outlook == "perfect":
        return f"{start}; on these validation rows more labels could bring nothing."
    if rung.outlook == "steepening":
        gain = last.score.value - rung.points[-2].score.value
        return (
            f"{start}. Its curve is still getting steeper ({signed(gain)} from {title} with "
            f"{rung.points[-2].labels:,}): more labels are worth having, but it is too early to "
            "say how much they would bring."
        )
    if not any(expected.shown for expected in rung.expected):
        twice = next(expected for expected in rung.expected if expected.times == 2)
        return (
            f"{start}. The curve is flat or too noisy: no gain from more labels could be shown "
            f"(twice as many: {_gain(twice)})."
        )
    return f"{start}; more labels would bring: " + ", ".join(map(_brought, rung.expected)) + "."


def _still_steep(curve: Curve) -> Iterator[str]:
    for rung in curve.rungs:
        if rung.outlook == "steepening" and rung is not curve.best:
            yield (
                f"The curve of {rung.method} is still getting steeper: with more labels it may do "
                "better than can be told now."
            )


def _brought(expected: Expectation) -> str:
    unsure = "" if expected.shown else ", which may be none"
    return f"{_gain(expected)} with {expected.labels:,}{unsure}"


def _gain(expected: Expectation) -> str:
    return f"{signed(expected.gain.value)} {ends(expected.gain, '+.3f')}"


def _right(curve: Curve) -> str:
    """Which rung is the cheapest that will do, from which size on."""
    parts = []
    for rung, some in groupby(curve.choices, key=lambda choice: choice.cheapest):
        sizes = [choice.labels for choice in some]
        where = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
        parts.append(f"{rung} with {where}")
    return f"The cheapest rung that is not significantly worse than the best: {', '.join(parts)}."


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


def _rows(rung: MethodCurve) -> Iterator[tuple[Any, ...]]:
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
    for i, rung in enumerate(curve.rungs):
        colour = colours[i % len(colours)]
        _draw_rung(axes, rung, colour, _MARKERS[i % len(_MARKERS)])
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


def _draw_rung(axes: Axes, rung: MethodCurve, colour: str, marker: str) -> None:
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
