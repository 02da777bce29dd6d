"""Curves: the learning curve over labels, training over steps, and the loss over learning rates."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetext.core.errors import DataError, RunError
from finetext.core.registry import load
from finetext.core.types import Score
from finetext.core.wording import counted, ends, number, rows_of, short, signed
from finetext.diagnosis.curve import Curve, Expectation
from finetext.report.plots import INK, LIGHT_SERIES, SERIES, panels_of, picture, svg, write_picture
from finetext.report.rendering import aligned, evenly, metric_title
from finetext.storage.files import write_json, write_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from finetext.training.rate_finder import RateCurve

COLUMNS: Final = (
    *("method", "labels", "kind", "score", "low", "high", "gain", "gain_low", "gain_high"),
    "seconds",
)
HARDLY: Final = 0.01
"""More labels would hardly help if twice as many gain less than this at the most."""
HELD: Final = {1.5: (11, 11), 2.0: (11, 11), 4.0: (9, 11)}
"""Times the labels to forecasts whose interval held the later score, of how many.

Source: benchmarks/curve.py."""
_MARKERS: Final = "osD^vPX"
_MOST_LINES: Final = 100
_STYLES: Final = ("-", "--", ":")
_LOSS: Final = "training loss"
_NORM: Final = "gradient norm"
_RATE: Final = "learning rate"
_PERPLEXITY: Final = "perplexity"
_MOST_RATES: Final = 4
"""Learning rates in a legend; of more, the lowest and the highest layer group."""


def curve_lines(curve: Curve) -> list[str]:
    """Return a table of sizes and methods, then sentences on the result."""
    with_intervals = len(curve.rungs) <= 3

    def cell(score: Score | None, mark: str = "") -> str:
        interval = ends(score) if with_intervals and score is not None else ""
        value = "-" if score is None else number(score.value)
        return f"{f'{value} {interval}'.rstrip()} {mark:<2}"

    rows = [["labels", *(short(of.method, 20) + "   " for of in curve.rungs)]]
    for i, at in enumerate(curve.choices):
        marks = [
            "*" * (of.method == at.best) + "+" * (of.method == at.recommended) for of in curve.rungs
        ]
        scores = [of.points[i].score for of in curve.rungs]
        rows.append([f"{at.labels:,}", *map(cell, scores, marks)])
    ahead = next((of.expected for of in curve.rungs if of.expected), ())
    for i, some in enumerate(ahead):
        expected = (of.expected[i].score if of.expected else None for of in curve.rungs)
        rows.append([f"{some.labels:,}", *map(cell, expected)])
    lines = aligned(rows, left=0)
    if ahead:
        lines.insert(-len(ahead), "expected with more:")
    legend = "* best, + cheapest that is shown to be as good"
    title = metric_title(curve.metric, curve.positive)
    return [*lines, f"{title}; {legend}", "", *sentences(curve)]


def sentences(curve: Curve) -> list[str]:
    """Return the value of more labels, the method to choose, and what that rests on."""
    title, best = metric_title(curve.metric), curve.best
    last, recommended = best.points[-1], []
    for method, some in groupby(curve.choices, key=lambda choice: choice.recommended):
        sizes = [f"{choice.labels:,}" for choice in some]
        recommended.append(f"{method} with {' to '.join(dict.fromkeys((sizes[0], sizes[-1])))}")
    return [
        f"With {last.labels:,} labels {best.method} is best, {title} {number(last.score.value)}"
        f"{_outlook(curve, title)}",
        *(
            f"The curve of {of.method} is still getting steeper: with more labels it may do better "
            "than can be forecast now."
            for of in curve.rungs
            if of.outlook == "steepening" and of is not best
        ),
        "The cheapest method that is shown to be as good as the best, else the best: "
        f"{', '.join(recommended)} labels.",
        *(crossing.words for crossing in curve.crossings),
        _basis(curve),
        *_reliability(curve),
    ]


def _basis(curve: Curve) -> str:
    """Return what the scores rest on."""
    rows, begin = f"{curve.measured_rows:,}", "Scores are means over"
    if curve.part == "cross-validated":
        return (
            f"{begin} {counted(curve.trainings, 'cross-validation')} per size, with 95% intervals: "
            f"each of the {rows} rows is predicted by models that learned from so many of the "
            f"{curve.training_rows:,} rows outside its fold."
        )
    basis = f"{counted(curve.trainings, 'training')} per size, on {rows} validation rows"
    return f"{begin} {basis}, with 95% intervals; no test row was used."


def _outlook(curve: Curve, title: str) -> str:
    best = curve.best
    if best.outlook == "too few":
        return "; a forecast takes at least 4 sizes and 2 trainings each."
    if best.outlook == "perfect":
        return f". {curve_headline(curve)}."
    if best.outlook == "steepening":
        last, before = best.points[-1], best.points[-2]
        return (
            f". Its curve is still getting steeper ({signed(last.score.value - before.score.value)}"
            f" from {title} with {before.labels:,}): more labels are probably worth it, but it is "
            "too early to forecast how much they would gain."
        )
    if not (shown := [expected for expected in best.expected if expected.shown]):
        return f". {curve_headline(curve)}."
    gains = ", ".join(f"{_gain(each)} with {each.labels:,}" for each in shown)
    others = [f"{each.labels:,}" for each in best.expected if not each.shown]
    unshown = f" No gain is shown with {' or '.join(others)}." if others else ""
    return f"; more labels should gain: {gains}.{unshown}"


def _gain(expected: Expectation) -> str:
    return f"{signed(expected.gain.value)} {ends(expected.gain, '+.3f')}"


def curve_headline(curve: Curve) -> str:
    """Return the value of twice as many labels, as a heading.

    "Hardly help" is said where the upper end of the gain is below 0.01: a gain that is not shown
    may be there all the same.
    """
    best, title, rows = curve.best, metric_title(curve.metric), rows_of(curve.part)
    if best.outlook == "too few":
        return "Too few sizes to forecast the value of more labels"
    if best.outlook == "steepening":
        return (
            f"More labels are probably worth it: the curve of {best.method} is still getting "
            "steeper"
        )
    if best.outlook == "perfect":
        return f"All {rows} are right already: they cannot show a gain from more labels"
    twice = next(expected for expected in best.expected if expected.times == 2)
    if twice.shown:
        return f"Twice as many labels should gain {_gain(twice)} {title}"
    at_most = twice.gain.high
    if not load("metrics", curve.metric).higher_is_better:
        at_most = -twice.gain.low
    if at_most < HARDLY:
        return f"More labels would hardly help: twice as many gain {_gain(twice)} {title}"
    return (
        "Cannot tell whether more labels help: twice as many may change "
        f"{title} by {signed(twice.gain.low)} to {signed(twice.gain.high)}"
    )


def _reliability(curve: Curve) -> list[str]:
    """Return how often such forecasts held, for each multiple of the labels; [] without any."""
    ahead = {each.times for of in curve.rungs for each in of.expected} & HELD.keys()
    if not ahead:
        return []
    held = ", ".join(
        f"{right} of {of} for {times:g} times the labels"
        for times, (right, of) in HELD.items()
        if times in ahead
    )
    return [
        "Forecasts were checked on 11 learning curves of tfidf (accuracy, three data sets), where "
        f"the 95% interval held the later score in {held}; other methods and metrics are untested."
    ]


def write_curve(curve: Curve, folder: Path) -> None:
    """Write `curve.json`, `curve.csv`, `curve.svg` and `curve.png`, or raise a RunError."""
    try:
        write_json(folder / "curve.json", curve.to_json())
        write_text(folder / "curve.csv", table(curve))
        for kind in ("svg", "png"):
            write_picture(folder / f"curve.{kind}", lambda of: draw(of, curve, LIGHT_SERIES))
    except (OSError, DataError) as error:
        raise RunError(f"the learning curve cannot be written to {folder}: {error}") from None


def table(curve: Curve) -> str:
    """Return the curve as CSV: a row for each point measured and for each that is expected."""
    rows: list[Sequence[object]] = [COLUMNS]
    for of in curve.rungs:
        for point in of.points:
            score = astuple(point.score)[:3]
            rows.append((of.method, point.labels, "measured", *score, "", "", "", point.seconds))
        for each in of.expected:
            scores = (*astuple(each.score)[:3], *astuple(each.gain)[:3])
            rows.append((of.method, each.labels, "expected", *scores, ""))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def learning_curve_plot(curve: Curve) -> str:
    """Return scores over labels, with what is expected of more, as SVG."""
    return svg("curve", (6.4, 3.8), lambda figure: draw(figure, curve, SERIES))


def draw(figure: Figure, curve: Curve, colors: Sequence[str]) -> None:
    """Draw points with error bars, and ahead of them the fitted law, dashed, with its band."""
    from matplotlib.ticker import NullLocator

    axes = figure.subplots()
    for i, of in enumerate(curve.rungs):
        color, scores = colors[i % len(colors)], [point.score for point in of.points]
        bars = [[s.value - s.low for s in scores], [s.high - s.value for s in scores]]
        look: dict[str, Any] = {"color": color, "linewidth": 1.5, "elinewidth": 1.0, "capsize": 2.5}
        look |= {"marker": _MARKERS[i % len(_MARKERS)], "markersize": 4, "label": of.method}
        axes.errorbar([p.rows for p in of.points], [s.value for s in scores], bars, **look)
        labels, line = [place.labels for place in of.line], [place.score for place in of.line]
        lows, highs = [score.low for score in line], [score.high for score in line]
        axes.fill_between(labels, lows, highs, color=color, alpha=0.15, linewidth=0)
        axes.plot(labels, [score.value for score in line], "--", color=color, linewidth=1.2)
    axes.set_xscale("log")
    ticks = [*curve.sizes[-8:], *(e.labels for e in curve.best.expected if e.times >= 2)]
    axes.set_xticks(ticks, [f"{size:,}" for size in ticks], rotation=30)
    axes.xaxis.set_minor_locator(NullLocator())
    if any(of.expected for of in curve.rungs):
        ink = axes.xaxis.label.get_color()
        axes.axvline(curve.sizes[-1], color=ink, linewidth=0.8, linestyle=":")
    score = f"{metric_title(curve.metric, curve.positive)} on {curve.part} rows"
    axes.set(xlabel="labeled texts to learn from", ylabel=score)
    axes.grid(axis="y")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0.2)


def plot_rate_curve(curve: RateCurve, out: str | Path | None = None) -> Figure:
    """Draw the loss over learning rates with the suggestion marked; see `plots.picture`."""
    line, mark = LIGHT_SERIES[:2]

    def draw_rates(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(curve.rates, curve.losses, color=line, linewidth=1.8)
        axes.axvline(curve.suggestion, color=mark, linewidth=1.0, linestyle="--")
        for rate, name, color, face in (
            (curve.suggestion, "suggestion", mark, mark),
            (curve.valley, "more careful", line, "white"),
        ):
            look: dict[str, Any] = {"color": color, "markerfacecolor": face, "markersize": 7.5}
            loss = curve.losses[curve.rates.index(rate)]
            axes.plot([rate], [loss], "o", label=f"{name}: {rate:.2g}", **look)
        low, first = min(curve.losses), curve.losses[0]
        height = max(first - low, 0.05 * abs(first), 1e-6)
        top = min(max(curve.losses), first + 0.7 * height) + 0.1 * height
        axes.set_ylim(low - 0.15 * height, top)
        axes.set(xscale="log", xlabel="learning rate", ylabel="training loss, smoothed")
        axes.grid(axis="both")
        axes.legend(loc="lower left")

    return picture(draw_rates, out=out)


@dataclass(frozen=True)
class Curves:
    """The training of one method; `series` is name to step to value, `events` are of a step."""

    method: str
    key: int
    series: Mapping[str, Mapping[int, float]]
    is_measured: frozenset[str]
    events: Sequence[tuple[int, str]]

    @cached_property
    def panels(self) -> list[tuple[str, list[str]]]:
        """Title and series of each panel of the figure."""
        losses = [name for name in self.series if name in self.is_measured and "loss" in name]
        others = [name for name in self.series if name in self.is_measured.difference(losses)]
        scaled = [name for name in others if name == _PERPLEXITY]  # beside it, shares are flat
        others = [name for name in others if name not in scaled]
        groups = [
            ("loss", [*(name for name in self.series if name == _LOSS), *losses]),
            (others[0] if len(others) == 1 else "on validation rows", others),
            (f"validation {_PERPLEXITY}", scaled),
            *((of, [name for name in self.series if name.startswith(of)]) for of in (_RATE, _NORM)),
        ]
        return [(title, names) for title, names in groups if names]

    @property
    def inches(self) -> tuple[float, float]:
        """Width and height of the figure."""
        return 6.8, 0.3 + 2.0 * -(-len(self.panels) // 2)

    @cached_property
    def figure(self) -> str:
        """The curves as SVG."""
        return svg(f"training{self.key}", self.inches, self.draw)

    def draw(self, figure: Figure, ink: str = INK, colors: Sequence[str] = SERIES) -> None:
        """Draw a panel for each group of curves."""
        axes = panels_of(figure, len(self.panels), sharex=True)
        for panel, (title, names) in zip(axes, self.panels, strict=True):
            self._draw(panel, title, names, colors)
            for step, _ in self.events:
                panel.axvline(step, color=ink, linewidth=0.8, linestyle=":")
        for panel in axes[-2:]:
            panel.set_xlabel("step")
            panel.tick_params(labelbottom=True)

    @cached_property
    def rows(self) -> list[tuple[int, list[str]]]:
        """Step and values, thinned to about a hundred lines that keep all measurements."""
        steps = sorted({step for curve in self.series.values() for step in curve})
        measured = sorted({step for name in self.is_measured for step in self.series[name]})
        return [
            (step, [f"{of[step]:.4g}" if step in of else "" for of in self.series.values()])
            for step in sorted({*evenly(steps, _MOST_LINES), *evenly(measured, _MOST_LINES)})
        ]

    @property
    def headline(self) -> str:
        """The last step and the last value of the first series."""
        name, curve = next(iter(self.series.items()))
        step = max(curve)
        return f"{self.method}: {name} {curve[step]:.3g} at step {step:,}"

    def _draw(self, axes: Axes, title: str, names: Sequence[str], colors: Sequence[str]) -> None:
        for place, name in enumerate(names):
            curve = self.series[name]
            steps = evenly(list(curve), 400)
            look: dict[str, Any] = {
                "color": colors[place % len(colors)],
                "linestyle": _STYLES[place // len(colors) % len(_STYLES)],
                "marker": "o" if name in self.is_measured or len(steps) == 1 else "",
                "label": name if title == "loss" else name.removeprefix("validation "),
            }
            if title == _RATE and len(names) > _MOST_RATES and name not in (names[0], names[-1]):
                look["label"] = ""
            axes.plot(steps, [curve[step] for step in steps], markersize=3.5, linewidth=1.5, **look)
        axes.set_title(title, loc="left")
        axes.grid(axis="y")
        axes.margins(x=0.02)
        axes.locator_params(axis="x", integer=True, nbins=6)
        if title == _RATE:
            axes.ticklabel_format(axis="y", scilimits=(-3, 4))
        if len(names) > 1:
            axes.legend(fontsize=8)


def curves_of(method: str, lines: Iterable[Mapping[str, Any]], key: int = 0) -> Curves | None:
    """Return the curves of a log, or None if it has none; the later line of a step counts."""
    series: dict[str, dict[int, float]] = {}
    measured: dict[str, None] = {}
    events: list[tuple[int, str]] = []
    last = 0
    for line in lines:
        step = line.get("step")
        if not isinstance(step, int):
            continue
        if step < last:
            since = step + ("event" in line)
            series = {n: {s: v for s, v in of.items() if s < since} for n, of in series.items()}
        last = step
        if "event" in line:
            events.append((step, str(line["event"])))
            continue
        evaluation, rates = line.get("evaluation"), line.get("learning_rate")
        found = evaluation if isinstance(evaluation, Mapping) else {}
        measured |= dict.fromkeys(map(str, found))
        values = [(_LOSS, line.get("loss")), (_NORM, line.get("gradient_norm"))]
        rates = rates if isinstance(rates, list) else [rates]
        alike = len(set(map(str, rates))) == 1
        named = [(_RATE if alike else f"{_RATE} {n}", rate) for n, rate in enumerate(rates, 1)]
        values += named[:1] if alike else named
        for name, value in (*values, *found.items()):
            if isinstance(value, int | float) and math.isfinite(value):
                series.setdefault(str(name), {})[step] = float(value)
    rates = sorted(
        (name for name in series if name.startswith(_RATE)), key=lambda of: (len(of), of)
    )
    if len(rates) > 1 and rates[0] == _RATE:  # at times the rates of all layer groups are alike
        shared = series.pop(rates.pop(0))
        for name in rates:
            series[name] = shared | series[name]
    names = [_LOSS, *(name for name in series if name in measured), *rates, _NORM]
    ordered = {name: dict(sorted(series[name].items())) for name in names if series.get(name)}
    if not ordered:
        return None
    return Curves(method, key, ordered, frozenset(measured.keys() & ordered.keys()), events)
