"""The scores of a rung on growing shares, with the chance in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from finetext.diagnosis.ledger import Fit
from finetext.evaluation.intervals import widened
from finetext.types import Floats, Score

_ALL: Final = 0.99
"""Share of the training rows from which all trainings count as made from the same rows."""
_LEAST: Final = 1e-12


@dataclass(frozen=True, eq=False)
class Series:
    """Scores of one rung, or differences of two, on m shares in s trainings.

    Attributes:
        rows: rows of each share, (m,).
        share: the same as shares of all training rows, (m,).
        scores: (m, s).
        replicates: mean over trainings on each resample of the validation rows, (m, resamples).
    """

    rows: Floats
    share: Floats
    scores: Floats
    replicates: Floats

    @classmethod
    def of(cls, fits: Sequence[Sequence[Fit]], training_rows: int) -> Series:
        """The series of the fits of one rung.

        Args:
            fits: m lists of s fits each.
            training_rows: rows there are to learn from in all.
        """
        rows = np.array([np.mean([fit.rows for fit in some]) for some in fits])
        scores = np.array([[fit.score for fit in some] for some in fits])
        replicates = np.array([np.mean([fit.replicates for fit in some], 0) for some in fits])
        return cls(rows, rows / training_rows, scores, replicates)

    def less(self, other: Series) -> Series:
        """The paired differences: the same shares, trainings and resamples of rows."""
        return replace(
            self,
            scores=self.scores - other.scores,
            replicates=self.replicates - other.replicates,
        )

    @property
    def value(self) -> Floats:
        """(m,) means over trainings."""
        return np.asarray(self.scores.mean(axis=1))

    @property
    def row_noise(self) -> Floats:
        """(m, resamples): what each resample of the validation rows adds."""
        defined = np.where(np.isfinite(self.replicates), self.replicates, np.nan)
        mean = np.nan_to_num(np.nanmean(defined, axis=1, keepdims=True))
        return np.asarray(np.nan_to_num(defined - mean))

    @property
    def training_variance(self) -> Floats:
        """(m,) variance of each mean by the choice of the share and by training.

        It is taken to fall as 1/rows, and pooled over the shares. What the shares of different
        seeds have in common, since they come from the same training rows, makes their scores look
        more alike than those of fresh rows would be; the correction is that for finite
        populations. With one training there is nothing to tell it by, and it is 0.
        """
        trainings = self.scores.shape[1]
        if trainings < 2:
            return np.zeros(len(self.rows))
        seen = self.scores.var(axis=1, ddof=1)
        apart = self.share < _ALL
        unlike = np.where(apart, 1 - self.share, 1)
        per_row = (self.rows * seen / unlike)[apart]
        pooled = float(per_row.mean()) / self.rows if len(per_row) else np.zeros(len(self.rows))
        pooled = pooled * ((1 - self.share) / trainings + self.share)
        return np.asarray(np.where(apart, pooled, np.maximum(pooled, seen / trainings)))

    @property
    def standard_error(self) -> Floats:
        """(m,) of the means, by rows and trainings."""
        return np.asarray(np.sqrt(self.row_noise.var(axis=1) + self.training_variance))

    def intervals(self, units: int, proportion: bool) -> list[Score]:
        """The means with 95% intervals of Student's t.

        Args:
            units: rows, or groups of rows, that they were measured on.
            proportion: whether a score lies from 0 to 1.
        """
        far = self._quantile() * self.standard_error
        scores = []
        for value, away in zip(self.value.tolist(), far.tolist(), strict=True):
            low, high = value - away, value + away
            if proportion:
                low, high = widened(max(low, 0.0), min(high, 1.0), units)
            scores.append(Score(value, low, high, units))
        return scores

    def p_values(self) -> Floats:
        """(m,) two-sided: how likely so large a mean is where the truth is 0."""
        from scipy.stats import t

        far = np.abs(self.value) / np.maximum(self.standard_error, _LEAST)
        return np.asarray(2 * t.sf(far, self._freedom))

    @property
    def _freedom(self) -> Floats:
        """(m,) degrees of freedom: of the spread between trainings, as far as that matters.

        The approximation is that of Satterthwaite (1946); the spread over rows counts as known.
        """
        m, trainings = self.scores.shape
        of_trainings = self.training_variance**2 / max(m * (trainings - 1), 1)
        whole = self.standard_error**4
        known = of_trainings <= whole * _LEAST
        return np.asarray(np.where(known, np.inf, whole / np.where(known, 1, of_trainings)))

    def _quantile(self) -> Floats:
        from scipy.stats import t

        return np.asarray(t.ppf(0.975, self._freedom))
