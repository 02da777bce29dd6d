"""Whether new rows are like reference rows, and how accurate a model is on them without labels.

Under the hypothesis of no drift it does not matter which rows are called new, so the p-value of any
statistic is its place among those with the names "reference" and "new" drawn at random over the
rows (exact; Phipson and Smyth, Permutation p-values should never be zero, 2010). Rows must be
independent of each other: copies and groups are to be cut to one row before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from finetext.core.arrays import Booleans, Floats, Integers
from finetext.core.types import Score
from finetext.evaluation.estimates import SIGNIFICANT, Estimate
from finetext.evaluation.several import holm

FEWEST: Final = 30
"""Rows of either kind below which nothing is tested."""
MOST_NEW: Final = 2_000
"""New rows that are tested; of more, as many are drawn at random."""
PERMUTATIONS: Final = 499
FOLDS: Final = 5
SHRINKAGE: Final = 10.0
"""Of 0.3, 1, 3 and 10 the one that finds most: `benchmarks/LOG.md`."""
STABLE, SHIFTED = 0.1, 0.25
"""Stability indexes that are called small and large (Siddiqi, Credit Risk Scorecards, 2006)."""
_LEAST: Final = 1e-12
_ROUNDING: Final = 1e-6
"""Statistics that differ by less are equal, as they are of single precision."""
_PRIOR: Final = 0.5
"""Rows added to each class, so that a class without rows has a finite index."""
ASSUMPTION: Final = (
    "if as large a share of the texts that the model is sure of is right as on the reference rows"
)
_UNSEEN: Final = 2
"""Rows of either kind that are reckoned with beyond those seen (Agresti and Coull, 1998)."""
_Singles = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DriftTest:
    """A test of no drift.

    Attributes:
        what: "texts", "labels" or "confidence".
        statistic: of texts the area under the ROC curve of a classifier that tells new rows from
            reference rows, 0.5 by chance; of labels the population stability index, 0 without
            drift; of confidence the largest difference of the two distributions (Kolmogorov and
            Smirnov), 0 to 1.
        p_value: of the permutation test alone, one-sided.
        corrected: the same, corrected for the number of tests (Holm).
    """

    what: str
    statistic: float
    p_value: float
    corrected: float

    @property
    def is_shown(self) -> bool:
        """Whether drift is significant at 5% over all tests."""
        return self.corrected < SIGNIFICANT


@dataclass(frozen=True, eq=False)
class Renamings:
    """Which of m + n rows are called new.

    Attributes:
        new: (1 + permutations, m + n) of 0 and 1, the truth in the first row: reference rows come
            first.
    """

    new: _Singles

    @classmethod
    def of(cls, reference: int, new: int, seed: int, permutations: int = PERMUTATIONS) -> Renamings:
        """Draw them for so many rows of either kind."""
        truth = np.repeat(np.array([0, 1], dtype=np.float32), [reference, new])
        drawn = np.tile(truth, (1 + permutations, 1))
        drawn[1:] = np.random.default_rng(seed).permuted(drawn[1:], axis=1)
        return cls(drawn)

    @property
    def rows(self) -> tuple[int, int]:
        """Numbers of reference and of new rows."""
        new = int(self.new[0].sum())
        return self.new.shape[1] - new, new

    def p_value(self, statistics: Floats) -> float:
        """Return the share of (1 + permutations) statistics that reach the first one."""
        return float((statistics >= statistics[0] - _ROUNDING).mean())


def text_drift(features: Floats, names: Renamings, seed: int) -> tuple[float, float, Floats]:
    """Return area under the ROC curve, p-value, and how foreign each of (m + n, d) rows looks.

    A linear discriminant with shrunk covariance learns to tell new from reference rows on four of
    five folds and judges the fifth, so no row is judged by what was learned from it. The p-value is
    of the difference of its mean scores, which shows a few very foreign rows better than the area
    does (`benchmarks/LOG.md`). Foreign is by how many standard deviations of the reference rows the
    score of a row is above their mean.

    Source: Lopez-Paz and Oquab, Revisiting classifier two-sample tests, ICLR 2017; a permutation
    takes no second factorization, as the discriminant is linear in the names.
    """
    rows, spread = len(features), features.std(axis=0)
    scaled = ((features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)).astype("f4")
    fold = np.random.default_rng(seed).permutation(rows) % FOLDS
    gaps, area, foreign = np.zeros(len(names.new)), 0.0, np.zeros(rows)
    for number in range(FOLDS):
        seen, held = fold != number, fold == number
        scores = _discriminant(scaled[seen], names.new[:, seen], scaled[held])
        own = names.new[:, held]
        new = own.sum(axis=1)
        known = own.shape[1] - new
        sums, every = np.einsum("pr,pr->p", scores, own), scores.sum(axis=1)
        gap = sums / np.maximum(new, 1) - (every - sums) / np.maximum(known, 1)
        weight = own.shape[1] / rows
        gaps += gap / np.maximum(scores.std(axis=1), _LEAST) * weight
        foreign[held], of_fold = _standing(scores[0], own[0] == 1)
        area += of_fold * weight
    return area, names.p_value(gaps), foreign


def _standing(scores: Floats, new: Booleans) -> tuple[Floats, float]:
    """Return (h,) scores in deviations of known rows, and the area under the ROC curve."""
    from scipy.stats import rankdata

    known, count = scores[~new], int(new.sum())
    if not count or not len(known):
        return np.zeros(len(scores)), 0.5
    above = rankdata(scores)[new].sum() - count * (count + 1) / 2
    away = (scores - known.mean()) / max(float(known.std()), _LEAST)
    return away, float(above / (count * len(known)))


def _discriminant(seen: _Singles, new: _Singles, held: _Singles) -> Floats:
    """Return the (p, h) scores of held rows for p ways to name (s, d) seen rows, (p, s)."""
    from scipy.linalg import cho_factor, cho_solve

    away = new - new.mean(axis=1, keepdims=True)
    ridge = np.float32(SHRINKAGE * len(seen))
    if seen.shape[1] <= len(seen):
        factor = cho_factor(seen.T @ seen + ridge * np.eye(seen.shape[1], dtype=np.float32))
        return np.asarray((away @ seen) @ cho_solve(factor, held.T))
    factor = cho_factor(seen @ seen.T + ridge * np.eye(len(seen), dtype=np.float32))
    return np.asarray(away @ cho_solve(factor, seen @ held.T))


def label_drift(given: Integers, names: Renamings) -> tuple[float, float]:
    """Return the population stability index of predicted labels, and its p-value.

    `given` is (m + n, k) of 0 and 1; the index of labels that exclude each other is the sum over
    them of (new - known share) log (new / known share), else its mean over labels, each against
    its absence.
    """
    reference, new = names.rows
    found = (names.new @ given.astype(np.float32)).astype(np.float64)
    before = given.sum(axis=0) - found
    if (given.sum(axis=1) == 1).all():
        of = _index(before, reference, found, new, given.shape[1]).sum(axis=1)
    else:
        there = _index(before, reference, found, new, 2)
        absent = _index(reference - before, reference, new - found, new, 2)
        of = (there + absent).mean(axis=1)
    return float(of[0]), names.p_value(of)


def _index(before: Floats, reference: int, after: Floats, new: int, classes: int) -> Floats:
    known = (before + _PRIOR) / (reference + _PRIOR * classes)
    share = (after + _PRIOR) / (new + _PRIOR * classes)
    return np.asarray((share - known) * np.log(share / known))


def confidence_drift(confidence: Floats, names: Renamings) -> tuple[float, float]:
    """Return the largest difference of two distributions of (m + n,) confidence, and its p-value.

    Source: Smirnov, Table for estimating the goodness of fit of empirical distributions, 1948.
    """
    reference, new = names.rows
    order = np.argsort(confidence, kind="stable")
    called = np.cumsum(names.new[:, order], axis=1)
    away = called * np.float32(1 / new + 1 / reference)
    away -= np.arange(1, len(order) + 1, dtype=np.float32) / np.float32(reference)
    last = np.append(np.diff(confidence[order]) > 0, True)  # of equal ones only the last counts
    of = np.abs(away[:, last]).max(axis=1)
    return float(of[0]), names.p_value(of)


def corrected(found: Sequence[tuple[str, float, float]]) -> tuple[DriftTest, ...]:
    """Return tests of name, statistic and p-value with p-values corrected for their number."""
    raised = holm([p_value for _, _, p_value in found])
    return tuple(DriftTest(*of, p_value) for of, p_value in zip(found, raised, strict=True))


def estimated_accuracy(before: Floats, right: Booleans, now: Floats) -> Score:
    """Return the accuracy on texts like n new ones, with its 95% interval; nan without two rows.

    The threshold of confidence that as many reference rows reach as are right there; the accuracy
    on new rows is the share of them that reach it. This assumes that confidence above the threshold
    is worth as much on new rows, which a model that is wrong with confidence on unknown kinds of
    texts breaks. Without a shift the mean confidence and the difference of confidences (Guillory et
    al., ICCV 2021) have smaller errors, but with one their intervals miss far more often:
    `benchmarks/LOG.md`.

    Source: Garg et al., Leveraging unlabeled data to predict out-of-distribution performance, ICLR
    2022 (average thresholded confidence).

    Args:
        before: (m,) confidence on reference rows, independent of each other.
        right: (m,) whether the model is right there.
        now: (n,) confidence on the new rows.
    """
    m, n = len(before), len(now)
    if m < 2 or n < 2:
        return Score(math.nan, math.nan, math.nan, n)
    threshold = np.quantile(before, 1 - right.mean())
    away = right.astype(np.float64) - (before >= threshold)  # its mean is not 0 only if many tie
    share = float((now >= threshold).mean())
    smoothed = (share * n + _UNSEEN) / (n + 2 * _UNSEEN)
    known = float(away.var()) + _UNSEEN / m
    error = math.sqrt(known / m + smoothed * (1 - smoothed) / n)
    value = share + float(away.mean())
    ends = Estimate(value, error, min(m, n) - 1.0, n).interval()
    value, low, high = (min(1.0, max(0.0, of)) for of in (value, *ends))
    return Score(value, low, high, n)
