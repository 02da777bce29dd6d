"""Whether a model has become worse, said as soon as labeled rows show it: a test by betting.

An e-process bets on each row, in order, that the model is right on it less often than it was. Under
"it is right as often as before, or more often" its value is expected to be at most 1 at any time,
so it ever reaches 1 / level with a probability of at most level (Ville's inequality), however often
one looks and whenever one stops.

Source: Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS B,
2024; the mixture over beginnings is that of Shin, Ramdas and Rinaldo, E-detectors, 2024.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from finetext.core.arrays import Booleans, Floats, Integers
from finetext.core.types import Score
from finetext.evaluation.estimates import SIGNIFICANT
from finetext.evaluation.proportions import exact_interval, proportion

TOLERANCE: Final = 0.0
FEWEST: Final = 30
"""Reference rows below which their accuracy says too little to compare with."""
_LEVELS: Final = (SIGNIFICANT / 2, SIGNIFICANT / 2)
"""Of the bound of the accuracy before, and of the bets; together 5%."""
NEEDED: Final = 1 / _LEVELS[1]
"""The evidence from which the model is worse."""
_DROPS: Final = np.array([0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.45])
"""Drops of accuracy that are bet on, as much on each."""
_GROWTH: Final = math.sqrt(2)
"""Ratio of the rows at which bets begin anew, whatever the number of rows so far."""
_SHOWN: Final = 300
"""Most points of the path that are kept."""


@dataclass(frozen=True)
class WorseTest:
    """A sequential test of "the model is right as often as on reference rows".

    Attributes:
        before: accuracy on the reference rows, one of each group, with its 95% interval.
        limit: accuracy below which the model counts as worse: the lower bound (97.5%) of that
            before, less the tolerance.
        tolerance: drop that is accepted.
        accuracy: accuracy on the labeled rows so far, likewise.
        evidence: the largest e-value so far; the model is worse from `NEEDED` on.
        worse_at: number of labeled rows after which that was shown; None if it is not.
        path: (rows, e-value) at some of the rows, for a chart.
    """

    before: Score
    limit: float
    tolerance: float
    accuracy: Score
    evidence: float
    worse_at: int | None
    path: tuple[tuple[int, float], ...] = ()

    @property
    def is_shown(self) -> bool:
        """Whether the model is shown to be worse."""
        return self.worse_at is not None

    @property
    def p_value(self) -> float:
        """The anytime-valid p-value, with the doubt about the accuracy before."""
        return min(1.0, _LEVELS[0] + 1 / max(self.evidence, 1.0))


def worse_test(
    before: Booleans,
    right: Booleans,
    groups_before: Sequence[str] | None = None,
    groups: Sequence[str] | None = None,
    tolerance: float = TOLERANCE,
) -> WorseTest | None:
    """Test in the order of (n,) rows whether they are right less often than (m,) reference rows.

    False alarms have a probability of at most 5% over all rows ever: 2.5% that the accuracy before
    was lower than its bound, and 2.5% of the bets. Of each group only the first row counts, before
    and now: a mean over rows and one over groups differ where large groups are easier.

    Returns:
        None with fewer than 30 reference rows, or no row.
    """
    known, first = before[_firsts(len(before), groups_before)], _firsts(len(right), groups)
    if len(known) < FEWEST or not len(right):
        return None
    limit = exact_interval(float(known.mean()), len(known), 1 - 2 * _LEVELS[0])[0] - tolerance
    evidence = _evidence(right[first].astype(np.float64), limit)
    reached = np.flatnonzero(evidence >= NEEDED)
    some = np.unique(np.linspace(0, len(first) - 1, min(len(first), _SHOWN)).astype(int))
    return WorseTest(
        proportion(known),
        limit,
        tolerance,
        proportion(right[first]),
        max(1.0, float(evidence.max())),
        int(first[reached[0]]) + 1 if len(reached) else None,
        tuple((int(first[at]) + 1, float(evidence[at])) for at in some),
    )


def _firsts(rows: int, groups: Sequence[str] | None) -> Integers:
    """Return the first row of each group, in order; without groups, all rows."""
    if groups is None:
        return np.arange(rows)
    return np.sort(np.unique(np.array(groups), return_index=True)[1])


def _beginnings(rows: int) -> list[int]:
    """Return the rows below a number at which bets begin: 0, 1, 2, 3, 4, 6, 8, 11, 16, ..."""
    found, number = [0], 0
    while (start := round(_GROWTH**number)) < rows:
        if start > found[-1]:
            found.append(start)
        number += 1
    return found


def _evidence(values: Floats, limit: float) -> Floats:
    """Return the e-value after each of (n,) values of 0 to 1, against a mean of `limit` or more.

    It is a weighted mean of e-processes that begin at different rows; one that has not begun is 1.
    What it is after a row does not depend on the rows after it, so that one may look at any time.
    """
    n, drops = len(values), _DROPS[limit > _DROPS]
    if not len(drops):
        return np.ones(n)
    bets = drops / (limit * (1 - limit)) if limit < 1 else np.full(len(drops), 1.0)
    bets = np.minimum(bets, 0.99 / max(1 - limit, 1e-9))
    gains = np.log1p(bets * (limit - values[:, None]))
    sums = np.vstack([np.zeros((1, len(drops))), np.cumsum(gains, axis=0)])
    total, weight = np.zeros(n), 0.0
    for number, start in enumerate(_beginnings(n)):
        own = 1 / ((number + 1) * (number + 2))
        weight += own
        paths = np.exp(np.minimum(sums[start + 1 :] - sums[start], 600)).mean(axis=1)
        total[:start] += own
        total[start:] += own * paths
    return np.asarray(total + (1 - weight))
