"""What a rule of decision does, for the terminal and for machines."""

from __future__ import annotations

from typing import Any

from finetext.evaluation.conformal import covered
from finetext.types import Predictions


def decided_json(predictions: Predictions) -> dict[str, Any]:
    """What abstaining and prediction sets do on rows, as JSON values; nothing where there is none.

    Returns:
        "decided", the share of rows that get a label, and "accuracy" on these; "covered", the
        share of rows whose set has all true labels, and "set_size", labels in a set on average.
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
    return said


def threshold_lines(predictions: Predictions) -> list[str]:
    """The thresholds of each label."""
    decision, names = predictions.decision, predictions.scheme.names
    titles = {"threshold": decision.thresholds, "least probability": decision.least}
    return [
        f"{title} {value:.3f}  {name}"
        for title, values in titles.items()
        if values is not None
        for name, value in zip(names, values, strict=True)
    ]
