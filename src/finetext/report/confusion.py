"""The confusion matrix of predictions: counts and shares, for terminal, picture, page and JSON."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.core.errors import RecipeError
from finetext.core.types import Predicted
from finetext.core.wording import counted, row_of, short
from finetext.evaluation.compare import is_right
from finetext.evaluation.fold_scores import FoldPredictions
from finetext.evaluation.intervals import confusion
from finetext.report import plots
from finetext.report.rendering import (
    Cell,
    Table,
    aligned,
    table_html,
    terminal_width,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Normalize = Literal["true", "predicted", "all", "none"]
MOST_IN_A_TABLE: Final = 20
MOST_PAIRS: Final = 20
_MOST_IN_PICTURE: Final = (40, 200)
_LONGEST_LABEL: Final = 16
_SHORTEST_LABEL: Final = 6
_NOTHING: Final = "·"
_OF: Final = {
    "true": "the rows that have the true label",
    "predicted": "the rows that get the label of the column",
    "all": "all rows",
}
_SUMS: Final = {"true": "; rows add up to 100%", "predicted": "; columns add up to 100%"}


@dataclass(frozen=True, eq=False, repr=False)
class ConfusionMatrix:
    """Which labels are predicted for which; it displays itself.

    In multi-label data the diagonal counts the rows where a label is rightly given, and row i,
    column j those where i is missed and j is given wrongly.

    Attributes:
        counts: (k, k) rows, truth in rows and prediction in columns.
        support: (k,) rows that have each label; `given` (k,) rows that get it.
        rows: number of rows; `right` of them get exactly their labels.
        repeats: number of repeats of cross-validation that all numbers are sums over; what is
            shown are means.
        normalize: what a share is of: the rows with the true label ("true"), those that get the
            predicted one ("predicted"), or "all"; "none" for no shares.
    """

    name: str
    part: str | None
    labels: tuple[str, ...]
    counts: Integers
    support: Integers
    given: Integers
    rows: int
    right: int
    multilabel: bool = False
    normalize: Normalize = field(default="true", kw_only=True)
    repeats: int = field(default=1, kw_only=True)

    @property
    def shares(self) -> Floats | None:
        """(k, k) shares, nan where no row has the label; None for "none"."""
        if self.normalize == "none":
            return None
        totals: Any = {"true": self.support[:, None], "predicted": self.given, "all": self.rows}
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = self.counts / np.broadcast_to(totals[self.normalize], self.counts.shape)
        return np.asarray(shares, dtype=np.float64)

    @property
    def headline(self) -> str:
        """How many rows are right, and the most frequent confusion."""
        has = "has all labels right" if self.multilabel else "is right"
        share = self.right / max(self.rows, 1)
        rows = f"{self.mean_of(self.right)} of {self._of_rows}"
        said = f"{self.name} {has} on {rows} ({share:.1%})"
        for truth, given, number, of_truth in self.pairs(1):
            instead = "given wrongly where {1} is missed" if self.multilabel else "taken for {1}"
            label, other = (given, truth) if self.multilabel else (truth, given)
            often = instead.replace("{1}", other)
            rows = f"{self.mean_of(number)}, {of_truth:.1%} of {truth}"
            said += f"; most often {label} is {often} ({rows})"
        return said

    @property
    def _of_rows(self) -> str:
        return counted(self.rows // self.repeats, row_of(self.part))

    def mean_of(self, number: int) -> str:
        """Return a number as a mean over repeats: "17", or "17.3"."""
        if number % self.repeats == 0:
            return f"{number // self.repeats:,}"
        return f"{number / self.repeats:,.1f}"

    @property
    def legend(self) -> str:
        """What the numbers are, in a sentence."""
        sums = "" if self.multilabel else _SUMS.get(self.normalize, "")
        shares = "" if self.normalize == "none" else f" Shares are of {_OF[self.normalize]}{sums}."
        if not self.multilabel:
            return f"Truth in rows, prediction in columns.{shares}{self.over_repeats}"
        return (
            "A row can have several labels. On the diagonal: rows where the label is rightly "
            "given; elsewhere: rows where the label on the left is missed and the one above is "
            f"given wrongly.{shares}{self.over_repeats}"
        )

    @property
    def over_repeats(self) -> str:
        """What numbers of rows are means of, in a sentence; "" if they are none."""
        if self.repeats < 2:
            return ""
        return f" Numbers of rows are means over {self.repeats} repeats of cross-validation."

    def pairs(self, most: int | None = None) -> Iterator[tuple[str, str, int, float]]:
        """Yield the confusions, most frequent first: truth, prediction, rows, share of truth."""
        wrong = self.counts - np.diag(np.diag(self.counts))
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        for i, j in zip(*np.unravel_index(order, wrong.shape), strict=True):
            if wrong[i, j]:
                share = float(wrong[i, j] / self.support[i])
                yield self.labels[i], self.labels[j], int(wrong[i, j]), share

    def lines(self, width: int = 80) -> list[str]:
        """Return the matrix for a terminal of that width; of many labels the confusions."""
        found = next((lines for lines in self._forms(width) if _fits(lines, width)), None)
        if len(self.labels) > MOST_IN_A_TABLE or found is None:
            return [*wrapped(self.headline), "", *self._pair_lines()]
        return [*wrapped(self.headline), "", *found, "", *wrapped(self.legend)]

    def _forms(self, width: int) -> Iterator[list[str]]:
        """Yield tables from wide to narrow: counts with shares, shares, and numbered columns."""
        names = [short(label, _LONGEST_LABEL) for label in self.labels]
        for with_counts in (True, False):
            yield self._table(names, [short(name, 10) for name in names], with_counts)
        numbers = [str(n) for n in range(1, len(names) + 1)]
        narrow = self._table([""] * len(names), numbers, False, " ")
        room = width - max(map(len, narrow)) - len(numbers[-1]) - 1
        if room >= _SHORTEST_LABEL:
            numbered = [
                f"{n.rjust(len(numbers[-1]))} {short(name, room)}"
                for n, name in zip(numbers, names, strict=True)
            ]
            yield self._table(numbered, numbers, False, " ")

    def _table(
        self, names: Sequence[str], columns: Sequence[str], with_counts: bool, gap: str = "  "
    ) -> list[str]:
        numbers = zip(names, self.support, self._cells(with_counts), strict=True)
        rows = [[name, self.mean_of(support), *cells] for name, support, cells in numbers]
        return aligned([["", "rows", *columns], *rows], gap=gap)

    def _cells(self, with_counts: bool) -> list[list[str]]:
        """Return the text of each cell: a count, a share, or both."""
        shares = self.shares
        if shares is None:
            return [[self.mean_of(n) if n else _NOTHING for n in row] for row in self.counts]
        return [
            [
                _NOTHING
                if not n
                else f"{self.mean_of(n)} {s:6.1%}"
                if with_counts
                else whole_percent(s)
                for n, s in zip(*row, strict=True)
            ]
            for row in zip(self.counts, shares, strict=True)
        ]

    def _pair_lines(self) -> list[str]:
        pairs = list(self.pairs(MOST_PAIRS))
        several = "label missed → label given wrongly" if self.multilabel else "truth → prediction"
        title = f"{counted(len(self.labels), 'label')} are too many for a table this wide. "
        title += f"The {len(pairs)} most frequent confusions: {several}"
        rows = [
            [self.mean_of(number), f"{share:.1%}", f"{short(truth, 30)} → {short(given, 30)}"]
            for truth, given, number, share in pairs
        ]
        return [
            *wrapped(title),
            "",
            *_right_then_left([["rows", "share of truth", ""], *rows]),
            "",
            "The whole matrix is in the picture or table of --out, and in --json.",
        ]

    def plot(self, out: str | Path | None = None) -> Figure:
        """Draw the matrix with counts and shares; with `out` also write it as .png or .svg.

        Raises a DataError if the file cannot be written, or has another ending.
        """
        side = 1.9 + max(3.0, min(0.62 * len(self.labels), 16.0))
        of = [f"{self.name} on {self._of_rows}", self.legend]
        title = "\n".join(line for each in of for line in textwrap.wrap(each, int(13 * side)))

        def draw(figure: Figure) -> None:
            draw_matrix(figure.subplots(), self, plots.LIGHT, _MOST_IN_PICTURE)
            figure.suptitle(title, x=0.01, ha="left", fontsize=9.5)

        return plots.picture(draw, (side, side * 0.98 + 0.1 * title.count("\n")), out)

    def columns(self) -> dict[str, list[Any]]:
        """Return the matrix as the columns of a table: shares, or counts for "none"."""
        values = self.counts / self.repeats if self.shares is None else self.shares
        table: dict[str, list[Any]] = {"truth": list(self.labels)}
        for column, label in enumerate(self.labels):
            found = values[:, column].tolist()
            table[f"prediction:{label}"] = [None if math.isnan(of) else of for of in found]
        return table

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, numbers of rows as means; a share that is undefined is nan."""

        def means(numbers: Integers) -> Any:
            return (numbers / self.repeats if self.repeats > 1 else numbers).tolist()

        return {
            "name": self.name,
            "part": self.part,
            "rows": self.rows // self.repeats,
            "right": self.right if self.repeats == 1 else self.right / self.repeats,
            "repeats": self.repeats,
            "multilabel": self.multilabel,
            "labels": list(self.labels),
            "counts": means(self.counts),
            "normalize": self.normalize,
            "shares": None if self.shares is None else self.shares.tolist(),
            "support": means(self.support),
            "given": means(self.given),
        }

    def __repr__(self) -> str:
        return "\n".join(self.lines(terminal_width()))

    def _repr_html_(self) -> str:
        rows = [
            (Cell(label), *map(Cell, cells))
            for label, cells in zip(self.labels, self._cells(True), strict=True)
        ]
        caption = f"{self.headline}. {self.legend}"
        return table_html(Table(caption, ("", *self.labels), rows))


