"""The positive class of two: which it is, and its precision-recall and ROC curves."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from finetext.core.errors import DataError
from finetext.core.types import LabelScheme, Predictions, Score
from finetext.core.wording import counted, ends, first_repeat, number, row_of
from finetext.evaluation.fold_scores import FoldPredictions
from finetext.evaluation.intervals import evaluate
from finetext.evaluation.ranking import CurvePoint, PositiveCurve, precision_recall
from finetext.evaluation.several import on_same_rows
from finetext.report import plots
from finetext.report.rendering import Cell, Table, aligned, evenly, without_middle, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_CURVES: Final = 6
_MOST_POINTS: Final = 200
_ROWS_OF_TABLE: Final = 20
_CHANCE: Final[dict[str, Any]] = {"linewidth": 0.8, "linestyle": ":"}


def positive_line(scheme: LabelScheme) -> str:
    """Return which class the binary metrics are about; "" if there are not two classes."""
    if not scheme.is_binary:
        return ""
    unnamed = "" if scheme.positive is not None else f" ({_why(scheme)}; choose with --positive)"
    return f"positive class: {scheme.positive_class}{unnamed}"


def _why(scheme: LabelScheme) -> str:
    """Return why a class that was not named is the positive one."""
    return "the second label" if scheme.affirmative is None else "the label that says yes"


def positive_sentence(scheme: LabelScheme) -> str:
    """Return the same as a sentence of the report; "" if there are not two classes."""
    if not scheme.is_binary:
        return ""
    unnamed = "" if scheme.positive is not None else f", {_why(scheme)}, as none was named"
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


@dataclass(frozen=True, eq=False)
class PositiveCurves:
    """The curves of several sets of predictions of the same rows.

    Attributes:
        predictions: name to predictions, all with one positive class.
        curves: name to curve, without those that give each row the same probability.
        part: the split of the rows, or None.
    """

    predictions: Mapping[str, Predictions]
    curves: Mapping[str, PositiveCurve]
    part: str | None

    @classmethod
    def of(
        cls, predictions: Mapping[str, Predictions], part: str | None, positive: str | None = None
    ) -> PositiveCurves:
        """Return the curves; raises a DataError without two classes, or where none has a curve."""
        same = on_same_rows(predictions, positive)
        first = precision_recall(next(iter(same.values())))
        if not 0 < first.prevalence < 1:
            only = "all" if first.prevalence else "none"
            rows = counted(first.rows, row_of(part))
            raise DataError(
                f"{only} of the {rows} are “{first.positive}”; a curve needs rows of both classes"
            )
        if not (curves := curves_of_positive(same)):
            raise DataError(
                f"{', '.join(same)}: each row has the same probability, so there is no curve; name "
                "a method that ranks the rows"
            )
        return cls(same, curves, part)

    @property
    def headline(self) -> str:
        """Which class the curves are of, on which rows, and which sets have none."""
        first = next(iter(self.curves.values()))
        rows = counted(first.rows, row_of(self.part))
        scheme = next(iter(self.predictions.values())).scheme
        said = f"{positive_line(scheme)}, {first.prevalence:.1%} of {rows}{first_repeat(self.part)}"
        if flat := [name for name in self.predictions if name not in self.curves]:
            said += f"; no curve of {', '.join(flat)}: the same probability for each row"
        return said

    @cached_property
    def scores(self) -> dict[str, dict[str, Score]]:
        """The areas under the curves, and precision and recall as decided, with intervals."""
        names = ("average_precision", "roc_auc", "binary_precision", "binary_recall")
        return {name: evaluate(of, metrics=names) for name, of in self.predictions.items()}

    def lines(self) -> list[str]:
        """Return two tables of at most 80 characters: the areas, and the decisions."""
        areas = [["", "average precision", "ROC AUC"]]
        decided = [["as decided", "from", "precision", "recall"]]
        for name, of in self.scores.items():
            cells = [f"{number(each.value)} {ends(each)}".rstrip() for each in of.values()]
            areas.append([name, *cells[:2]])
            threshold = precision_recall(self.predictions[name]).decided.threshold
            decided.append([name, number(threshold), *cells[2:]])
        legend = "from: the probability from which it is given; 95% intervals"
        return [*wrapped(self.headline), "", *aligned(areas), "", *aligned(decided), "", legend]

    def plot(self, out: str | Path | None = None) -> Figure:
        """Draw the curves of up to six; with `out` also write them as .png or .svg.

        Raises a DataError if the file cannot be written, or has another ending.
        """
        shown = dict(list(self.curves.items())[:MOST_CURVES])
        left_out = len(self.curves) - len(shown)
        title = self.headline + (f"; {left_out} more left out" if left_out else "")
        title = "\n".join(textwrap.wrap(f"{title}; a dot marks where each method decides", 96))

        def draw(figure: Figure) -> None:
            left, right = figure.subplots(1, 2)
            draw_precision_recall(left, shown, plots.LIGHT_INK, plots.LIGHT_SERIES)
            draw_roc(right, shown, plots.LIGHT_INK, plots.LIGHT_SERIES)
            figure.legend(loc="outside upper left", ncols=3, title=title, alignment="left")

        return plots.picture(draw, (7.6, 4.5 + 0.15 * title.count("\n")), out)

    def columns(self) -> dict[str, list[Any]]:
        """Return at most 100 points of each curve as the columns of a table."""
        rows = [
            {"name": name, **point.to_json()}
            for name, curve in self.curves.items()
            for point in curve.points()
        ]
        return {column: [row[column] for row in rows] for column in rows[0]}

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; what is undefined is None."""
        return {
            "part": self.part,
            "curves": {name: curve.to_json() for name, curve in self.curves.items()},
            "scores": {
                name: {metric: asdict(score) for metric, score in of.items()}
                for name, of in self.scores.items()
            },
        }


