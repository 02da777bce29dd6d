"""The scores of the trainings of a learning curve: means, standard errors and intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from finetext.core.arrays import Floats
from finetext.core.types import Score
from finetext.evaluation.estimates import Estimate, of_folds
from finetext.evaluation.intervals import widened

_ALL_ROWS: Final = 0.99
"""Share of the training rows from which all trainings count as made from the same rows."""
_LEAST: Final = 1e-12


@dataclass(frozen=True)
class Training:
    """Key of a training: fingerprint of the method, size of the share, seed of both."""

    method: str
    labels: int
    seed: int


@dataclass(frozen=True)
class Fit:
    """The result of a training: method, rows of the share, score, and seconds.

    If it is cross-validated, `folds` is what each fold adds to the score
    (`evaluation.fold_scores`).
    """

    rung: str
    rows: int
    score: float
    replicates: tuple[float, ...]
    seconds: float
    folds: tuple[float, ...] = ()


FitsBySize = Sequence[Sequence[Fit]]


@dataclass(frozen=True, eq=False)
class Series:
    """The (m, s) scores of a method, or differences of two, on m shares in s trainings.

    Rows and share (of all rows) are (m,); replicates (m, resamples) are means over trainings.
    `folds`, (m, s, k), is what each fold adds, if they are cross-validated.
    """

    rows: Floats
    share: Floats
    scores: Floats
    replicates: Floats
    folds: Floats | None = None

    @classmethod
    def of(cls, fits: FitsBySize, training_rows: int) -> Series:
        """Return the series of the fits of one method, as many for each share."""
        rows = np.array([np.mean([fit.rows for fit in some]) for some in fits])
        scores = np.array([[fit.score for fit in some] for some in fits])
        replicates = np.array([np.mean([fit.replicates for fit in some], 0) for some in fits])
        folds = np.array([[fit.folds for fit in some] for some in fits])
        share = np.minimum(rows / training_rows, 1.0)
        return cls(rows, share, scores, replicates, folds if folds.size else None)

    def minus(self, other: Series) -> Series:
        """Return the paired differences: the same shares, trainings and resamples of rows."""
        scores, replicates = self.scores - other.scores, self.replicates - other.replicates
        is_crossed = self.folds is not None and other.folds is not None
        folds = self.folds - other.folds if is_crossed else None  # type: ignore[operator]
        return replace(self, scores=scores, replicates=replicates, folds=folds)

    @cached_property
    def value(self) -> Floats:
        """(m,) means over trainings."""
        return np.asarray(self.scores.mean(axis=1))

    @cached_property
    def row_noise(self) -> Floats:
        """(m, resamples) deviation of each resample of the validation rows."""
        defined = np.where(np.isfinite(self.replicates), self.replicates, np.nan)
        mean = np.nan_to_num(np.nanmean(defined, axis=1, keepdims=True))
        return np.asarray(np.nan_to_num(defined - mean))

    @cached_property
    def noise(self) -> Floats:
        """(m, resamples) the same, wider where folds that share training rows vary more."""
        seen, whole = self.row_noise.var(axis=1), self.standard_error**2 - self.training_variance
        factor = np.sqrt(np.where(seen > 0, whole / np.where(seen > 0, seen, 1), 1))
        return np.asarray(self.row_noise * np.maximum(factor, 1)[:, None])

    @cached_property
    def training_variance(self) -> Floats:
        """(m,) variance of each mean by the choice of the share and by training.

        It falls as 1/rows and is pooled over the shares, with the correction for finite
        populations, since shares overlap; 0 with one training.
        """
        trainings = self.scores.shape[1]
        if trainings < 2:
            return np.zeros(len(self.rows))
        seen = self.scores.var(axis=1, ddof=1)
        apart = self.share < _ALL_ROWS
        unlike = np.where(apart, 1 - self.share, 1)
        per_row = (self.rows * seen / unlike)[apart]
        pooled = float(per_row.mean()) / self.rows if len(per_row) else np.zeros(len(self.rows))
        pooled = pooled * ((1 - self.share) / trainings + self.share)
        return np.asarray(np.where(apart, pooled, np.maximum(pooled, seen / trainings)))

    @cached_property
    def standard_error(self) -> Floats:
        """(m,) of the means, by rows and trainings, and not below `by_folds`."""
        usual = np.sqrt(self.row_noise.var(axis=1) + self.training_variance)
        return np.asarray(np.maximum(usual, self.by_folds))

    @cached_property
    def by_folds(self) -> Floats:
        """(m,) standard errors corrected for the rows that folds share; 0 without folds.

        See `evaluation.estimates.of_folds`.
        """
        if self.folds is None:
            return np.zeros(len(self.rows))
        pairs = zip(self.value.tolist(), self.folds, strict=True)
        return np.nan_to_num([of_folds(value, folds, folds.size).error for value, folds in pairs])

    def intervals(self, units: int, proportion: bool) -> list[Score]:
        """Return the means with 95% intervals of Student's t, at most 0 to 1 for a proportion."""
        from scipy.stats import t

        far = np.asarray(t.ppf(0.975, self._freedom)) * self.standard_error
        scores = []
        for value, away in zip(self.value.tolist(), far.tolist(), strict=True):
            low, high = value - away, value + away
            if proportion:
                low, high = widened(max(low, 0.0), min(high, 1.0), units)
            scores.append(Score(value, low, high, units))
        return scores

    def estimates(self, sign: float, units: int) -> list[Estimate]:
        """Return the means as estimates, times the sign, which is -1 where lower is better."""
        parts = zip(self.value, self.standard_error, self._freedom, strict=True)
        return [Estimate(sign * float(v), float(e), float(f), units) for v, e, f in parts]

    def p_values(self) -> Floats:
        """(m,) two-sided p-values of a mean of 0."""
        from scipy.stats import t

        far = np.abs(self.value) / np.maximum(self.standard_error, _LEAST)
        return np.asarray(2 * t.sf(far, self._freedom))

    @property
    def _freedom(self) -> Floats:
        """(m,) degrees of freedom (Satterthwaite 1946); the spread over rows counts as known."""
        m, trainings = self.scores.shape
        of_trainings = self.training_variance**2 / max(m * (trainings - 1), 1)
        whole = self.standard_error**4
        known = of_trainings <= whole * _LEAST
        found = np.where(known, np.inf, whole / np.where(known, 1, of_trainings))
        if self.folds is None:
            return np.asarray(found)
        freedom = self.folds.shape[1] * (self.folds.shape[2] - 1)
        return np.asarray(np.minimum(found, freedom))
