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
    """The diagnoses of a run; None for those that were not made, or whose file is `damaged`."""

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
    """All that the report says; `class_counts` is split to label to rows.

    `comparisons` are paired differences from `best`, the best on validation; `cheapest` is not
    significantly worse on test. `seed` is that of the intervals of each label.
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
