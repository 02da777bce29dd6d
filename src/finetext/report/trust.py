"""Whether the probabilities of a method can be trusted, as the report says it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from finetext.core.types import Predictions
from finetext.evaluation.calibration import Bin, Calibration, Reliability, calibration
from finetext.evaluation.deciding import Selective, covered, selective
from finetext.report import plots as diagnosis_plots


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


_CLOSE: Final = 0.005
_MOST_ROWS: Final = 20
_MEASURES: Final = (
    ("calibration error", "calibration_error",
     "mean distance between how sure it is and how often it is right"),
    ("Brier score", "brier_score", "mean squared error of the probabilities"),
    ("log loss", "log_loss", "mean of -log of the probability of the truth"),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class TrustView:
    """What the report says of the probabilities of one method.

    Attributes:
        method: its name.
        predictions: on the test rows.
    """

    method: str
    predictions: Predictions

    measures = _MEASURES

    @cached_property
    def calibration(self) -> Calibration:
        """Before and after temperature scaling."""
        return calibration(self.predictions)

    @property
    def is_scaled(self) -> bool:
        """Whether there is a before."""
        return self.calibration.temperature != 1

    @cached_property
    def panels(self) -> Sequence[tuple[str, Reliability]]:
        """Title and reliability of each panel of the diagram."""
        if not self.is_scaled:
            return (("as it is", self.calibration.after),)
        return (("as trained", self.calibration.before), ("scaled", self.calibration.after))

    @property
    def plot(self) -> str:
        """The reliability diagram as SVG."""
        return diagnosis_plots.reliability_diagram(self.panels)

    @property
    def bins(self) -> list[tuple[Bin, ...]]:
        """The bins of all panels that have rows in one of them."""
        rows = zip(*[of.bins for _, of in self.panels], strict=True)
        return [bins for bins in rows if any(each.rows for each in bins)]

    @property
    def sentence(self) -> str:
        """How far they are off, in plain words."""
        off = self.calibration.after.calibration_error
        close = "close to what they say" if off < 0.03 else "to be taken with care"
        said = f"The probabilities of {self.method} are {close}: on average {_points(off)} off"
        if not self.is_scaled:
            return f"{said} on the test rows."
        before = self.calibration.before.calibration_error
        if abs(before - off) < _CLOSE:
            return f"{said} on the test rows; scaling changed little."
        only = "" if before > off else "only "
        unscaled = f"as it was trained it would have been {only}{_points(before)}"
        return f"{said} on the test rows; {unscaled}."

    @cached_property
    def selective(self) -> Selective | None:
        """Accuracy over coverage; None where rows can have several labels."""
        return None if self.predictions.scheme.multilabel else selective(self.predictions)

    @property
    def selective_plot(self) -> str:
        """Accuracy over coverage as SVG."""
        return "" if self.selective is None else diagnosis_plots.selective_curve(self.selective)

    @property
    def selective_rows(self) -> Sequence[tuple[float, float, float]]:
        """About twenty of the points."""
        points = () if self.selective is None else self.selective.points
        chosen = np.unique(
            np.linspace(0, len(points) - 1, min(_MOST_ROWS, len(points))).astype(int)
        )
        return [points[i] for i in chosen]

    @property
    def abstaining(self) -> str:
        """What leaving out doubtful rows gains, and what this model does."""
        if self.selective is None:
            return ""
        whole, part = self.selective.points[0], self._decided(0.8)
        gain = f"It is right on {whole[1]:.1%} of all rows"
        if part is not None and part[1] > whole[1]:
            gain += (
                f", and on {part[1]:.1%} of the {part[0]:.0%} that it is surest of "
                f"(probability of at least {part[2]:.2f})"
            )
        if math.isclose(self.selective.coverage, 1):
            return f"{gain}. This model decides every row; --abstain makes it leave out some."
        return (
            f"{gain}. This model decides {self.selective.coverage:.1%} of the rows and is right on "
            f"{self.selective.accuracy:.1%} of them."
        )

    def _decided(self, share: float) -> tuple[float, float, float] | None:
        """The point nearest to so large a share of rows, if it is near."""
        points = () if self.selective is None else self.selective.points
        nearest = min(points, key=lambda point: abs(point[0] - share))
        return nearest if abs(nearest[0] - share) < 0.05 else None

    @property
    def sets(self) -> str:
        """What the prediction sets keep of their promise; nothing if the model makes none."""
        decision = self.predictions.decision
        chosen = decision.sets(self.predictions.probabilities)
        if chosen is None or decision.coverage is None:
            return ""
        sizes = chosen.sum(axis=1)
        return (
            f"The prediction set of a row shall have the truth in {decision.coverage:.0%} of the "
            f"rows; on the test rows it has it in {covered(self.predictions).mean():.1%}. A set "
            f"has {sizes.mean():.2f} of {chosen.shape[1]} labels on average; "
            f"{(sizes == 1).mean():.0%} of the sets have one, {(sizes == 0).mean():.0%} none."
        )


def _points(share: float) -> str:
    return f"{100 * share:.1f} points"
