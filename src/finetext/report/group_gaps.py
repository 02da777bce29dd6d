"""Gaps between groups in error rates: as lines, and as a table to write."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from finetext.core.types import Score
from finetext.core.wording import counted, p_value, short
from finetext.diagnosis.group_gaps import AIM, GroupGaps, RateGap
from finetext.report.rendering import aligned, wrapped

_LONGEST: Final = 24
_MOST: Final = 10
_WHAT: Final = {
    "false positives": "rows of other classes that are given it",
    "false negatives": "rows of it that are not given it",
}


def group_gaps_lines(found: GroupGaps) -> list[str]:
    """Return the verdict, then the rates of each class with their largest gap."""
    gaps = sorted(found.gaps, key=lambda of: (not of.shown, -(of.gap.value if of.gap else 0.0)))
    lines = wrapped(_verdict(found))
    for gap in gaps[:_MOST]:
        what = f"{gap.kind} of {short(gap.label, _LONGEST)!r}: share of the {_WHAT[gap.kind]}"
        rows = [[short(found.column, _LONGEST), "errors", "of rows", "rate [95%]"]]
        for each in gap.rates:
            lacking = "too few groups" if each.groups == 1 else "too few"
            few = "" if each.compared else f"  {lacking} to compare"
            rate = f"{_rate(each.rate)}{few}"
            rows.append([short(each.value, _LONGEST), f"{each.wrong:,}", f"{each.rate.n:,}", rate])
        widest = max(len(row[-1]) for row in rows)
        rows = [[*row[:-1], row[-1].ljust(widest)] for row in rows]
        table = [line.rstrip() for line in aligned(rows)]
        lines += ["", *wrapped(what), *table, *wrapped(gap_sentence(gap))]
    if len(gaps) > _MOST:
        lines += ["", f"and {len(gaps) - _MOST:,} more: see --json"]
    note = "95% intervals: of each rate alone, and of gaps corrected by Holm's method, as is p"
    return [*lines, "", *wrapped(f"{note}{'; they rest on groups' if found.grouped else ''}.")]


def _verdict(found: GroupGaps) -> str:
    shown = [gap for gap in found.gaps if gap.shown]
    tested = f"{counted(found.tested, 'gap')} tested"
    if not found.tested:
        lacking = "too few rows or groups" if found.grouped else "too few rows"
        return f"by {found.column}: cannot tell: {lacking} to compare any two values"
    if not shown:
        return f"by {found.column}: no gap in error rates is shown ({tested})"
    told = [f"{gap.kind} of {short(gap.label, _LONGEST)!r}" for gap in shown[:3]]
    more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
    return f"by {found.column}: error rates differ in {', '.join(told)}{more} ({tested})"


def gap_sentence(gap: RateGap) -> str:
    """Return what the largest gap shows, or how many rows would be needed."""
    if gap.gap is None or gap.p_value is None:
        grouped = any(each.groups is not None for each in gap.rates)
        of_groups = " from two groups or more" if grouped else ""
        return f"cannot tell: fewer than two values have ten such rows{of_groups}"
    names = f"{short(gap.higher or '', _LONGEST)!r} against {short(gap.lower or '', _LONGEST)!r}"
    size = f"largest gap: {names} {gap.gap.value:+.3f} [{gap.gap.low:+.3f}, {gap.gap.high:+.3f}]"
    said = f"{size}, p {p_value(gap.p_value)}"
    if gap.shown:
        return f"{said}: shown"
    if max(abs(gap.gap.low), abs(gap.gap.high)) < AIM:
        return f"{said}: none is shown, and all are below {AIM:g}"
    return (
        f"{said}: cannot tell; to show a gap of {AIM:g}, about {gap.rows_needed or 0:,} such rows "
        "of each value are needed"
    )


def _rate(rate: Score) -> str:
    return "-" if not rate.n else f"{rate.value:.3f} [{rate.low:.3f}, {rate.high:.3f}]"


def group_gaps_table(found: GroupGaps) -> dict[str, list[Any]]:
    """Return a row for each class, kind of error and value."""
    rows = [
        {
            "label": gap.label,
            "kind": gap.kind,
            found.column: each.value,
            "errors": each.wrong,
            "rows": each.rate.n,
            "rate": each.rate.value,
            "low": each.rate.low,
            "high": each.rate.high,
        }
        for gap in found.gaps
        for each in gap.rates
    ]
    names = rows[0] if rows else {}
    return {name: [_plain(row[name]) for row in rows] for name in names}


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value
