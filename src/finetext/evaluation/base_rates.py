"""Whether new texts have other shares of labels than those a model knows, and the correction.

Both assume label shift: texts within a class look as before, only the shares of classes change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np

from finetext.core.arrays import Floats, Integers, Number
from finetext.core.errors import DataError
from finetext.core.types import LabelScheme, Predictions, Score
from finetext.evaluation.calibration import confidence
from finetext.evaluation.estimates import SIGNIFICANT, Estimate
from finetext.evaluation.several import holm
from finetext.storage.codec import Jsonable

MOST_ROWS: Final = 20_000
"""Rows that are kept to estimate shares."""
_MOST_VALUES: Final = 4_000_000
FEWEST_EXPECTED: Final = 5
"""Least rows expected with and without a label for it to be tested."""
_MOST_UNDERCONFIDENT: Final = 0.05
"""From about there on a correction makes predictions worse: `benchmarks/shift.py cautious`."""
_ONE_SIDED: Final = 1.645
"""Standard errors above which something is significant at 5%, on one side."""
_RESAMPLES: Final = 200
_STEPS: Final = 1_000
_CLOSE: Final = 1e-6
_PRIOR_ROWS: Final = 5
"""Rows with the known shares that EM adds, so that no class becomes impossible by chance."""


@dataclass(frozen=True)
class BaseRates(Jsonable):
    """The shares of k labels on rows that a model was not fitted on, and what it predicted there.

    Attributes:
        rows: number of rows.
        rates: k shares of the rows that have each label.
        means: k means of the predicted probabilities.
        deviations: k standard deviations of the predicted probabilities.
        errors: k standard errors of the means, over groups where there are any.
        underconfidence: share of the rows that is right minus the mean probability of the
            likeliest class; 0 if chance explains it (one-sided 5%), or if a row can have several.
    """

    rows: int
    rates: tuple[Number, ...]
    means: tuple[Number, ...]
    deviations: tuple[Number, ...]
    errors: tuple[Number, ...]
    underconfidence: float = 0.0

    @property
    def is_correctable(self) -> bool:
        """Whether the model is not so underconfident that a correction would do harm."""
        return self.underconfidence < _MOST_UNDERCONFIDENT

    @classmethod
    def of(cls, predictions: Predictions) -> BaseRates:
        """Return the base rates of validation rows; raises a DataError for fewer than two."""
        n, likely = len(predictions), predictions.probabilities.astype(np.float64)
        if n < 2:
            raise DataError(f"base rates need two rows or more, and there are {n}")
        targets = predictions.targets
        if not predictions.scheme.multilabel:
            targets = targets[:, None] == np.arange(len(predictions.scheme))
        away = likely - likely.mean(axis=0)
        unit = np.arange(n)
        if predictions.groups is not None:
            unit = np.unique(predictions.groups, return_inverse=True)[1]
        units = int(unit.max()) + 1
        sums = np.stack([np.bincount(unit, column, units) for column in away.T], axis=1)
        of_units = np.sqrt((sums**2).sum(axis=0) * units / max(units - 1, 1)) / n
        found = targets.mean(axis=0), likely.mean(axis=0), likely.std(axis=0, ddof=1), of_units
        rates, means, deviations, errors = (tuple(map(float, values)) for values in found)
        low = 0.0 if predictions.scheme.multilabel else _underconfidence(predictions, unit)
        return cls(n, rates, means, deviations, errors, low)

    def of_label(self, at: int) -> BaseRates:
        """Return the base rates of one label of several as those of two classes: with, without."""
        rates, means = ((of[at], 1 - of[at]) for of in (self.rates, self.means))
        deviations, errors = ((of[at], of[at]) for of in (self.deviations, self.errors))
        return BaseRates(self.rows, rates, means, deviations, errors)


@dataclass(frozen=True)
class LabelShare:
    """The share of a label among new texts.

    Attributes:
        known: share of the validation rows that have it.
        share: estimated share of the new texts, with its 95% interval.
        difference: mean predicted probability of the new texts minus that of validation rows.
        p_value: two-sided, of that difference; corrected for all labels tested (Holm).
    """

    label: str
    known: float
    share: Score
    difference: Score
    p_value: Number


@dataclass(frozen=True)
class BaseRateCheck(Jsonable):
    """Shares of labels among new texts, compared with those of validation rows.

    Attributes:
        rows: rows that the estimate rests on.
        tested: number of labels with enough rows to be tested.
        shifted: labels whose share differs by more than chance allows, largest change first.
        weights: k factors for the probabilities of a row, which then are scaled to 1; None if no
            label is shifted, in a multi-label scheme, or if the model is too underconfident.
    """

    rows: int
    tested: int
    shifted: tuple[LabelShare, ...] = ()
    weights: tuple[float, ...] | None = None


def check_base_rates(
    known: BaseRates, probabilities: Floats, scheme: LabelScheme, seed: int = 0
) -> BaseRateCheck:
    """Return whether new texts have other shares of labels than the model's validation rows.

    The test compares mean probabilities, so it needs no calibration, and is two-sided at 5% over
    all labels (Holm). The shares of the new texts are estimated by EM, which needs calibrated
    probabilities, with percentile intervals of 200 bootstrap resamples. A model that is
    underconfident by 5 points or more gets no weights, as they would push too many rows into the
    class that became more frequent.

    Source: Saerens, Latinne and Decaestecker, Adjusting the outputs of a classifier to new a
    priori probabilities, Neural Computation, 2002.

    Args:
        known: base rates of validation rows with the same classifier.
        probabilities: (n, k) of the new texts, before any correction.
        scheme: the k labels.
        seed: seed of the bootstrap.

    Raises:
        DataError: the number of labels differs.
    """
    if probabilities.ndim != 2 or not len(scheme) == probabilities.shape[1] == len(known.means):
        raise DataError(
            f"the base rates are of {len(known.means)} labels, and the probabilities have the "
            f"shape {probabilities.shape}"
        )
    likely = probabilities.astype(np.float64)
    columns = [scheme.positive_column] if scheme.is_binary else list(range(len(scheme)))
    tests = {
        at: _difference(known, likely[:, at], at) for at in columns if _enough(known, likely, at)
    }
    p_values = dict(zip(tests, holm([of.p_value() for of in tests.values()]), strict=True))
    shifted = [at for at in tests if p_values[at] < SIGNIFICANT]
    if not shifted:
        return BaseRateCheck(len(likely), len(tests))
    shares, weights = _shares(known, likely, shifted, scheme.multilabel, seed)
    changes = sorted(shifted, key=lambda at: -abs(shares[at].value - known.rates[at]))
    found = tuple(
        LabelShare(scheme.names[at], known.rates[at], shares[at],
                   Score(tests[at].value, *tests[at].interval(), len(likely)), p_values[at])
        for at in changes
    )  # fmt: skip
    return BaseRateCheck(len(likely), len(tests), found, weights if known.is_correctable else None)


def correct_base_rates(probabilities: Floats, weights: Sequence[float]) -> Floats:
    """Return (n, k) probabilities for other shares of classes; rows sum to 1.

    `weights` are those of a `BaseRateCheck`: new share over known share of each class.
    """
    weighted = probabilities * np.asarray(weights)
    totals = weighted.sum(axis=1, keepdims=True)
    return np.asarray(
        np.where(totals > 0, weighted / np.where(totals > 0, totals, 1), probabilities)
    )


def _underconfidence(predictions: Predictions, unit: Integers) -> float:
    """Return by how much confidence is too low, 0 if chance explains it.

    The mean over all rows is tested and not its bins, as in `consistency`, since the bins of 30
    rows notice nothing (`benchmarks/shift.py cautious`). Rows of one unit vary together.
    """
    sure, right = confidence(predictions)
    away: Floats = right - sure.astype(np.float64)
    together = np.bincount(unit, away - away.mean())
    chance = (sure * (1 - sure)).sum()
    if len(together) < len(away):
        chance = max(chance, (together**2).sum())
    return float(away.mean()) if away.sum() > _ONE_SIDED * np.sqrt(chance) else 0.0


def _enough(known: BaseRates, likely: Floats, at: int) -> bool:
    rarer = min(known.means[at], 1 - known.means[at])
    return bool(min(len(likely), known.rows) * rarer >= FEWEST_EXPECTED)


def _difference(known: BaseRates, likely: Floats, at: int) -> Estimate:
    """Return new minus known mean probability; the error is that of rows from one source.

    Rows in groups count for less, in the new texts, too, whose groups are not known.
    """
    n, m = len(likely), known.rows
    before, now = known.deviations[at] ** 2, float(likely.var(ddof=1))
    pooled = ((m - 1) * before + (n - 1) * now) / (n + m - 2)
    by_groups = max(1.0, known.errors[at] ** 2 * m / before) if before else 1.0
    error = float(np.sqrt(pooled * by_groups * (1 / n + 1 / m)))
    return Estimate(float(likely.mean()) - known.means[at], error, n + m - 2, n)


def _shares(
    known: BaseRates, likely: Floats, wanted: Sequence[int], multilabel: bool, seed: int
) -> tuple[dict[int, Score], tuple[float, ...] | None]:
    """Return the share of each wanted label, and the weights of all in a single-label scheme."""
    if not multilabel:
        values, low, high, weights = _estimated(likely, known, seed)
        found = {at: Score(float(values[at]), float(low[at]), float(high[at]), len(likely))
                 for at in wanted}  # fmt: skip
        return found, tuple(map(float, weights))
    found = {}
    for at in wanted:  # each label of its own: given, or not
        both = np.stack([likely[:, at], 1 - likely[:, at]], axis=1)
        values, low, high, _ = _estimated(both, known.of_label(at), seed)
        found[at] = Score(float(values[0]), float(low[0]), float(high[0]), len(likely))
    return found, None


def _estimated(
    likely: Floats, known: BaseRates, seed: int
) -> tuple[Floats, Floats, Floats, Floats]:
    """Return shares by EM, the ends of their intervals, and the factors of probabilities, (k,)."""
    random = np.random.default_rng(seed)
    rates, means, errors = (np.array(of) for of in (known.rates, known.means, known.errors))
    deviations = np.maximum(known.deviations, np.finfo(np.float64).tiny)
    n, k = likely.shape
    whole = _factors(likely, means[None, :], np.ones((n, 1)), np.ones((1, k)), _STEPS)
    drawn = np.stack([np.bincount(random.integers(n, size=n), minlength=n)
                      for _ in range(_RESAMPLES)], axis=1).astype(np.float64)  # fmt: skip
    moved = np.maximum(means + _apart(means, errors, random), means / 10)
    moved /= moved.sum(axis=1, keepdims=True) / means.sum()
    resampled = _factors(likely, moved, drawn, whole.repeat(_RESAMPLES, axis=0), _STEPS // 10)
    # A calibrated model still has other shares on few rows than it predicts.
    chance = np.sqrt(np.clip(means * (1 - means) - deviations**2, 0, None)) * errors / deviations
    moved += rates - means + _apart(means, chance, random)
    shares = np.maximum(moved, 0) * resampled
    shares /= shares.sum(axis=1, keepdims=True)
    value = rates * whole[0]
    low, high = np.quantile(shares, [0.025, 0.975], axis=0)
    value /= value.sum()
    return value, np.minimum(low, value), np.maximum(high, value), whole[0]


def _apart(means: Floats, errors: Floats, random: np.random.Generator) -> Floats:
    """Return how far shares may be from their means by chance, (resamples, k), summing to 0."""
    drawn = errors * random.normal(size=(_RESAMPLES, len(means)))
    drawn -= means * drawn.sum(axis=1, keepdims=True)
    spread = np.sqrt(errors**2 * (1 - 2 * means) + means**2 * (errors**2).sum())
    return np.asarray(drawn * errors / np.maximum(spread, np.finfo(np.float64).tiny))


def _factors(likely: Floats, means: Floats, drawn: Floats, start: Floats, steps: int) -> Floats:
    """Return new over known share of each class for b resamples, (b, k), by EM.

    Args:
        likely: (n, k) probabilities.
        means: (b, k) known shares of classes.
        drawn: (n, b) how often each resample has each row.
        start: (b, k) factors to begin with.
        steps: most iterations.
    """
    least = np.finfo(np.float64).tiny
    rows, factors, after = drawn.sum(axis=0)[:, None], start, start
    for _ in range(steps):
        mixed = np.maximum(likely @ factors.T, least)
        given = factors * ((drawn / mixed).T @ likely) / np.maximum(means, least)
        after = (given + _PRIOR_ROWS) / (rows + _PRIOR_ROWS)
        if (np.abs(after - factors) * means).max() < _CLOSE:
            break
        factors = after
    return np.asarray(after)


@final
class SampledRows:
    """At most 20,000 rows of probabilities out of any number, each as likely to be kept.

    Source: Vitter, Random sampling with a reservoir, ACM TOMS, 1985.
    """

    def __init__(self, labels: int, seed: int = 0) -> None:
        """Take rows of so many labels; fewer rows are kept of more than 200 labels."""
        self.seen = 0
        self._most = max(1, min(MOST_ROWS, _MOST_VALUES // max(labels, 1)))
        self._rows: list[Any] = []
        self._random = np.random.default_rng(seed)

    def add(self, probabilities: Floats) -> None:
        """Look at further rows, (n, k)."""
        for row in probabilities:
            self.seen += 1
            if len(self._rows) < self._most:
                self._rows.append(np.array(row))
            elif (place := int(self._random.integers(self.seen))) < self._most:
                self._rows[place] = np.array(row)

    @property
    def probabilities(self) -> Floats:
        """The rows that were kept, (n, k)."""
        return np.stack(self._rows)

    def __len__(self) -> int:
        return len(self._rows)
