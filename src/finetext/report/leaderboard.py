"""The leaderboard in a terminal: as a coloured table, and as plain lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal

from finetext.core import wording as figures
from finetext.core.registry import load
from finetext.core.types import Score
from finetext.evaluation.compare import Comparison
from finetext.evaluation.leaderboard import LeaderboardEntry, flips, over_seeds

if TYPE_CHECKING:
    from rich.table import Table


_ALSO: Final = {
    "accuracy": ("accuracy", "test"),
    "subset_accuracy": ("subset", "accuracy"),
    "macro_f1": ("macro F1", "test"),
}
_WIDTH: Final = 100
_GAP: Final = 2
_UNKNOWN: Final = Score(float("nan"), float("nan"), float("nan"), 0)
Comparisons = Mapping[str, Comparison]


def leaderboard_table(
    entries: Sequence[LeaderboardEntry],
    best: str,
    cheapest: str,
    metric: str = "macro_f1",
    comparisons: Comparisons | None = None,
) -> Table:
    """The leaderboard as a table for a colour terminal, at most 100 columns wide.

    Args:
        entries: one a rung, in the order to show.
        best: the method that is best on validation.
        cheapest: the cheapest method that is not significantly worse on test.
        metric: the metric by which rungs are chosen and compared.
        comparisons: method to its paired comparison with the best, for a column of p-values;
            none by default.
    """
    from rich.table import Table
    from rich.text import Text

    header, rows = _cells(entries, (best, cheapest), metric, comparisons or {})
    table = Table(
        caption=_legend(metric),
        caption_justify="left",
        box=None,
        padding=(0, _GAP, 0, 0),
        pad_edge=False,
    )
    for position, lines in enumerate(header):
        side: Literal["left", "right"] = "left" if position < 2 else "right"
        table.add_column("\n".join(lines).rstrip(), justify=side, no_wrap=True)
    for row in rows:
        style = "bold" if "*" in row[0] else ""
        table.add_row(*(Text(cell) for cell in row), style=style)
    return table


def leaderboard_lines(
    entries: Sequence[LeaderboardEntry],
    best: str,
    cheapest: str,
    metric: str = "macro_f1",
    comparisons: Comparisons | None = None,
) -> list[str]:
    """The leaderboard as plain lines of at most 100 characters.

    Args:
        entries: one a rung, in the order to show.
        best: the method that is best on validation.
        cheapest: the cheapest method that is not significantly worse on test.
        metric: the metric by which rungs are chosen and compared.
        comparisons: method to its paired comparison with the best, for a column of p-values;
            none by default.
    """
    header, rows = _cells(entries, (best, cheapest), metric, comparisons or {})
    table = [*(list(line) for line in zip(*header, strict=True)), *rows]
    widths = _widths(table)
    laid_out = [
        (" " * _GAP)
        .join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        .rstrip()
        for row in table
    ]
    return [*laid_out, "", *_legend(metric).split("\n")]


def _cells(
    entries: Sequence[LeaderboardEntry],
    marked: tuple[str, str],
    metric: str,
    comparisons: Comparisons,
) -> tuple[list[tuple[str, str]], list[list[str]]]:
    """Headers of two lines, and rows; names are cut so that all fits the width."""
    title = load("metrics", metric).title
    on_test = {name for entry in entries for name in entry.metrics.get("test", {})}
    also = [name for name in _ALSO if name in on_test and name != metric][:1]
    header = [("", ""), ("", "method"), (title, "validation"), (title, "test [95%]")]
    header += [("p vs", "best")] if comparisons else []
    header += [_ALSO[name] for name in also]
    header += [("time to", "train"), ("", "rows/s"), ("", "size")]
    rows = [_row(entry, marked, metric, also, comparisons) for entry in entries]
    widths = _widths([*(list(line) for line in zip(*header, strict=True)), *rows])
    room = _WIDTH - sum(widths) + widths[1] - _GAP * (len(widths) - 1)
    return header, [[row[0], _cut(row[1], max(room, 8)), *row[2:]] for row in rows]


def _cut(name: str, longest: int) -> str:
    """A name without its middle if it is too long: rungs side by side often differ at the end."""
    tail = longest // 2
    return name if len(name) <= longest else f"{name[: longest - 1 - tail]}…{name[-tail:]}"


def _widths(table: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*table, strict=True)]


def _row(
    entry: LeaderboardEntry,
    marked: tuple[str, str],
    metric: str,
    also: Sequence[str],
    comparisons: Comparisons,
) -> list[str]:
    best, cheapest = marked
    mark = ("*" if entry.method == best else "") + ("+" if entry.method == cheapest else "")
    validation, test = (entry.metrics.get(split, {}) for split in ("validation", "test"))
    chosen = test.get(metric, _UNKNOWN)
    against = comparisons.get(entry.method)
    p_value = "-" if against is None else figures.p_value(against.p_value)
    return [
        mark,
        figures.short(entry.method, _WIDTH),
        figures.number(validation.get(metric, _UNKNOWN).value),
        f"{figures.number(chosen.value)} {figures.ends(chosen)}".rstrip(),
        *([p_value] if comparisons else []),
        *(figures.number(test.get(name, _UNKNOWN).value) for name in also),
        figures.duration(entry.seconds_to_train),
        figures.speed(entry.rows_per_second),
        figures.size(entry.bytes),
    ]


def seed_lines(entries: Sequence[LeaderboardEntry], metric: str) -> list[str]:
    """What several seeds say of the test rows, as lines; none for one seed."""
    chosen = load("metrics", metric)
    spreads = {e.method: of for e in entries if (of := over_seeds(e, metric)) is not None}
    if not spreads:
        return []
    count = max(len(entry.seeds) for entry in entries)
    width = max(map(len, spreads))
    return [
        f"{chosen.title} on test rows over {count} seeds, mean and standard deviation:",
        *(f"  {name.ljust(width)}  {of[0]:.3f} ± {of[1]:.3f}" for name, of in spreads.items()),
        *(
            f"{each.share:.0%} of the pairs of seeds put {each.behind} before {each.ahead}"
            for each in flips(entries, metric, chosen.higher_is_better)
        ),
    ]


def _legend(metric: str) -> str:
    title = load("metrics", metric).title
    return (
        f"* best on validation rows by {title}\n"
        "+ cheapest that is not significantly worse on test rows (paired test, 5%)"
    )
