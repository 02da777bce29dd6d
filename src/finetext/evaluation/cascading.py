"""The threshold of a cascade, certified on rows that neither of its two classifiers learned from.

A cascade answers with the cheap classifier where that is confident, and else with the expensive
one. What it loses on a row is 1 if only the expensive one alone is right, -1 if only the cascade
is, else 0. The mean of that over new rows is how much accuracy the cascade costs.

Thresholds are tested from "all texts are sent on" downward, each at the same level, until one is
not shown to lose less than allowed: the fixed sequence of Learn then Test (Angelopoulos, Bates,
Candes, Jordan and Lei, Learn then test: Calibrating predictive algorithms to achieve risk control,
2021). So the threshold that is found loses more with a probability of at most the level, however
many were tested. They are quantiles of the confidence of these rows, which no label has a part in;
the proof takes thresholds that are fixed before, so `benchmarks/cascade.py` counts how often a
certificate is wrong.

The p-values hold for any number of rows. Of independent rows they are those of the exact
unconditional test of noninferiority in matched pairs (Hsueh, Liu and Chen, Unconditional exact
tests for equivalence or noninferiority for paired binary endpoints, Biometrics, 2001) with the
score statistic of Tango (Statistics in Medicine, 1998). Its nuisance parameter, the share of rows
that only the cascade has right, is searched on a grid in a confidence interval (Berger and Boos,
P values maximized over a confidence set for the nuisance parameter, JASA, 1994). Where rows are in
groups, the mean loss of a group is what is independent, and a test by betting takes its place
(Waudby-Smith and Ramdas, Estimating means of bounded random variables by betting, JRSS B, 2024).
Where no unit loses anything, that needs about a quarter more of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Self

import numpy as np

from finetext.core.arrays import Floats, Integers, Number
from finetext.core.types import Predictions, Score
from finetext.evaluation.compare import compare, is_right
from finetext.evaluation.estimates import CONFIDENCE, SIGNIFICANT
from finetext.evaluation.proportions import exact_interval, proportion
from finetext.storage.codec import Jsonable

STEPS: Final = 20
"""Thresholds that are tested, each of which sends 1/20 of the rows less on than the one before."""
_MOST_UNITS: Final = 10_000_000
_NUISANCE_SHARE: Final = 0.02
"""Of the level: the probability that the nuisance parameter is outside of its interval."""
_GRID: Final = 40
_FARTHEST: Final = 6.0
_NEGLIGIBLE: Final = 1e-9
_BETS: Final = np.array([0.05, 0.15, 0.3, 0.5, 0.7, 0.95])
"""Shares of the capital that are bet."""
_STAKES: Final = np.array([0.1, 0.1, 0.1, 0.1, 0.1, 0.5])
"""What of the capital goes into each of these bets: half into the one for no loss at all."""


@dataclass(frozen=True)
class Certificate(Jsonable):
    """What is known of a cascade with a threshold.

    Attributes:
        threshold: confidence below which a text is sent on.
        most_loss: accuracy that it loses at most, with the stated confidence; a share, not points.
        confidence: probability with which that holds, over draws of the held-out rows.
        candidates: cheap classifiers among which it was chosen; each was tested at its share of
            the level.
        p_value: of "it loses more", at this threshold.
        sent: share of the held-out rows that it sends on.
        loss: accuracy that it loses on them, with its 95% interval.
        units: number of independent rows, or of groups, each of which counts the same.
        grouped: whether the units are groups.
    """

    threshold: float
    most_loss: float
    confidence: float
    candidates: int
    p_value: Number
    sent: Score
    loss: Score
    units: int
    grouped: bool = False


def confidence_of(
    probabilities: Floats, multilabel: bool, cuts: Sequence[float] | None = None
) -> Floats:
    """Return (n,) how confident a classifier is of (n, k) probabilities.

    That is the probability of the likeliest label. Of multi-label rows it is the least distance of
    a probability from its threshold, one of k `cuts`, which are 0.5 by default.
    """
    if not multilabel:
        return np.asarray(probabilities.max(axis=1))
    limits = 0.5 if cuts is None else np.array(cuts)
    return np.asarray(np.abs(probabilities - limits).min(axis=1))


def cascaded(cheap: Predictions, expensive: Predictions, threshold: float) -> Predictions:
    """Return what the cascade of two classifiers predicts, by the decision rule of the second."""
    kept = _confidence(cheap, expensive) >= threshold
    likely = np.where(kept[:, None], cheap.probabilities, expensive.probabilities)
    return replace(expensive, probabilities=likely)


def _confidence(cheap: Predictions, expensive: Predictions) -> Floats:
    cuts = expensive.decision.thresholds
    return confidence_of(cheap.probabilities, expensive.scheme.multilabel, cuts)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Held-out rows of two classifiers that may become a cascade.

    Attributes:
        cheap: predictions of the cheap classifier.
        expensive: those of the expensive one for the same rows in the same order.
        confidence: (n,) of the cheap one.
        losses: (n,) 1 where only the expensive one is right, -1 where only the cheap one is, both
            by the decision rule of the expensive one; else 0.
    """

    cheap: Predictions
    expensive: Predictions
    confidence: Floats
    losses: Integers

    @classmethod
    def of(cls, cheap: Predictions, expensive: Predictions) -> Self:
        """Return the rows; the two have the same ids in the same order."""
        decided = replace(cheap, decision=expensive.decision)
        losses = is_right(expensive).astype(np.int64) - is_right(decided).astype(np.int64)
        return cls(cheap, expensive, _confidence(cheap, expensive), losses)

    @property
    def grouped(self) -> bool:
        """Whether rows are in groups."""
        return self.expensive.groups is not None

    @property
    def units(self) -> int:
        """Number of rows, or of groups."""
        groups = self.expensive.groups
        return len(self.expensive) if groups is None else len(set(groups))

    def thresholds(self) -> list[float]:
        """Return the thresholds to test, from the one that sends most on; the last sends nothing.

        They are between the confidence of two rows, so that none is exactly at it.
        """
        levels = np.unique(self.confidence)
        ordered, found = np.sort(self.confidence), list[float]()
        for step in range(STEPS - 1, 0, -1):
            at = int(np.searchsorted(levels, ordered[len(ordered) * step // STEPS]))
            if at:
                found.append(float(levels[at - 1] + levels[at]) / 2)
        return [*dict.fromkeys(found), 0.0]

    def p_value(self, threshold: float, most_loss: float, level: float) -> float:
        """Return the p-value of "a cascade with this threshold loses more than allowed"."""
        losses = np.where(self.confidence >= threshold, self.losses, 0)
        groups = self.expensive.groups
        if groups is None:
            counts = int((losses > 0).sum()), int((losses < 0).sum())
            return exact_p_value(*counts, len(losses), most_loss, level)
        unit = np.unique(groups, return_inverse=True)[1]
        return betting_p_value(np.bincount(unit, losses) / np.bincount(unit), most_loss)

    def certify(self, most_loss: float, candidates: int = 1) -> Certificate | None:
        """Return the certificate of the lowest threshold that has one; None if none has.

        Args:
            most_loss: accuracy that may be lost, as a share above 0.
            candidates: cheap classifiers that are tried; each gets an equal share of the level.
        """
        level, found = SIGNIFICANT / candidates, None
        for threshold in self.thresholds():
            p_value = self.p_value(threshold, most_loss, level)
            if p_value > level:
                break
            found = threshold, p_value
        if found is None:
            return None
        return self._certificate(*found, most_loss, candidates)

    def _certificate(
        self, threshold: float, p_value: float, most_loss: float, candidates: int
    ) -> Certificate:
        sent = sent_by(self.cheap, self.expensive, threshold)
        loss = loss_of(self.cheap, self.expensive, threshold)
        return Certificate(
            threshold, most_loss, CONFIDENCE, candidates, p_value, sent, loss, self.units,
            self.grouped,
        )  # fmt: skip

    def least_loss(self, candidates: int = 1) -> float:
        """Return the least loss, in steps of a tenth of a point, that can be certified."""
        level, first = SIGNIFICANT / candidates, self.thresholds()[0]

        def shown(tenths: int) -> bool:
            return self.p_value(first, tenths / 1000, level) <= level

        return _first_true(shown, 1, 999) / 1000


def sent_by(cheap: Predictions, expensive: Predictions, threshold: float) -> Score:
    """Return the share of rows that a cascade sends on, with its 95% interval."""
    return proportion(_confidence(cheap, expensive) < threshold, expensive.groups)


def loss_of(cheap: Predictions, expensive: Predictions, threshold: float) -> Score:
    """Return the accuracy that a cascade loses on rows, with its 95% interval.

    That is the share of rows with the right label, or with exactly the right labels.
    """
    metric = "subset_accuracy" if expensive.scheme.multilabel else "accuracy"
    return compare(expensive, cascaded(cheap, expensive, threshold), metric).difference


def units_needed(most_loss: float, grouped: bool, candidates: int = 1) -> int:
    """Return how many rows or groups it takes to certify a loss where none of them loses."""
    level = SIGNIFICANT / candidates

    def enough(units: int) -> bool:
        if grouped:
            return _capital(np.log1p(_fractions(most_loss) * most_loss) * units) >= 1 / level
        return exact_p_value(0, 0, units, most_loss, level) <= level

    return _first_true(enough, 1, _MOST_UNITS)


def _first_true(holds: Callable[[int], bool], low: int, high: int) -> int:
    """Return the first number from low to high for which something holds, as for all after it."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def betting_p_value(losses: Floats, most_loss: float) -> float:
    """Return the p-value of "the mean loss is above `most_loss`" for (n,) losses of -1 to 1.

    It bets that it is below. If it is not, the capital is expected to stay at 1 or below, so that
    it reaches 1 / level with a probability of at most the level (Markov's inequality).
    """
    gains = np.log1p(_fractions(most_loss)[:, None] * (most_loss - losses)).sum(axis=1)
    return min(1.0, 1 / _capital(gains))


def _fractions(most_loss: float) -> Floats:
    return _BETS / (1 - most_loss)


def _capital(logarithms: Floats) -> float:
    return float(_STAKES @ np.exp(np.minimum(logarithms, 600)))


@lru_cache(4096)
def exact_p_value(
    harmed: int, gained: int, rows: int, most_loss: float, level: float = SIGNIFICANT
) -> float:
    """Return the p-value of "a cascade loses more than `most_loss`" for independent rows.

    Args:
        harmed: rows that only the expensive classifier alone has right.
        gained: rows that only the cascade has right.
        rows: number of all rows.
        most_loss: accuracy that may be lost, above 0 and below 1.
        level: at which the p-value is looked at, on which its precision depends.
    """
    observed = float(_score(np.array(harmed), np.array(gained), rows, most_loss))
    if observed >= 0:
        return 1.0
    outside = _NUISANCE_SHARE * level
    low, high = exact_interval(gained / rows, rows, 1 - outside)
    high = min(high, (1 - most_loss) / 2)
    rates = np.linspace(min(low, high), high, _GRID)[:, None]
    ends = [int(of * rows + side * (_FARTHEST * math.sqrt(of * rows) + 15))
            for of, side in ((low, -1), (high, 1))]  # fmt: skip
    gains = np.arange(max(0, ends[0]), min(rows, ends[1]) + 1)
    limits = _most_harmed(gains, observed, rows, most_loss)
    chances = _binomial(gains, rows, rates) * _at_most(
        limits, rows - gains, (rates + most_loss) / (1 - rates)
    )
    return min(1.0, float(chances.sum(axis=1).max()) + outside + _NEGLIGIBLE)


def _score(harmed: Integers, gained: Integers, rows: int, most_loss: float) -> Floats:
    """Return how many standard errors the loss is above `most_loss`, if that is the true one.

    See `finetext.evaluation.estimates.DiscordantRows`.
    """
    first = 2 * rows * most_loss - harmed * (1 + most_loss) - gained * (1 - most_loss)
    last = -gained * most_loss * (1 - most_loss)
    alone = (np.sqrt(np.maximum(first**2 - 8 * rows * last, 0)) - first) / (4 * rows)
    variance = rows * (2 * alone + most_loss * (1 - most_loss))
    return np.asarray((harmed - gained - rows * most_loss) / np.sqrt(variance))


def _most_harmed(gained: Integers, observed: float, rows: int, most_loss: float) -> Integers:
    """Return with how many harmed rows at most the score is as low as one observed; -1: with none.

    For each number of gained rows the score rises with that of harmed ones.
    """
    low, high = np.full(len(gained), -1), rows - gained
    while (low < high).any():
        middle = low + (high - low + 1) // 2
        is_low = _score(middle, gained, rows, most_loss) <= observed + 1e-12
        low, high = np.where(is_low, middle, low), np.where(is_low, high, middle - 1)
    return low


def _binomial(successes: Integers, trials: int, chance: Floats) -> Floats:
    from scipy.special import gammaln, xlog1py, xlogy

    ways = gammaln(trials + 1) - gammaln(successes + 1) - gammaln(trials - successes + 1)
    return np.asarray(
        np.exp(ways + xlogy(successes, chance) + xlog1py(trials - successes, -chance))
    )


def _at_most(most: Integers, trials: Integers, chance: Floats) -> Floats:
    """Return the probability of at most so many successes; 0 for -1."""
    from scipy.special import betaincc

    none, every = most < 0, most >= trials
    inner = betaincc(
        np.maximum(most, 0) + 1.0, np.maximum(trials - most, 1.0), np.minimum(chance, 1.0)
    )
    return np.where(none, 0.0, np.where(every, 1.0, inner))