def confusion_matrix(
    predicted: Predicted, normalize: str = "true", folds: FoldPredictions | None = None
) -> ConfusionMatrix:
    """Count the confusions of predictions; raises a RecipeError for an unknown `normalize`.

    With `folds`, those of all repeats of cross-validation, as means.
    """
    if normalize not in get_args(Normalize):
        choices = ", ".join(get_args(Normalize))
        raise RecipeError(f"normalize = {normalize!r}: it must be one of {choices}")
    repeats = (predicted.predictions,) if folds is None else folds.given()
    first, k = repeats[0], len(predicted.predictions.scheme)
    several = first.targets.ndim == 2

    def total(labels: Integers) -> Integers:
        return np.asarray(labels.sum(axis=0) if several else np.bincount(labels, minlength=k))

    return ConfusionMatrix(
        predicted.name,
        predicted.part,
        first.scheme.names,
        np.sum([confusion(of) for of in repeats], axis=0),
        np.sum([total(of.targets) for of in repeats], axis=0),
        np.sum([total(of.decisions) for of in repeats], axis=0),
        sum(map(len, repeats)),
        sum(int(is_right(of).sum()) for of in repeats),
        several,
        normalize=normalize,  # type: ignore[arg-type]
        repeats=len(repeats),
    )


def heatmap(of: ConfusionMatrix, key: str) -> str:
    """Return the matrix as SVG in the colors of the page, `key` in its ids."""
    side = min(7.0, 2.4 + 0.45 * len(of.labels))
    most = plots.MOST_CELLS_WITH_NUMBERS, 40
    draw = lambda figure: draw_matrix(figure.subplots(), of, plots.PAGE, most)  # noqa: E731
    return plots.svg(f"confusion-{key}", (side, side * 0.95), draw)


