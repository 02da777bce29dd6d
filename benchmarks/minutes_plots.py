"""The plots of `minutes.py`: score over log seconds, a panel for each number of rows.

A mark is the mean over seeds, its bars the least and the greatest. What improves over time is a
line of steps with a band. The dashed line is the final score of `Trainer` from its time on.
"""

from __future__ import annotations

import math
from pathlib import Path
from statistics import fmean
from typing import Any, Final

import numpy as np
from minutes_report import REFERENCE, Cell, Point, Results

STYLES: Final = {
    "trainer": ("#000000", "s"),
    "trainer-best": ("#7f7f7f", "D"),
    "setfit": ("#e69f00", "^"),
    "model2vec": ("#cc79a7", "v"),
    "fasttext": ("#b2182b", "P"),
    "tfidf+lr": ("#8c510a", "X"),
    "frozen+lr": ("#009e73", "p"),
}
OURS: Final = ("#0b3c8c", "#56b4e9", "#5e4fd8", "#00a6b8", "#1f78ff", "#8aa4d6", "#3b5b7a")
MARKS: Final = ("o", "<", ">", "h", "*", "d", "8")
TICKS: Final = {
    1: "1 s", 3: "3 s", 10: "10 s", 30: "30 s", 60: "1 min", 180: "3 min", 600: "10 min",
    1800: "30 min", 3600: "1 h", 10800: "3 h",
}  # fmt: skip
STEPS: Final = 400


def draw(results: Results, name: str, folder: Path) -> Path | None:
    """Write FOLDER/minutes-SET.png and return its path, or None if there is nothing to show."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    cells = {cell for of in results.contenders() for cell in results.cells(of) if cell.name == name}
    sizes = sorted({cell.size for cell in cells})
    if not sizes:
        return None
    wide = 4.2 * len(sizes) + 0.4
    figure, axes = pyplot.subplots(
        1, len(sizes), figsize=(wide, 4.9), sharey=False, squeeze=False, layout="constrained"
    )
    shown: dict[str, Any] = {}
    for panel, size in zip(axes[0], sizes, strict=True):
        of_size = sorted(cell for cell in cells if cell.size == size)
        _panel(results, panel, of_size, shown)
        panel.set_title(f"{size:,} training rows", fontsize=10)
    several = results.truth(name).multilabel
    axes[0][0].set_ylabel("macro F1" if several else "accuracy")
    ordered = [one for one in results.contenders() if one in shown]
    lines = math.ceil(len(ordered) * 1.6 / wide)
    columns = math.ceil(len(ordered) / lines)
    figure.legend(
        [shown[one] for one in ordered], ordered, loc="outside lower center", ncols=columns,
        fontsize=9, frameon=False,
    )  # fmt: skip
    clock = "wall-clock" if results.options.clock == "seconds" else "processor"
    figure.suptitle(f"{name}: {results.options.split} score by {clock} seconds", fontsize=11)
    path = folder / f"minutes-{name}.png"
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return path


def _panel(results: Results, panel: Any, cells: list[Cell], shown: dict[str, Any]) -> None:
    """Draw the contenders that have points in these cells, which differ in their seed."""
    ours = [one for one in results.contenders() if one.startswith("finetext")]
    times = list[float]()
    for name in results.contenders():
        curves = [points for cell in cells if (points := results.points(name, cell))]
        if not curves:
            continue
        times += [point.seconds for points in curves for point in points if point.seconds > 0]
        if name in STYLES:
            color, mark = STYLES[name]
        else:
            place = ours[::-1].index(name) % len(OURS)
            color, mark = OURS[place], MARKS[place]
        if any(len(points) > 1 for points in curves):
            shown[name] = _steps(panel, curves, color, mark)
        else:
            shown[name] = _mark(panel, curves, color, mark)
        if name == REFERENCE:
            start, level = _mean(curves)
            panel.hlines(level, start, 10 * start, color=color, linestyle="--", linewidth=0.9)
    _time_axis(panel, times)
    _score_axis(
        panel, [results.points(one, cell) for one in results.contenders() for cell in cells]
    )


def _score_axis(panel: Any, curves: list[list[Point]]) -> None:
    """Show every last point; what comes before, such as a guess, may lie below the panel."""
    low = min(points[-1].score for points in curves if points)
    high = max(point.score for points in curves for point in points)
    room = 0.06 * (high - low) + 0.005
    panel.set_ylim(low - room, high + room)


def _mean(curves: list[list[Point]]) -> tuple[float, float]:
    """Geometric mean of the seconds and mean of the scores of the last points."""
    seconds = [points[-1].seconds for points in curves]
    return float(np.exp(np.mean(np.log(seconds)))), fmean(points[-1].score for points in curves)


def _mark(panel: Any, curves: list[list[Point]], color: str, mark: str) -> Any:
    middle, score = _mean(curves)
    bars = [
        [[max(0.0, at - min(values))], [max(0.0, max(values) - at)]]
        for at, values in (
            (middle, [points[-1].seconds for points in curves]),
            (score, [points[-1].score for points in curves]),
        )
    ]
    return panel.errorbar(
        [middle], [score], xerr=bars[0], yerr=bars[1],
        color=color, marker=mark, markersize=7, markeredgecolor="white", markeredgewidth=0.6,
        linestyle="none", elinewidth=1.1, zorder=3,
    )  # fmt: skip


def _steps(panel: Any, curves: list[list[Point]], color: str, mark: str) -> Any:
    """Draw the mean over seeds from the time on where all have a point, and its band."""
    start = max(points[0].seconds for points in curves)
    end = max(points[-1].seconds for points in curves)
    changes = [point.seconds for points in curves for point in points if point.seconds >= start]
    grid = np.unique([*np.geomspace(start, end, STEPS), *changes])
    scores = np.array(
        [[[p.score for p in points if p.seconds <= now][-1] for now in grid] for points in curves]
    )
    low, high = scores.min(axis=0), scores.max(axis=0)
    panel.fill_between(grid, low, high, step="post", color=color, alpha=0.15, linewidth=0)
    [line] = panel.plot(grid, scores.mean(axis=0), drawstyle="steps-post", color=color, lw=2)
    _, final = _mean(curves)
    panel.plot([end], [final], color=color, marker=mark, markersize=8, markeredgecolor="white")
    return line


def _time_axis(panel: Any, times: list[float]) -> None:
    panel.set_xscale("log")
    low, high = min(times) / 1.3, max(times) * 1.5
    panel.set_xlim(low, high)
    ticks = [tick for tick in TICKS if low <= tick <= high]
    panel.set_xticks(ticks, [TICKS[tick] for tick in ticks], fontsize=8)
    panel.set_xticks([], minor=True)
    panel.tick_params(axis="y", labelsize=8)
    panel.grid(alpha=0.25, linewidth=0.6)
    panel.spines[["top", "right"]].set_visible(False)
