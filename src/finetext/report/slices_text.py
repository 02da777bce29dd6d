"""Slices beside the other rows, for a terminal and as a table."""

from __future__ import annotations

import textwrap
from typing import Any, Final

from finetext.data.words import counted
from finetext.diagnosis.slices import Slice, Slices
from finetext.diagnosis.slicing import FEWEST_ROWS
from finetext.registry import load
from finetext.report.figures import ends, number, p_value, short

WIDTH: Final = 80
SHOWN: Final = 20
NEAREST_SHOWN: Final = 5
_NAME: Final = 24
_LINE: Final = "{:<24}{:>7}  {:<18} {:<20} {:>7}"


def slices_lines(found: Slices, name: str) -> list[str]:
    """The slices that are worse, or the lowest where none is, in lines of at most 80 characters.

    Args:
        found: the slices.
        name: what the predictions are called.
    """
    title = load("metrics", found.metric).title
    if not found.slices:
        return _wrapped(
            f"{name}: there is no slice of {FEWEST_ROWS} {found.part} rows with {FEWEST_ROWS} rows "
            "beside it to look at"
        )
    worse = [each for each in found.slices if each.worse]
    verb = "is" if len(worse) == 1 else "are"
    lines = _wrapped(
        f"{title} of {name} on {found.part} rows: {counted(found.looked_at, 'slice')} looked at, "
        f"{len(worse) or 'none'} {verb} significantly worse than the other rows"
    )
    shown = worse[:SHOWN] or found.slices[:NEAREST_SHOWN]
    if not worse:
        lines += ["these come nearest:"]
    lines += ["", _LINE.format("slice", "rows", title[:18], "less the rest", "p")]
    lines += map(_line, shown)
    if len(worse) > len(shown):
        lines.append(f"and {len(worse) - len(shown):,} more that are worse: see --out or --json")
    legend = "95% intervals; p is corrected by Holm's method for all slices looked at."
    if any(each.kind == "language" for each in found.slices):
        legend += " The language of a text is told by its script alone."
    return [*lines, "", *_wrapped(legend)]


def slices_table(found: Slices) -> dict[str, list[Any]]:
    """All slices as columns."""
    rows = found.slices
    scores = {"score": [each.score for each in rows], "difference": [e.difference for e in rows]}
    return {
        "kind": [each.kind for each in rows],
        "name": [each.name for each in rows],
        "rows": [each.rows for each in rows],
        **{
            f"{name}{suffix}": [getattr(score, attribute) for score in of]
            for name, of in scores.items()
            for suffix, attribute in (("", "value"), ("_low", "low"), ("_high", "high"))
        },
        "p_value": [each.p_value for each in rows],
        "worse": [each.worse for each in rows],
    }


def _line(each: Slice) -> str:
    kind = each.kind.removeprefix("column:")
    score = f"{number(each.score.value)} {ends(each.score, '.2f')}"
    difference = f"{each.difference.value:+.2f} {ends(each.difference, '+.2f')}"
    cells = (short(f"{kind}: {each.name}", _NAME), f"{each.rows:,}", score, difference)
    return _LINE.format(*cells, p_value(each.p_value)).rstrip()


def _wrapped(sentence: str) -> list[str]:
    return textwrap.wrap(sentence, WIDTH)
