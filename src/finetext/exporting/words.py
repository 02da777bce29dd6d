"""How an export compares with its original, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator

from finetext.exporting.comparing import Compared, speed_in_words
from finetext.registry import load
from finetext.report.figures import p_value, signed, size, speed

_NAMES = ("", "original", "export")


def comparison_lines(compared: Compared) -> Iterator[str]:
    """Agreement, then a table of both, then a sentence on speed."""
    yield f"compared on {compared.rows:,} {compared.where}"
    if compared.remark:
        yield compared.remark
    yield (
        f"same labels on {compared.agreement:.2%}; probabilities differ by "
        f"{compared.largest_difference:.2g} at most, {compared.mean_difference:.2g} on average"
    )
    rows = [_NAMES, *_figures(compared)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    yield ""
    for row in rows:
        name, *figures = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"  {name}  {'  '.join(figures)}".rstrip()
    yield ""
    for metric, of in compared.differences.items():
        yield (
            f"difference of {load('metrics', metric).title}: {signed(of.difference.value)} "
            f"[{signed(of.difference.low)}, {signed(of.difference.high)}], p "
            f"{p_value(of.p_value)} ({of.test})"
        )
    yield speed_in_words(compared)


def _figures(compared: Compared) -> Iterator[tuple[str, str, str]]:
    for metric, of in compared.scores.items():
        yield load("metrics", metric).title, str(of[0]), str(of[1])
    yield "size", size(int(compared.bytes.original)), size(int(compared.bytes.exported))
    speeds, times = compared.rows_per_second, compared.milliseconds
    yield "rows a second", speed(speeds.original), speed(speeds.exported)
    yield "one text", f"{times.original:.2g} ms", f"{times.exported:.2g} ms"
