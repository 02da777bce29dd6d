"""How one method does on each label, as the report shows it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from finetext.core import registry
from finetext.core.arrays import Integers
from finetext.core.types import Predictions, Score
from finetext.core.wording import ends, number
from finetext.evaluation.intervals import LabelScores, confusion, per_class
from finetext.report import plots

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


_MOST_PAIRS: Final = 30


@dataclass(frozen=True)
class LabelView:
    """How one method does on each label.

    Attributes:
        method: its name.
        predictions: on the test rows.
        key: a number that tells it from the other methods of the page.
        seed: seed of the intervals.
    """

    method: str
    predictions: Predictions
    key: int
    seed: int

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The labels."""
        return self.predictions.scheme.names

    @cached_property
    def scores(self) -> list[LabelScores]:
        """Precision, recall and F1 of each label."""
        return per_class(self.predictions, self.seed)

    @cached_property
    def counts(self) -> Integers:
        """See `finetext.evaluation.intervals.confusion`."""
        return confusion(self.predictions)

    @cached_property
    def totals(self) -> Integers:
        """Test rows that have each label."""
        return np.array([row.support for row in self.scores])

    @cached_property
    def pairs(self) -> list[tuple[str, str, int, float]]:
        """The most frequent confusions: truth, prediction, rows, share of the true label."""
        wrong = self.counts - np.diag(np.diag(self.counts))
        order = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_PAIRS]
        cells = [divmod(int(cell), len(self.names)) for cell in order]
        return [
            (self.names[i], self.names[j], int(wrong[i, j]), float(wrong[i, j] / self.totals[i]))
            for i, j in cells
            if wrong[i, j] > 0
        ]

    @cached_property
    def heatmap(self) -> str:
        """The confusion matrix as SVG."""
        return plots.confusion_heatmap(self.names, self.counts, self.totals, str(self.key))

    @cached_property
    def f1_plot(self) -> str:
        """F1 of each label as SVG, the lowest first."""
        return plots.label_f1(sorted(self.scores, key=lambda row: np.nan_to_num(row.f1.value)))
