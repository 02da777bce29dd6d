"""The chart of the verdict: bars of how often a method is right, over all and for each class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from finetext.core.types import Score
from finetext.evaluation.usability import FEWEST
from finetext.report.verdict import Verdict, as_counts, whole_ends, whole_number

MOST_BARS: Final = 8


@dataclass(frozen=True)
class Bar:
    """A bar of the chart: percentages of its length and interval, and what is written beside it."""

    name: str
    value: float
    low: float
    width: float
    text: str
    kind: str = ""


def verdict_chart(of: Verdict) -> dict[str, Any]:
    """Return bars for a page: the texts, the constant answer, and classes, the weakest first.

    There are none of a method that decides no text.
    """
    if not of.right.n:
        return {"bars": [], "caption": ""}
    classes = sorted(
        (each for each in of.classes if each.found.n), key=lambda each: each.found.value
    )
    shown, noun = classes[:MOST_BARS], "label" if of.multilabel else "class"
    guess = Score(of.always_right, math.nan, math.nan, of.right.n)
    always = f"always “{' and '.join(of.always)}”" if of.always else "always no label"
    name, which, such = "all texts", "new texts", ""
    if of.decided is not None:
        share = f"{whole_number(of.decided.value)} of 100 {whole_ends(of.decided)}".rstrip()
        name, which, such = "texts it decides", f"texts that {of.method} decides ({share})", "such "
    bars = [_bar(name, of.right, "all"), _bar(always, guess, "guess")]
    bars += [_bar(each.name, each.found) for each in shown]
    more = f" The {len(shown)} weakest of {len(classes)} are shown." if classes[MOST_BARS:] else ""
    subject = of.method if of.decided is None else "it"
    caption = (
        f"Of 100 {which}, and of 100 {such}texts of each {noun}, how many {subject} is right on, "
        f"with the 95% interval.{more}"
    )
    return {"bars": bars, "caption": caption}


def _bar(name: str, of: Score, kind: str = "") -> Bar:
    known = math.isfinite(of.low)
    low, high = (round(100 * end, 1) if known else 0.0 for end in (of.low, of.high))
    text = f"{whole_number(of.value)} {whole_ends(of)}".rstrip()
    if of.n < FEWEST:
        text = as_counts(of)
    return Bar(name, round(100 * of.value, 1), low, round(high - low, 1), text, kind)
