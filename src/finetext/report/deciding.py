"""What a rule of decision does, for the terminal and for machines."""

from __future__ import annotations

from typing import Any

import numpy as np

from finetext.evaluation.conformal import covered
from finetext.types import Predictions


def decided_json(predictions: Predictions) -> dict[str, Any]:
    """What abstaining and prediction sets do on rows, as JSON values; nothing where there is none.

    Returns:
        "decided", the share of rows that get a label, and "accuracy" on these; "covered", the
        share of rows whose set has all true labels, and "set_size", labels in a set on average;
        "cost", what a row costs on average, and "cost_of_likeliest", what it would with the
        likeliest label.
    """
    found: dict[str, Any] = {}
    decision = predictions.decision
    if decision.least is not None:
        kept = ~predictions.abstained
        right = (predictions.decisions == predictions.targets)[kept]
        accuracy = float(right.mean()) if len(right) else None
        found |= {"decided": float(kept.mean()), "accuracy": accuracy}
    if (sets := decision.sets(predictions.probabilities)) is not None:
        share = float(covered(predictions).mean())
        found |= {"covered": share, "set_size": float(sets.sum(axis=1).mean())}
    if decision.costs is not None and len(predictions):
        costs, truth = np.array(decision.costs), predictions.targets
        likeliest = predictions.probabilities.argmax(axis=1)
        found["cost"] = float(costs[truth, predictions.decisions].mean())
        found["cost_of_likeliest"] = float(costs[truth, likeliest].mean())
    return found


def decided_lines(predictions: Predictions) -> list[str]:
    """The same in words; nothing where there is nothing to say."""
    found, said = decided_json(predictions), []
    if "decided" in found:
        rightly = "" if found["accuracy"] is None else f", {found['accuracy']:.3f} of them rightly"
        said.append(f"it decides {found['decided']:.3f} of the rows{rightly}")
    if "covered" in found:
        said.append(
            f"prediction sets hold the truth of {found['covered']:.3f} of the rows (promised: "
            f"{predictions.decision.coverage:g}); {found['set_size']:.2f} labels on average"
        )
    if "cost" in found:
        said.append(
            f"a row costs {found['cost']:.3g} on average; with the likeliest label it would cost "
            f"{found['cost_of_likeliest']:.3g}"
        )
    return said


def threshold_lines(predictions: Predictions) -> list[str]:
    """The thresholds of each label; one above 1 is said to be never given."""
    decision, scheme = predictions.decision, predictions.scheme
    divisor = "probability divided by"
    first = "threshold" if scheme.multilabel else divisor
    titles = {first: decision.thresholds, "least probability": decision.least}
    return [
        f"never given: {name}, as no probability is high enough"
        if value > 1 and title != divisor
        else f"{title} {value:.3f}  {name}"
        for title, values in titles.items()
        if values is not None
        for name, value in zip(scheme.names, values, strict=True)
    ]
