"""Whether test scores are lower than validation scores by more than chance allows."""

from __future__ import annotations

import math
from typing import Final

from finetext.core.types import Finding, Predictions
from finetext.evaluation.compare import estimate_score
from finetext.evaluation.estimates import NAN, Estimate
from finetext.evaluation.metrics import CountMetric, applicable, metric_for

ALLOWED: Final = 0.02
"""Drop without an alarm: what choosing checkpoints, thresholds and settings on validation costs."""
_LEVEL: Final = 0.05


def independent_difference(a: Estimate, b: Estimate) -> Estimate:
    """Return `a` minus `b`, estimated on rows that have nothing in common.

    Variances add; degrees of freedom are by Welch (The generalization of "Student's" problem,
    Biometrika, 1947).
    """
    of_a, of_b = a.error**2, b.error**2
    error, units = math.sqrt(of_a + of_b), min(a.units, b.units)
    if not error > 0:
        return Estimate(a.value - b.value, error, min(a.freedom, b.freedom), units)
    parts = [of**2 / each.freedom for of, each in ((of_a, a), (of_b, b)) if of]
    freedom = error**4 / sum(parts) if all(math.isfinite(part) for part in parts) else NAN
    return Estimate(a.value - b.value, error, freedom, units)


def drop_of(validation: Predictions, test: Predictions, metric: str) -> tuple[str, Estimate]:
    """Return the metric compared, and how much better it is on validation than on test rows.

    It is the one that was named if it is a proportion that rows add up to, else the first such one.
    """
    names = (metric, *applicable(validation.scheme))
    metrics = ((name, metric_for(name, validation.scheme)) for name in names)
    name, chosen = next(
        (name, of) for name, of in metrics if isinstance(of, CountMetric) and of.proportion
    )
    better, worse = (estimate_score(chosen, [of]) for of in (validation, test))
    return name, independent_difference(better, worse)


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
    of, drop = drop_of(validation, test, metric)
    least = drop.lower(_LEVEL / methods)
    if not least > ALLOWED:
        return None
    measure = metric_for(of, test.scheme)
    high, low = measure(validation), measure(test)
    ends = ", ".join(f"{end:.3f}" for end in drop.interval())
    message = (
        f"{name} has {measure.title} {high:.3f} on validation rows and {low:.3f} on test rows: "
        f"{drop.value:.3f} [{ends}] lower, more than chance and the choice of method explain. "
        "Trust the test score. Either the test rows come from another source or time than the "
        "rest, or texts are nearly the same in train and validation, or very many settings were "
        "tried on validation rows. See which duplicates and leakage the checks found, compare "
        "texts and labels of the splits, and let validation rows come from where new texts will."
    )
    return Finding("warning", "validation-test-gap", message)
