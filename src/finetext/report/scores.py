"""Scores of one model on one data set, for the terminal and for machines."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from finetext import registry
from finetext.evaluation.intervals import LabelScores
from finetext.report.figures import ends, number
from finetext.types import Score

if TYPE_CHECKING:
    from rich.console import Console


def show_scores(
    scores: Mapping[str, Score], classes: Sequence[LabelScores], console: Console
) -> None:
    """Print metrics with 95% intervals, then precision, recall and F1 of each label."""
    from rich.table import Table

    rows = next(iter(scores.values())).n
    metrics = Table("metric", "value", "95% interval", box=None, pad_edge=False)
    for name, score in scores.items():
        title = registry.load("metrics", name).title
        metrics.add_row(title, number(score.value), ends(score))
    labels = Table("label", "precision", "recall", "F1", "95% interval", "rows", box=None,
                   pad_edge=False)  # fmt: skip
    for each in classes:
        figures = [number(of.value) for of in (each.precision, each.recall, each.f1)]
        labels.add_row(each.name, *figures, ends(each.f1), f"{each.support:,}")
    console.print(f"{rows:,} rows\n")
    console.print(metrics, markup=False)
    console.print()
    console.print(labels, markup=False)


def scores_json(scores: Mapping[str, Score], classes: Sequence[LabelScores]) -> dict[str, Any]:
    """The same as JSON values."""
    return {
        "metrics": {name: dataclasses.asdict(score) for name, score in scores.items()},
        "labels": [dataclasses.asdict(each) for each in classes],
    }