def draw_matrix(
    axes: Axes, of: ConfusionMatrix, colors: plots.Colors, most: tuple[int, int]
) -> None:
    """Draw a square per pair of labels, the stronger the larger its share.

    Numbers are in it for `most[0]` labels at most, and the labels have names for `most[1]`.
    """
    from matplotlib.patches import Rectangle

    k, shares = len(of.labels), of.shares
    strengths = of.counts / max(int(of.counts.max(initial=1)), 1) if shares is None else shares
    strengths = np.minimum(np.nan_to_num(strengths), 1.0)
    number: dict[str, Any] = {"ha": "center", "va": "center", "size": 8 if k <= 12 else 6.5}
    for i, j in zip(*np.nonzero(of.counts), strict=True):
        look: dict[str, Any] = {"color": colors.series, "alpha": float(strengths[i, j]), "lw": 0}
        axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, **look))
        if k <= most[0]:
            ink = colors.on_accent if strengths[i, j] > 0.5 else colors.ink
            said = of.mean_of(of.counts[i, j])
            if shares is not None:
                share = f"{shares[i, j]:.1%}" if k <= 12 else whole_percent(shares[i, j])
                said += f"\n{share}"
            axes.text(j, i, said, color=ink, linespacing=1.05, **number)
    shown = of.labels if k <= most[1] else [""] * k
    plots.label_rows(axes, shown)
    axes.set_xticks(range(k), [short(name, 16) for name in shown])
    axes.tick_params(axis="x", rotation=90 if k > 6 else 30)
    axes.tick_params(labelsize=9.5 if k <= 40 else 6)
    axes.grid(False)
    axes.set(xlim=(-0.5, k - 0.5), ylim=(k - 0.5, -0.5), aspect="equal", ylabel="truth")
    axes.set_xlabel("label given" if of.multilabel else "prediction")
    axes.spines[:].set_visible(True)


def whole_percent(share: float) -> str:
    """Return a share in whole percent, "<1%" where it is more than nothing but rounds to that."""
    return "-" if math.isnan(share) else "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def _fits(lines: Sequence[str], width: int) -> bool:
    return max(map(len, lines)) <= width


def _right_then_left(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return aligned lines, all columns but the last to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([*(c.rjust(w) for c, w in zip(row[:-1], widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    ]
