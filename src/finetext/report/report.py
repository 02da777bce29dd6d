"""The report of a run: one HTML file that needs nothing beside it, not even a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.artefact.folder import write_text
from finetext.data.checks.material import MOST_ROWS_NAMED
from finetext.data.explore import Lengths
from finetext.evaluation.compare import Comparison
from finetext.evaluation.intervals import LabelScores, confusion, per_class
from finetext.evaluation.leaderboard import LeaderboardEntry
from finetext.evaluation.paying import Paid
from finetext.registry import load, names
from finetext.report import figures, plots
from finetext.report.curves import curves_of
from finetext.report.page import render_page
from finetext.report.paying import paid_sentence
from finetext.types import Finding, Integers, Predictions, Score

_MOST_PAIRS: Final = 30
_SEVERITIES: Final = ("error", "warning", "note")


@dataclass(frozen=True)
class ReportData:
    """All that the report says, as plain data.

    Attributes:
        title: heading of the page.
        description: one line on the data: where they came from, which columns were taken.
        rows: split to number of rows.
        class_counts: split to label to number of rows that have it.
        lengths: how long the texts of each label are: in words, then in word pieces for each
            encoder that reads them.
        findings: what reading, checking and training noticed.
        entries: the leaderboard, in the order to show.
        predictions: method to predictions on the test rows.
        comparisons: method to its paired difference to the best; none for the best itself.
        metric: the metric by which rungs are chosen and compared.
        best: the method that is best on validation.
        cheapest: the cheapest method that is not significantly worse on test.
        recipe: the recipe as TOML text.
        environment: versions, device and seeds; name to value.
        seed: seed of the intervals of each label.
        logs: method to the lines that it logged while it was trained.
        paid: methods with an encoder of one's own, each beside the same without.
    """

    title: str
    description: str
    rows: Mapping[str, int]
    class_counts: Mapping[str, Mapping[str, int]]
    lengths: Sequence[Lengths]
    findings: Sequence[Finding]
    entries: Sequence[LeaderboardEntry]
    predictions: Mapping[str, Predictions]
    comparisons: Mapping[str, Comparison]
    metric: str
    best: str
    cheapest: str
    recipe: str
    environment: Mapping[str, object]
    seed: int = 0
    logs: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    paid: Sequence[Paid] = ()


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


def write_report(data: ReportData, path: str | Path) -> Path:
    """Write the report, whole or not at all.

    Args:
        data: what to say.
        path: the HTML file; one that is there is replaced.

    Returns:
        the path.
    """
    path = Path(path)
    write_text(path, render(data))
    return path


def render(data: ReportData) -> str:
    """The report as HTML text."""
    return render_page("page.html.j2", _context(data))


def _context(data: ReportData) -> dict[str, Any]:
    multilabel = any(p.scheme.multilabel for p in data.predictions.values())
    shown = [n for n in names("metrics") if any(n in e.metrics["test"] for e in data.entries)]
    metrics = [n for n in shown if multilabel or n != "micro_f1" or n == data.metric]
    views = [LabelView(m, p, key, data.seed) for key, (m, p) in enumerate(data.predictions.items())]
    views.sort(key=lambda view: view.method != data.best)
    labels = list(next(iter(data.class_counts.values())))
    shares = {
        split: {label: n / max(1, data.rows[split]) for label, n in counts.items()}
        for split, counts in data.class_counts.items()
    }
    by_method = {entry.method: entry for entry in data.entries}
    return {
        "data": data,
        "summary": _summary(data, by_method, labels),
        "metrics": [load("metrics", name) for name in metrics],
        "main_metric": load("metrics", data.metric),
        "labels": labels,
        "shares": shares,
        "multilabel": multilabel,
        "views": views,
        "many_labels": len(labels) > plots.MOST_CELLS_WITH_NUMBERS,
        "most_bars": plots.MOST_BARS,
        "most_rows": MOST_ROWS_NAMED,
        "findings": sorted(data.findings, key=lambda finding: _SEVERITIES.index(finding.severity)),
        "class_plot": plots.class_bars(shares),
        "lengths": [(each, plots.length_boxes(each, key)) for key, each in enumerate(data.lengths)],
        "trainings": [
            curves
            for key, (method, lines) in enumerate(data.logs.items())
            if (curves := curves_of(method, lines, key)) is not None
        ],
        "paid": [
            (pair, by_method[pair.method], by_method[pair.beside], paid_sentence(pair))
            for pair in data.paid
        ],
        "board_plot": plots.leaderboard(data.entries, metrics),
    }


def _summary(
    data: ReportData, by_method: Mapping[str, LeaderboardEntry], labels: Sequence[str]
) -> list[str]:
    """The first paragraph, in plain words: sentences."""
    title = load("metrics", data.metric).title
    count = len(data.entries)
    methods = "one method" if count == 1 else f"{count} methods"
    best, cheapest = by_method[data.best], by_method[data.cheapest]
    sentences = [
        f"This run trained {methods} on {data.rows.get('train', 0):,} texts to tell {len(labels)} "
        f"labels apart, and judged on {data.rows.get('test', 0):,} texts kept aside for the end.",
        f"On the validation texts {data.best} is best by {title}; on the test texts it reaches "
        f"{_with_interval(best.metrics['test'].get(data.metric))}.",
    ]
    if data.cheapest == data.best:
        if count > 1:
            sentences.append("Every method that is cheaper to train is significantly worse.")
        return sentences
    against = data.comparisons[data.cheapest]
    return [
        *sentences,
        f"The cheapest method that is not significantly worse is {data.cheapest}: it took "
        f"{figures.duration(cheapest.seconds_to_train)} to train instead of "
        f"{figures.duration(best.seconds_to_train)}, and differs from {data.best} by "
        f"{against.difference.value:+.3f} "
        f"({_interval(against.difference, '+.3f')}, p = {figures.p_value(against.p_value)}).",
    ]


def _with_interval(score: Score | None) -> str:
    if score is None:
        return "an unknown score"
    return f"{score.value:.3f} ({_interval(score, '.3f')})"


def _interval(score: Score, written: str) -> str:
    if np.isnan(score.low):
        return "without an interval"
    return f"95% interval {score.low:{written}} to {score.high:{written}}"