def positive_view(
    best: str,
    predictions: Mapping[str, Predictions],
    scored: str = "test rows",
    folds: FoldPredictions | None = None,
) -> dict[str, Any] | None:
    """Return what the report shows of the positive class; None without a curve of the best.

    With `folds` recall and precision are means over all repeats of cross-validation.
    """
    curves = curves_of_positive(predictions)
    if best not in curves:
        return None
    first = {best: curves.pop(best)}
    shown = first | dict(list(curves.items())[: MOST_CURVES - 1])
    curve = first[best]
    decided, label = curve.decided, curve.positive
    recall, precision = decided.recall, decided.precision
    if folds is not None:
        of_label = folds.of_labels()[folds.scheme.names.index(label)]
        recall, precision = of_label.recall.value, of_label.precision.value
    headline = f"{best} finds {recall:.1%} of the {scored} of “{label}”"
    if precision == precision:
        headline += f" and is right on {precision:.1%} of those it labels so"
    return {
        "label": label,
        "headline": headline,
        "threshold": f"{best}: {threshold_line(curve)}.",
        "plots": curves_plots(shown),
        "legend": {method: number(of.decided.threshold) for method, of in shown.items()},
        "left_out": len(curves) + 1 - len(shown),
        "table": _table(best, curve, scored),
        "json": {method: each.to_json() for method, each in shown.items()},
    }


def _table(method: str, curve: PositiveCurve, scored: str) -> Table:
    header = ("from probability", "precision", "recall", "F1", "false positive rate")
    caption = (
        f"What giving “{curve.positive}” from each probability would come to: {method} on the "
        f"{scored}."
    )
    rows = [
        [
            Cell(_threshold(point.threshold)),
            *(Cell(number(of), value=of) for of in _rates(point)),
        ]
        for point in evenly(curve.points(), _ROWS_OF_TABLE)
    ]
    return Table(caption, header, rows)


def _threshold(value: float) -> str:
    """Return three decimals, and what is nearer to 0 or 1 as that."""
    return "< 0.001" if value < 0.001 else "> 0.999" if value > 0.999 else number(value)


def _rates(point: CurvePoint) -> tuple[float, ...]:
    return point.precision, point.recall, point.f1, point.false_positive_rate


def curves_plots(curves: Mapping[str, PositiveCurve]) -> list[str]:
    """Precision over recall, and recall over false positive rate, as SVGs for a page."""

    def drawn(key: str, draw: Callable[..., None]) -> str:
        ink = plots.INK, plots.SERIES
        return plots.svg(key, (3.5, 3.2), lambda figure: draw(figure.subplots(), curves, *ink))

    return [drawn("precision-recall", draw_precision_recall), drawn("roc", draw_roc)]


def draw_precision_recall(
    axes: Axes, curves: Mapping[str, PositiveCurve], ink: str, colors: Sequence[str]
) -> None:
    """Draw precision over recall of up to six methods, the first on top, with their decisions."""
    chance = next(iter(curves.values())).prevalence
    axes.plot([0, 1], [chance, chance], color=ink, **_CHANCE)
    for (method, curve), color, line, dot in _styled(curves, colors):
        points = curve.points(_MOST_POINTS)
        recall = [0.0, *(point.recall for point in points)]
        precision = [points[0].precision, *(point.precision for point in points)]
        name = without_middle(method, 24)
        axes.plot(recall, precision, color=color, drawstyle="steps-pre", label=name, **line)
        axes.plot([curve.decided.recall], [curve.decided.precision], "o", color=color, **dot)
    _square(axes, "precision-recall curve", "recall", "precision")


def draw_roc(
    axes: Axes, curves: Mapping[str, PositiveCurve], ink: str, colors: Sequence[str]
) -> None:
    """Draw recall over false positive rate, likewise."""
    axes.plot([0, 1], [0, 1], color=ink, **_CHANCE)
    for (_, curve), color, line, dot in _styled(curves, colors):
        points = curve.points(_MOST_POINTS)
        wrong = [0.0, *(point.false_positive_rate for point in points)]
        axes.plot(wrong, [0.0, *(point.recall for point in points)], color=color, **line)
        at = curve.decided
        axes.plot([at.false_positive_rate], [at.recall], "o", color=color, **dot)
    _square(axes, "ROC curve", "false positive rate", "recall")


def _styled(
    curves: Mapping[str, PositiveCurve], colors: Sequence[str]
) -> Iterator[tuple[tuple[str, PositiveCurve], str, dict[str, Any], dict[str, Any]]]:
    for row, (item, color) in enumerate(zip(curves.items(), colors, strict=False)):
        order = 3 - row / 10
        line: dict[str, Any] = {"linewidth": 1.2 if row else 2, "zorder": order}
        yield item, color, line, {"markersize": 4 if row else 7, "zorder": order}


def _square(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x, ylabel=y)
    axes.grid(axis="both")
