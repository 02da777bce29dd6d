"""Whether chance explains that a slice is worse or better than the other rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

import numpy as np

from finetext.types import Floats, Integers

SIGNIFICANT: Final = 0.05


@final
class Chance:
    """Tests the mean of a slice's values against that of the other rows.

    Values of 0 and 1 are tested by Fisher's exact test, on the hypergeometric distribution. The
    mean of others over all subsets of the size of the slice is taken to follow Pearson's type III
    distribution with the same mean, variance and skewness (Mielke and Berry, Permutation Methods,
    2007).

    Rows of a group resemble each other. So numbers of rows are divided by the design effect, the
    factor by which groups widen the variance of the difference (Rao and Scott, A simple method
    for the analysis of clustered binary data, Biometrics 1992); it is 1 at least.
    """

    def __init__(self, values: Floats, unit: Integers | None = None) -> None:
        """Prepare all rows.

        Args:
            values: (n,) the value of each row; three rows or more.
            unit: (n,) the number of the group of each row; None if there are no groups.
        """
        self._values, self._unit = values, unit
        self._away = values - values.mean()
        self._variance = float((self._away**2).mean())
        self._binary = bool(np.isin(values, (0, 1)).all())
        units = 0 if unit is None else int(unit.max()) + 1
        self._of_units = np.zeros(0) if unit is None else np.bincount(unit, self._away, units)

    def p_values(self, slices: Sequence[Integers]) -> Floats:
        """Two-sided: how likely a difference as large is between random rows and the rest.

        Args:
            slices: for each slice the positions of its rows, some but not all.

        Returns:
            (slices,) twice the smaller tail, 1 at most.
        """
        if self._variance < 1e-24 or not slices:
            return np.ones(len(slices))
        sizes = np.array([len(rows) for rows in slices], dtype=np.float64)
        sums = np.array([self._values[rows].sum() for rows in slices])
        effects = np.array([self._design_effect(rows) for rows in slices])
        tails = self._exact if self._binary else self._by_moments
        return np.asarray(np.minimum(1, 2 * np.minimum(*tails(sizes, sums, effects))))

    def _design_effect(self, rows: Integers) -> float:
        if self._unit is None:
            return 1.0
        m, rest, units = len(rows), len(self._values) - len(rows), len(self._of_units)
        inside = np.bincount(self._unit[rows], self._away[rows], units)
        difference = inside / m - (self._of_units - inside) / rest
        between = float((difference**2).sum()) * units / max(units - 1, 1)
        return max(1.0, between / (self._variance * (1 / m + 1 / rest)))

    def _exact(self, sizes: Floats, sums: Floats, effects: Floats) -> tuple[Floats, Floats]:
        """Both tails of the hypergeometric distribution."""
        from scipy.stats import hypergeom

        others, others_right = len(self._values) - sizes, self._values.sum() - sums
        cells = (sums, sizes - sums, others_right, others - others_right)
        right, wrong, right_beside, wrong_beside = (np.rint(cell / effects) for cell in cells)
        all_right, drawn = right + right_beside, right + wrong
        rows = drawn + right_beside + wrong_beside
        return (
            hypergeom.cdf(right, rows, all_right, drawn),
            hypergeom.sf(right - 1, rows, all_right, drawn),
        )

    def _by_moments(self, sizes: Floats, sums: Floats, effects: Floats) -> tuple[Floats, Floats]:
        """Both tails of Pearson's type III distribution."""
        from scipy.stats import pearson3

        n, rests = len(self._values), len(self._values) - sizes
        spread = np.sqrt(self._variance / sizes * rests / (n - 1) * effects)
        skewness = float((self._away**3).mean()) / self._variance**1.5
        of_mean = skewness * (n - 2 * sizes) / (n - 2) * np.sqrt((n - 1) / sizes / rests * effects)
        seen = (sums / sizes - self._values.mean()) / spread
        return pearson3.cdf(seen, of_mean), pearson3.sf(seen, of_mean)


def corrected(p_values: Floats) -> Floats:
    """P-values corrected for their number by Holm's method.

    Whatever the tests have to do with each other, the probability that any difference is named
    that chance alone has made is 5% at most (Holm, A simple sequentially rejective multiple test
    procedure, Scandinavian Journal of Statistics 1979).
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(order), 0, -1)
    raised = np.empty(len(order))
    raised[order] = np.minimum(np.maximum.accumulate(p_values[order] * factors), 1)
    return raised
