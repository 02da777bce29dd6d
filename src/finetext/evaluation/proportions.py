"""Shares of rows with intervals that hold on few rows and respect groups.

The interval of a share that is stated by itself is the exact one of Clopper and Pearson (Biometrika
1934), which never holds less often than it says. Rows in groups are right or
wrong together, so they count for fewer: the effective number of rows and the correction for the
number of groups are those of Korn and Graubard (Confidence intervals for proportions with small
expected number of positive counts estimated from survey data, Survey Methodology, 1998).

What is compared or is part of something else (rates of groups, bins of confidence, a class in a
mean, parts that drop from validation to test) has the score interval of Wilson, which holds as
often as it says on average; the difference of two shares of the same rows has that of Tango
(`evaluation.estimates.DiscordantRows`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Final

import numpy as np

from finetext.core.arrays import Booleans
from finetext.core.types import Score
from finetext.evaluation.estimates import CONFIDENCE

QUANTILE: Final = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


def proportion(
    right: Booleans, groups: Sequence[str] | None = None, confidence: float = CONFIDENCE
) -> Score:
    """Return the share of (n,) that is true, with its interval; nan without rows."""
    rows = len(right)
    if not rows:
        return Score(float("nan"), float("nan"), float("nan"), 0)
    value = float(right.mean())
    low, high = exact_interval(value, effective_rows(right, groups, confidence), confidence)
    return Score(value, low, high, rows)


def proportion_over(repeats: Sequence[Booleans], groups: Sequence[Sequence[str] | None]) -> Score:
    """Return the mean of a share over repeats of the same rows, such as those of cross-validation.

    The interval is that of one repeat of usual size: repeats are no further rows. A repeat without
    rows does not count.

    Args:
        repeats: (n,) true or false for each repeat, of which each can have another n.
        groups: the groups of the rows of each repeat, or None.
    """
    known = [(of, its) for of, its in zip(repeats, groups, strict=True) if len(of)]
    if len(known) < 2:
        return proportion(*known[0]) if known else proportion(np.zeros(0, dtype=bool))
    value = float(np.mean([of.mean() for of, _ in known]))
    rows = float(np.mean([effective_rows(of, its) for of, its in known]))
    size = max(1, round(float(np.mean([len(of) for of, _ in known]))))
    return Score(value, *exact_interval(value, rows), size)


def exact_interval(
    value: float, rows: float, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return the interval of Clopper and Pearson; `rows` need not be whole."""
    from scipy.special import betaincinv

    tail, hits = (1 - confidence) / 2, value * rows
    low = float(betaincinv(hits, rows - hits + 1, tail)) if hits > 0 else 0.0
    high = float(betaincinv(hits + 1, rows - hits, 1 - tail)) if hits < rows else 1.0
    return low, high


def score_interval(value: float, rows: float, quantile: float = QUANTILE) -> tuple[float, float]:
    """Return the score interval of Wilson (Probable inference, JASA 1927); nan without rows.

    Args:
        value: a share of rows.
        rows: their number, which need not be whole.
        quantile: how many standard errors the truth may be away, by default for 95%.
    """
    if not rows:
        return math.nan, math.nan
    weight = quantile**2 / rows
    middle = (value + weight / 2) / (1 + weight)
    spread = max(0.0, value * (1 - value)) / rows + (weight / 2) ** 2 / quantile**2
    half = quantile / (1 + weight) * math.sqrt(spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def effective_rows(
    right: Booleans, groups: Sequence[str] | None, confidence: float = CONFIDENCE
) -> float:
    """Return how many independent rows tell as much as (n,) rows in groups; at most n.

    If all are alike, a group counts as one row.
    """
    from scipy.special import stdtrit

    rows = len(right)
    if groups is None or not rows:
        return float(rows)
    _, unit, sizes = np.unique(np.array(groups), return_inverse=True, return_counts=True)
    count, value = len(sizes), float(right.mean())
    if value in (0.0, 1.0) or count < 2:
        return float(count)
    away = np.bincount(unit, right.astype(np.float64)) - sizes * value
    variance = float((away**2).sum()) * count / (count - 1) / rows**2
    if variance == 0:
        return float(rows)
    level = 1 - (1 - confidence) / 2
    fewer = (float(stdtrit(rows - 1, level)) / float(stdtrit(count - 1, level))) ** 2
    return float(np.clip(value * (1 - value) / variance * fewer, 1, rows))
