"""Curves of training: what `log.jsonl` says, as figures and as a table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from finetext.report.plots import INK, SERIES, svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_MOST_POINTS: Final = 400
_MOST_LINES: Final = 100
_STYLES: Final = ("-", "--", ":")
_LOSS: Final = "training loss"
_NORM: Final = "gradient norm"
_RATE: Final = "learning rate"
Curve = Mapping[int, float]


@dataclass(frozen=True)
class Curves:
    """How the training of one rung went.

    Attributes:
        method: its name.
        key: a number that tells it from the other rungs of the page.
        series: name to step to value, in the order to show.
        is_measured: names of the series that were measured on validation rows.
        events: step and what happened, in the order of the log.
    """

    method: str
    key: int
    series: Mapping[str, Curve]
    is_measured: frozenset[str]
    events: Sequence[tuple[int, str]]

    @cached_property
    def panels(self) -> list[tuple[str, list[str]]]:
        """Title and series of each panel of the figure."""
        measured = [name for name in self.series if name in self.is_measured]
        losses = [name for name in measured if "loss" in name]
        rates = [name for name in self.series if name.startswith(_RATE)]
        others = [name for name in measured if name not in losses]
        groups = [
            ("loss", [*(name for name in (_LOSS,) if name in self.series), *losses]),
            (others[0] if len(others) == 1 else "on validation rows", others),
            (_RATE, rates),
            (_NORM, [_NORM] if _NORM in self.series else []),
        ]
        return [(title, names) for title, names in groups if names]

    @cached_property
    def figure(self) -> str:
        """The curves as SVG."""
        columns = min(2, len(self.panels))
        lines = -(-len(self.panels) // columns)

        def draw(figure: Figure) -> None:
            figure.get_layout_engine().set(w_pad=0.14, h_pad=0.1)  # type: ignore[union-attr,call-arg]
            axes = figure.subplots(lines, columns, squeeze=False, sharex=True).ravel()
            for panel, (title, names) in zip(axes, self.panels, strict=False):
                self._draw(panel, title, names)
            for panel in axes[len(self.panels) :]:
                panel.set_axis_off()
            for panel in axes[max(0, len(self.panels) - columns) : len(self.panels)]:
                panel.set_xlabel("step")
                panel.tick_params(labelbottom=True)

        return svg(f"training{self.key}", (6.8, 0.3 + 2.0 * lines), draw)

    @cached_property
    def rows(self) -> list[tuple[int, list[str]]]:
        """Step and what each series says there, thinned to about a hundred lines.

        Steps with a measurement on validation rows are always there.
        """
        steps = sorted({step for curve in self.series.values() for step in curve})
        measured = {step for name in self.is_measured for step in self.series[name]}
        shown = sorted({*_thinned(steps, _MOST_LINES), *_thinned(sorted(measured), _MOST_LINES)})
        return [(step, [_written(curve.get(step)) for curve in self.series.values()])
                for step in shown]  # fmt: skip

    def _draw(self, axes: Axes, title: str, names: Sequence[str]) -> None:
        for number, name in enumerate(names):
            curve = self.series[name]
            steps = _thinned(list(curve), _MOST_POINTS)
            axes.plot(
                steps, [curve[step] for step in steps],
                color=SERIES[number % len(SERIES)],
                linestyle=_STYLES[number // len(SERIES) % len(_STYLES)],
                marker="o" if name in self.is_measured or len(steps) == 1 else "",
                markersize=3.5, linewidth=1.5, label=name.removeprefix("validation "),
            )  # fmt: skip
        for step, _ in self.events:
            axes.axvline(step, color=INK, linewidth=0.8, linestyle=":")
        axes.set_title(title, loc="left")
        axes.grid(axis="y")
        axes.margins(x=0.02)
        axes.locator_params(axis="x", integer=True, nbins=6)
        if title == _RATE:
            axes.ticklabel_format(axis="y", scilimits=(-3, 4))
        if len(names) > 1:
            axes.legend(fontsize=8)


def curves_of(method: str, lines: Iterable[Mapping[str, Any]], key: int = 0) -> Curves | None:
    """The curves in a log, or None if it has none.

    Training that goes back to an earlier step, because it was resumed or tried again, writes a
    step twice; what counts is the later line. Lines of an unknown kind, and figures that are not
    finite, are left out.

    Args:
        method: name of the rung.
        lines: of its `log.jsonl`.
        key: a number that tells it from the other rungs of the page.
    """
    series: dict[str, dict[int, float]] = {}
    measured: set[str] = set()
    events: list[tuple[int, str]] = []
    last = 0
    for line in lines:
        step = line.get("step")
        if not isinstance(step, int):
            continue
        if step < last:
            _forget(series, step + 1 if "event" in line else step)
        last = step
        if "event" in line:
            events.append((step, str(line["event"])))
            continue
        evaluation = line.get("evaluation")
        if isinstance(evaluation, Mapping):
            measured |= {str(name) for name in evaluation}
        for name, value in _figures(line):
            if isinstance(value, int | float) and math.isfinite(value):
                series.setdefault(name, {})[step] = float(value)
    series = {name: curve for name, curve in _ordered(series, measured).items() if curve}
    if not series:
        return None
    return Curves(method, key, series, frozenset(measured & set(series)), events)


def _figures(line: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Name and value of each figure of a line."""
    found = [(_LOSS, line.get("loss")), (_NORM, line.get("gradient_norm"))]
    rates = line.get(_RATE.replace(" ", "_"))
    rates = rates if isinstance(rates, list) else [rates]
    alike = len(set(map(str, rates))) == 1
    for number, rate in enumerate(rates[:1] if alike else rates, start=1):
        found.append((_RATE if alike else f"{_RATE} {number}", rate))
    evaluation = line.get("evaluation")
    if isinstance(evaluation, Mapping):
        found += [(str(name), value) for name, value in evaluation.items()]
    return found


def _forget(series: Mapping[str, dict[int, float]], since: int) -> None:
    """Drop what was logged from a step on."""
    for curve in series.values():
        for step in [step for step in curve if step >= since]:
            del curve[step]


def _ordered(
    series: Mapping[str, dict[int, float]], measured: set[str]
) -> dict[str, dict[int, float]]:
    """Loss first, then measurements, then learning rates and gradient norm."""
    rates = sorted(name for name in series if name.startswith(_RATE))
    names = [_LOSS, *(name for name in series if name in measured), *rates, _NORM]
    return {name: dict(sorted(series[name].items())) for name in names if name in series}


def _thinned(steps: Sequence[int], most: int) -> list[int]:
    """At most so many of the steps, evenly, the first and the last among them."""
    if len(steps) <= most:
        return list(steps)
    return [steps[round(n * (len(steps) - 1) / (most - 1))] for n in range(most)]


def _written(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
