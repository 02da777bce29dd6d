"""Thresholds that reach a target on new rows, by fixed-sequence testing.

Thresholds are tested one after the other, from the safest on, each by the exact binomial test of
"the target is missed", until one fails. Those before it reach the target with a confidence of 90%
(Angelopoulos, Bates, Candes, Jordan and Lei, Learn then test: calibrating predictive algorithms to
achieve risk control, 2021). Where none passes, the threshold is the one that reaches the target on
the rows given, and is only aimed at it.

The first threshold has as many rows as it takes to pass at all, or some more where there are many.
Rows in groups count for as many as `effective_rows` says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from finetext.core.arrays import Booleans, Floats, Integers
from finetext.evaluation.proportions import effective_rows
from finetext.evaluation.thresholds import lowest_for_precision

LEVEL: Final = 0.1
_STEP: Final = 1.05
_FEWEST: Final = 5
_MOST_WRONG: Final = 2
_EARLY: Final = 12
_MOST_TESTS: Final = 200
_MOST_TIMES: Final = 300.0
_ROUNDING: Final = 1e-9

Groups = Sequence[str] | None


@dataclass(frozen=True)
class Threshold:
    """A threshold chosen for a target.

    Attributes:
        value: the lowest score that counts.
        assured: whether new rows reach the target with a confidence of 90%.
        needed: about how many times as many rows would show it; None if assured, or if more rows
            like these would hardly do.
    """

    value: float
    assured: bool
    needed: float | None = None


def for_share_right(
    scores: Floats, right: Booleans | Integers, share: float, groups: Groups = None
) -> Threshold:
    """Return the lowest score from which at least that share is right, as precision is."""
    order = np.argsort(-scores, kind="stable")
    ranked, hits = scores[order], np.asarray(right)[order] == 1
    named = None if groups is None else [groups[row] for row in order]
    chosen = None

    def counted(end: int) -> tuple[float, float]:
        rows = effective_rows(hits[:end], None if named is None else named[:end])
        return float(hits[:end].mean()), rows

    for end in _ends(ranked, _start(len(ranked), share)):
        if _chance(*counted(end), share) > LEVEL:
            break
        chosen = float(ranked[end - 1])
    if chosen is not None:
        return Threshold(chosen, True)
    empirical = lowest_for_precision(scores, right, share)
    needed = _times_needed([counted(end) for end in _ends(ranked, _FEWEST)], share)
    return Threshold(empirical, False, needed)


def for_share_found(scores: Floats, share: float, groups: Groups = None) -> Threshold:
    """Return the highest score that at least that share reaches, as recall needs of positives."""
    if not len(scores):
        return Threshold(0.5, False)
    ranked, found = np.sort(scores), None
    allowed = math.floor((1 - share) * len(scores) + _ROUNDING)
    for missed in np.unique(np.linspace(0, allowed, _MOST_TESTS).round().astype(int)):
        reached = scores >= ranked[missed]
        rows = effective_rows(reached, groups)
        if _chance(float(reached.mean()), rows, share) > LEVEL:
            break
        found = float(ranked[missed])
    if found is not None:
        return Threshold(found, True)
    rows = effective_rows(np.ones(len(scores), dtype=np.bool_), groups)
    least = math.log(LEVEL) / math.log(share)
    return Threshold(float(ranked[allowed]), False, least / rows)


def _chance(value: float, rows: float, share: float) -> float:
    """How likely so many hits, or more, are if the true share is at most `share`."""
    from scipy.special import betainc

    hits = value * rows
    return float(betainc(hits, rows - hits + 1, share)) if hits > 0 else 1.0


def _start(rows: int, share: float) -> int:
    """The number of rows in the first test, which depends on nothing else.

    Up to two wrong rows pass it, if that takes no more than a twelfth of the rows: a test that no
    wrong row passes ends many sequences before they begin.
    """
    least = [_passing(wrong, share) for wrong in range(_MOST_WRONG + 1)]
    return max([least[0], *(of for of in least if of <= rows / _EARLY)])


def _passing(wrong: int, share: float) -> int:
    """The least number of rows that pass the test with so many wrong."""
    rows = wrong + 1
    while _chance((rows - wrong) / rows, rows, share) > LEVEL:
        rows = max(rows + 1, math.ceil(rows * 1.002))
    return rows


def _ends(ranked: Floats, wanted: int) -> list[int]:
    """Numbers of rows from the top to test, growing by a factor; equal scores stay together."""
    last_of_tie = np.flatnonzero(np.append(np.diff(ranked) != 0, True)[: len(ranked)]) + 1
    ends = list[int]()
    while len(last_of_tie) and wanted <= last_of_tie[-1]:
        ends.append(int(last_of_tie[np.searchsorted(last_of_tie, wanted)]))
        wanted = max(ends[-1] + 1, math.ceil(ends[-1] * _STEP))
    return ends


def _times_needed(shares: Sequence[tuple[float, float]], share: float) -> float | None:
    """The least factor at which one of the shares right passes, drawn a little to the target."""
    times = _STEP
    while times <= _MOST_TIMES:
        for value, rows in shares:
            careful = (value * rows + 2 * share) / (rows + 2)
            if careful > share and _chance(careful, rows * times, share) <= LEVEL:
                return times
        times *= _STEP
    return None
