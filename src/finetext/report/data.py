"""What the report of a run is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from finetext.core.types import Finding, Predictions
from finetext.diagnosis.curve import Curve
from finetext.diagnosis.explain import ClassWords
from finetext.diagnosis.explore import Lengths
from finetext.diagnosis.label_errors import Suspects
from finetext.diagnosis.losses import Errors
from finetext.diagnosis.slices import Slices
from finetext.diagnosis.text_map import TextMap
from finetext.evaluation.compare import Comparison
from finetext.evaluation.leaderboard import EncoderGain, LeaderboardEntry


@dataclass(frozen=True)
class Diagnoses:
    """The diagnoses of a run; None for those that were not made, or whose file is `damaged`.

    `openings` are the test-set accesses after the run's own, each with "when" and "by".
    """

    errors: Errors | None = None
    slices: Slices | None = None
    suspects: Suspects | None = None
    words: ClassWords | None = None
    map: TextMap | None = None
    curve: Curve | None = None
    openings: Sequence[Mapping[str, Any]] = ()
    damaged: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class ReportData:
    """All that the report says.

    Attributes:
        rows: split to number of rows.
        class_counts: split to label to number of rows that have it.
        lengths: of the texts of each label in words, then in tokens of each encoder.
        entries: the leaderboard, in the order to show.
        predictions: method to predictions on the test rows.
        comparisons: method to its paired difference from the best; none for the best itself.
        best: the method that is best on validation.
        cheapest: the cheapest method that is not significantly worse on test.
        recipe: as TOML text.
        seed: of the intervals of each label.
        logs: method to the lines of its training log.
        paid: methods with an adapted or pretrained encoder, with their ablation baselines.
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
    paid: Sequence[EncoderGain] = ()
    diagnoses: Diagnoses = field(default_factory=Diagnoses)
