"""A learning curve in a terminal: a table of sizes and rungs, then what it means."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from finetext.data.words import counted
from finetext.diagnosis.curve import Curve, Expectation, RungCurve
from finetext.registry import load
from finetext.report.figures import ends, number, short, signed
from finetext.types import Score

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


def _worth(rung: RungCurve, title: str) -> str:
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
