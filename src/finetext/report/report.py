"""The report of a run: one HTML file that needs nothing beside it, not even a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetext.artefact.folder import write_text
from finetext.data.explore import Lengths
from finetext.evaluation.compare import Comparison
from finetext.evaluation.leaderboard import LeaderboardEntry
from finetext.evaluation.paying import Paid
from finetext.report.context import context_of
from finetext.report.diagnoses import Diagnoses
from finetext.report.page import render_page
from finetext.types import Finding, Predictions


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
        diagnoses: what was found out after training, as far as it was looked at.
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
    diagnoses: Diagnoses = field(default_factory=Diagnoses)


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
    return render_page("page.html.j2", context_of(data))
