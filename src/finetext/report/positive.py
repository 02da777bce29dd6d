"""The positive class of two: which it is, and its precision-recall and ROC curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from finetext.core.types import LabelScheme, Predictions
from finetext.core.wording import number
from finetext.evaluation.ranking import CurvePoint, PositiveCurve, precision_recall
from finetext.report import plots
from finetext.report.rendering import Cell, Table, evenly

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_CURVES: Final = 6
_MOST_POINTS: Final = 200
_ROWS_OF_TABLE: Final = 20
_UNNAMED: Final = "the second label; choose with --positive"


def positive_line(scheme: LabelScheme) -> str:
    """Return which class the binary metrics are about; "" if there are not two classes."""
    if not scheme.is_binary:
        return ""
    return f"positive class: {scheme.positive_class}" + (
        "" if scheme.positive is not None else f" ({_UNNAMED})"
    )


def positive_sentence(scheme: LabelScheme) -> str:
    """Return the same as a sentence of the report; "" if there are not two classes."""
    if not scheme.is_binary:
        return ""
    unnamed = "" if scheme.positive is not None else ", the second label, as none was named"
    return (
        f"The positive class, which binary precision, recall and F1, ROC AUC and average precision "
        f"are about, is “{scheme.positive_class}”{unnamed}."
    )


def threshold_line(curve: PositiveCurve) -> str:
    """Return the threshold in use, and the one with the highest F1 on the same rows."""
    used = f"{curve.positive} is given from a probability of {number(curve.decided.threshold)}"
    if curve.best is None:
        return used
    highest = f"{number(curve.best.f1)} from {number(curve.best.threshold)}"
    return f"{used}; on these rows its F1 would be highest, {highest}"


def curves_of_positive(predictions: Mapping[str, Predictions]) -> dict[str, PositiveCurve]:
    """Return the curve of each method that ranks rows; nothing where it is undefined."""
    return {
        method: curve
        for method, of in predictions.items()
        if of.scheme.is_binary and len(np.unique(of.targets)) == 2
        if len((curve := precision_recall(of)).thresholds) > 1
    }


def positive_view(best: str, predictions: Mapping[str, Predictions]) -> dict[str, Any] | None:
    """Return what the report shows of the positive class; None without a curve of the best."""
    curves = curves_of_positive(predictions)
    if best not in curves:
        return None
    first = {best: curves.pop(best)}
    shown = first | dict(list(curves.items())[: MOST_CURVES - 1])
    curve = first[best]
    decided, label = curve.decided, curve.positive
    headline = f"{best} finds {decided.recall:.1%} of the test texts of “{label}”"
    if decided.precision == decided.precision:
        headline += f" and is right on {decided.precision:.1%} of those it labels so"
    return {
        "label": label,
        "headline": headline,
        "threshold": f"{best}: {threshold_line(curve)}.",
        "plot": curves_plot(shown),
        "left_out": len(curves) + 1 - len(shown),
        "table": _table(best, curve),
        "json": {method: each.to_json() for method, each in shown.items()},
    }


def _table(method: str, curve: PositiveCurve) -> Table:
    header = ("from probability", "precision", "recall", "F1", "false positive rate")
    caption = (
        f"What giving “{curve.positive}” from each probability would come to: {method} on the "
        "test rows."
    )
    rows = [
        [Cell(number(point.threshold)), *(Cell(number(of), value=of) for of in _values(point))]
        for point in evenly(curve.points(), _ROWS_OF_TABLE)
    ]
    return Table(caption, header, rows)


def _values(point: CurvePoint) -> tuple[float, ...]:
    return point.precision, point.recall, point.f1, point.false_positive_rate


def curves_plot(curves: Mapping[str, PositiveCurve]) -> str:
    """Precision over recall, and recall over false positive rate, as SVG for a page."""
    return plots.svg("positive", (6.8, 3.7), lambda figure: draw_curves(figure, curves))


def draw_curves(
    figure: Figure, curves: Mapping[str, PositiveCurve], ink: str = plots.INK,
    colors: tuple[str, ...] = plots.SERIES,
) -> None:  # fmt: skip
    """Draw both curves of up to six methods; a dot marks where the decision rule stands."""
    left, right = figure.subplots(1, 2)
    first = next(iter(curves.values()))
    chance: dict[str, Any] = {"color": ink, "linewidth": 0.8, "linestyle": ":"}
    left.plot([0, 1], [first.prevalence] * 2, **chance)
    right.plot([0, 1], [0, 1], **chance)
    for row, ((method, curve), color) in enumerate(zip(curves.items(), colors, strict=False)):
        points = curve.points(_MOST_POINTS)
        look: dict[str, Any] = {"color": color, "linewidth": 1.2 if row else 2}
        recall = [0.0, *(point.recall for point in points)]
        precision = [points[0].precision, *(point.precision for point in points)]
        wrong = [0.0, *(point.false_positive_rate for point in points)]
        left.plot(recall, precision, drawstyle="steps-pre", label=method, **look)
        right.plot(wrong, recall, **look)
        at, spot = curve.decided, {"color": color, "markersize": 4 if row else 7}
        given = {} if row else {"label": f"given from {number(at.threshold)}"}
        left.plot([at.recall], [at.precision], "o", **given, **spot)
        right.plot([at.false_positive_rate], [at.recall], "o", **spot)
    left.set(xlabel="recall", ylabel="precision")
    left.set_title("precision-recall curve", loc="left")
    right.set(xlabel="false positive rate", ylabel="recall")
    right.set_title("ROC curve", loc="left")
    for axes in (left, right):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        axes.grid(axis="both")
    figure.legend(loc="outside upper left", ncols=3)
