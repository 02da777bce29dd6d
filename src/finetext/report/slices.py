"""Slices beside the other rows, for a terminal and as a table."""

from __future__ import annotations

import textwrap
from typing import Any, Final

from finetext.core.registry import load
from finetext.core.wording import counted, ends, number, p_value, rows_of, short
from finetext.diagnosis.slices import Slice, Slices
from finetext.diagnosis.slicing import FEWEST_ROWS, NOT_SURE

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
            f"{name}: there is no slice of {FEWEST_ROWS} {rows_of(found.part)} with {FEWEST_ROWS} "
            "rows beside it to look at"
        )
    worse = [each for each in found.slices if each.worse]
    verb = "is" if len(worse) == 1 else "are"
    looked = f"{counted(found.looked_at, 'slice')} looked at"
    lines = _wrapped(
        f"{title} of {name} on {rows_of(found.part)}: {looked}, {len(worse) or 'none'} "
        f"{verb} significantly worse than the other rows"
    )
    shown = worse[:SHOWN] or found.slices[:NEAREST_SHOWN]
    if not worse:
        lines += ["these come nearest:"]
    lines += ["", _LINE.format("slice", "rows", title[:18], "less the rest", "p")]
    lines += map(_line, shown)
    if len(worse) > len(shown):
        lines.append(f"and {len(worse) - len(shown):,} more that are worse: see --out or --json")
    legend = "95% intervals; p is corrected by Holm's method for all slices looked at."
    legend = f"{legend} {languages_told(found)}".rstrip()
    return [*lines, "", *_wrapped(legend)]


def languages_told(found: Slices) -> str:
    """What the languages were told by, as a sentence or two; "" if no slice is of a language."""
    if found.languages_by == "py3langid":
        return (
            "Languages are told by py3langid; short texts, and those of which it is less than half "
            f'sure, are "{NOT_SURE}".'
        )
    if found.languages_by is None:
        return ""
    return (
        "Languages are told by their script alone; those of one script are told apart after "
        'pip install "finetext[language]".'
    )


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
