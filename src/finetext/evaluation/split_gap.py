"""Whether test scores are lower than validation scores by more than chance allows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from finetext.core.arrays import Number
from finetext.core.types import Finding, Predictions
from finetext.evaluation.compare import estimate_score
from finetext.evaluation.estimates import CONFIDENCE, SIGNIFICANT
from finetext.evaluation.metrics import CountMetric, applicable, metric_for
from finetext.evaluation.proportions import score_interval

ALLOWED: Final = 0.02
"""Drop without an alarm: what choosing checkpoints, thresholds and settings on validation costs."""


@dataclass(frozen=True)
class Share:
    """A metric that lies between 0 and 1, with what its interval rests on.

    Attributes:
        rows: the number of independent rows of which a share is known as well.
        freedom: degrees of freedom: the number of rows, or of groups, minus 1.
    """

    value: Number
    rows: Number
    freedom: Number

    @classmethod
    def of(cls, metric: CountMetric, predictions: Predictions) -> Share:
        """Return the metric on these predictions.

        The jackknife sees no variance where all rows are right, so a metric counts for no more rows
        than one wrong row, or group of rows, would change it by.
        """
        score, n = estimate_score(metric, [predictions]), len(predictions)
        right, wrong = metric.effects(predictions)
        effect, variance = float(np.abs(right - wrong).max()), score.error**2
        rows = (1 / effect - 1 if effect else n) * score.units / n
        if variance > 0:
            rows = min(rows, score.value * (1 - score.value) / variance)
        return cls(score.value, max(rows, 1.0), score.freedom)

    def interval(self, level: float) -> tuple[float, float]:
        """Return the score interval; the truth is beyond each end with probability `level`."""
        from scipy.special import stdtrit

        return score_interval(self.value, self.rows, float(stdtrit(self.freedom, 1 - level)))


@dataclass(frozen=True)
class Drop:
    """How much better a metric is on validation rows than on test rows.

    The bounds are made of the score intervals of the two. They hold for few rows, for very
    different numbers of rows and where all rows are right.

    Source: Newcombe, Interval estimation for the difference between independent proportions,
    Statistics in Medicine, 1998, method 10; here with quantiles of Student's t.
    """

    metric: str
    validation: Share
    test: Share

    @property
    def value(self) -> float:
        """The metric on validation rows minus that on test rows."""
        return self.validation.value - self.test.value

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Return the two-sided interval; the two one-sided bounds at half the rest each."""
        level = (1 - confidence) / 2
        low, high = self.validation.interval(level)
        low_test, high_test = self.test.interval(level)
        down = math.hypot(self.validation.value - low, high_test - self.test.value)
        up = math.hypot(high - self.validation.value, self.test.value - low_test)
        return self.value - down, self.value + up


def drop_of(validation: Predictions, test: Predictions, metric: str) -> Drop:
    """Return how much better a metric is on validation than on test rows.

    It is the one that was named if it is a proportion that rows add up to, else the first such one.
    """
    names = (metric, *applicable(validation.scheme))
    metrics = ((name, metric_for(name, validation.scheme)) for name in names)
    name, chosen = next(
        (name, of) for name, of in metrics if isinstance(of, CountMetric) and of.proportion
    )
    return Drop(name, *(Share.of(chosen, of) for of in (validation, test)))


def validation_test_gap(
    name: str, validation: Predictions, test: Predictions, metric: str, methods: int
) -> Finding | None:
    """Return a warning if a method is worse on test rows than on validation rows, beyond chance.

    The test is one-sided at 5% / methods, as the method was chosen among so many on the same
    validation rows, and asks for a drop of more than `ALLOWED`. Smaller ones are expected.

    Args:
        name: the method, which was the best on validation rows.
        validation: its predictions of validation rows.
        test: its predictions of test rows.
        metric: the metric of the run.
        methods: number of methods that it was chosen from.
    """
    if not set(validation.ids).isdisjoint(test.ids):
        return None  # cross-validated: all rows were test rows
    drop = drop_of(validation, test, metric)
    if not drop.interval(1 - 2 * SIGNIFICANT / methods)[0] > ALLOWED:
        return None
    title = metric_for(drop.metric, test.scheme).title
    high, low = drop.validation.value, drop.test.value
    ends = ", ".join(f"{end:.3f}" for end in drop.interval())
    message = (
        f"{name} has {title} {high:.3f} on validation rows and {low:.3f} on test rows: "
        f"{drop.value:.3f} [{ends}] lower, more than chance and the choice of method explain. "
        "Trust the test score. Either the test rows come from another source or time than the "
        "rest, or texts are nearly the same in train and validation, or very many settings were "
        "tried on validation rows. See which duplicates and leakage the checks found, compare "
        "texts and labels of the splits, and let validation rows come from where new texts will."
    )
    return Finding("warning", "validation-test-gap", message)
