"""The probabilities of one text as bars, in a terminal and as a picture."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from finetext.core.contracts import Classifier
from finetext.core.decision import Decision
from finetext.core.errors import DataError
from finetext.core.wording import short

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from rich.text import Text

    from finetext.training.rate_finder import RateCurve


FORMATS: Final = (".png", ".svg")
_INK: Final = "#1b1f24"
_GRID: Final = "#d5dae0"
_CURVE: Final = "#2563a8"
_MARK: Final = "#c25e00"
_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rate curve",
    "font.size": 10,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _GRID,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


def check_picture(path: Path) -> None:
    """Refuse a picture of another format.

    Raises:
        DataError: the name ends in neither .png nor .svg.
    """
    if path.suffix.lower() not in FORMATS:
        raise DataError(f"{path} cannot be drawn: the name must end in {' or '.join(FORMATS)}")


def write_rate_curve(curve: RateCurve, path: Path) -> Path:
    """Draw the curve with the suggestion marked; the file is written whole or not at all.

    Args:
        curve: what `finetext.find_lr` gave.
        path: .png or .svg; a file that is there is replaced.

    Raises:
        DataError: it is another format, or cannot be written.
    """
    return write_picture(path, lambda axes: _draw(axes, curve))


def write_picture(
    path: Path, draw: Callable[[Axes], None], inches: tuple[float, float] = (6.4, 4.0)
) -> Path:
    """Draw one plot; the file is written whole or not at all.

    Args:
        path: .png or .svg; a file that is there is replaced.
        draw: fills the axes.
        inches: width and height, 6.4 and 4 by default.

    Raises:
        DataError: it is another format, or cannot be written.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from finetext.storage.files import put_in_place

    check_picture(path)
    unfinished = path.with_name(f".{path.name}.unfinished")
    kind = path.suffix.lower().removeprefix(".")
    with rc_context(_STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=inches, layout="constrained", facecolor="white")
        FigureCanvasAgg(figure)
        draw(figure.subplots())
        try:
            figure.savefig(
                unfinished, format=kind, dpi=160, metadata={"Date": None} if kind == "svg" else {}
            )
            put_in_place(unfinished, path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            raise DataError(f"{path} cannot be written: {error.strerror}") from None
    return path


def _draw(axes: Axes, curve: RateCurve) -> None:
    losses = dict(zip(curve.rates, curve.losses, strict=True))
    suggestion, valley = curve.suggestion, curve.valley
    axes.plot(curve.rates, curve.losses, color=_CURVE, linewidth=1.8)
    axes.axvline(suggestion, color=_MARK, linewidth=1.0, linestyle="--")
    axes.plot(
        [suggestion], [losses[suggestion]], "o", color=_MARK, markersize=8,
        label=f"suggestion: {suggestion:.2g}",
    )  # fmt: skip
    axes.plot(
        [valley], [losses[valley]], "o", color=_CURVE, markerfacecolor="white", markersize=7,
        label=f"more careful: {valley:.2g}",
    )  # fmt: skip
    low, first = min(curve.losses), curve.losses[0]
    height = max(first - low, 0.05 * abs(first), 1e-6)
    axes.set_ylim(low - 0.15 * height, min(max(curve.losses), first + 0.7 * height) + 0.1 * height)
    axes.set_xscale("log")
    axes.set(xlabel="learning rate", ylabel="training loss, smoothed")
    axes.grid(axis="both")
    axes.legend(frameon=False, loc="lower left")


_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_LIMIT_MARK: Final = "┃"
_LONGEST_NAME: Final = 32
_LEAST_BAR: Final = 10
_LONGEST_TEXT: Final = 90
_GIVEN: Final = "#2563a8"
_OTHER: Final = "#9db4cf"
_LIMIT: Final = "#c25e00"


@dataclass(frozen=True)
class Bar:
    """One label.

    Attributes:
        label: its name.
        probability: from 0 to 1.
        is_given: whether it is, or is among, the labels that the decision gives.
        is_in_set: whether it is in the prediction set.
        limit: the probability from which it is given, if there is such a one.
    """

    label: str
    probability: float
    is_given: bool
    is_in_set: bool
    limit: float | None


@dataclass(frozen=True)
class Bars:
    """What a classifier says of one text.

    Attributes:
        text: the text.
        bars: the labels, likeliest first.
        abstains: whether no label is given since none is probable enough.
        decision: the rule by which labels are given.
        multilabel: whether a text can have several labels.
    """

    text: str
    bars: tuple[Bar, ...]
    abstains: bool
    decision: Decision
    multilabel: bool

    @classmethod
    def of(cls, classifier: Classifier, text: str) -> Bars:
        """Predict one text."""
        scheme, decision = classifier.scheme, classifier.decision
        found = classifier.predict_proba([text])
        labels = decision.labels(found, scheme.multilabel)[0]
        abstains = not scheme.multilabel and bool(decision.abstains(found)[0])
        sets = decision.sets(found)
        bars = tuple(
            Bar(
                name,
                float(found[0, column]),
                not abstains and bool(labels[column] if scheme.multilabel else labels == column),
                sets is not None and bool(sets[0, column]),
                _limit(decision, column, scheme.multilabel),
            )
            for column, name in enumerate(scheme.names)
        )
        ordered = sorted(bars, key=lambda bar: -bar.probability)
        return cls(text, tuple(ordered), abstains, decision, scheme.multilabel)

    @property
    def prediction(self) -> Any:
        """The label given, None where it abstains; a list of labels where there can be several."""
        given = [bar.label for bar in self.bars if bar.is_given]
        return given if self.multilabel else next(iter(given), None)

    @property
    def said(self) -> str:
        """What is decided, in one line."""
        if self.abstains:
            return "no label, as none is probable enough"
        return ", ".join(bar.label for bar in self.bars if bar.is_given) or "no label"

    def notes(self, shown: int) -> Iterator[str]:
        """What else there is to say, with so many labels shown."""
        decision = self.decision
        if decision.set_from is not None:
            names = ", ".join(bar.label for bar in self.bars if bar.is_in_set)
            share = "" if decision.coverage is None else f" ({decision.coverage:.0%} coverage)"
            yield f"prediction set{share}: {names or 'no label'}"
        if any(bar.limit is not None for bar in self.bars[:shown]):
            yield f"{_LIMIT_MARK} is the probability from which a label is given"
        if decision.costs is not None:
            yield "the label given is that with the least expected cost"
        elif decision.thresholds is not None and not self.multilabel:
            yield "the label given has the highest probability divided by its threshold"
        if rest := self.bars[shown:]:
            labels = "label" if len(rest) == 1 else "labels"
            together = "" if self.multilabel else (
                f", together {sum(bar.probability for bar in rest):.4f}"
            )  # fmt: skip
            yield f"and {len(rest):,} less likely {labels}{together}"

    def to_json(self, shown: int | None = None) -> dict[str, Any]:
        """The figures; a limit that there is not is None."""
        bars = self.bars[:shown]
        values: dict[str, Any] = {
            "text": self.text,
            "prediction": self.prediction,
            "abstains": self.abstains,
            "probabilities": {bar.label: bar.probability for bar in bars},
            "limits": {bar.label: bar.limit for bar in bars},
        }
        if self.decision.set_from is not None:
            values["set"] = [bar.label for bar in self.bars if bar.is_in_set]
        return values


def _limit(decision: Decision, column: int, multilabel: bool) -> float | None:
    """The probability from which a label is given, if one says so by itself."""
    if multilabel:
        return 0.5 if decision.thresholds is None else decision.thresholds[column]
    return None if decision.least is None else decision.least[column]


def bar_lines(bars: Bars, most: int, width: int, is_plain: bool = False) -> list[Text]:
    """The bars for a terminal, then what else there is to say.

    Args:
        bars: what to show.
        most: how many labels at most.
        width: columns that there are.
        is_plain: whether only ASCII can be shown.
    """
    from rich.cells import cell_len, set_cell_size
    from rich.text import Text

    shown = bars.bars[:most]
    names = [short(bar.label, _LONGEST_NAME) for bar in shown]
    room = min(max(map(cell_len, names)), max(6, width - _LEAST_BAR - 10))
    length = max(_LEAST_BAR, width - room - 10)
    lines = [Text.assemble("prediction: ", (short(bars.said, 200), "bold"))]
    for bar, name in zip(shown, names, strict=True):
        style = "bold blue" if bar.is_given else "blue" if bar.is_in_set else "dim"
        cells = _cells(bar, length, is_plain)
        lines.append(
            Text.assemble(
                (set_cell_size(name, room), "bold" if bar.is_given else ""),
                "  ",
                (cells, style),
                f" {bar.probability:6.4f}",
            )
        )
    for note in (short(each, 1000) for each in bars.notes(most)):
        lines.append(Text(note.replace(_LIMIT_MARK, "|") if is_plain else note, "dim"))
    return lines


def _cells(bar: Bar, length: int, is_plain: bool) -> str:
    """A bar with the mark of its limit."""
    eighths = round(bar.probability * length * 8)
    if is_plain:
        drawn = "#" * round(eighths / 8)
    else:
        drawn = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
    cells = list(drawn.ljust(length))
    if bar.limit is not None and bar.limit <= 1:
        cells[min(length - 1, round(bar.limit * length))] = "|" if is_plain else _LIMIT_MARK
    return "".join(cells)


def write_bars(bars: Bars, path: Path, most: int) -> Path:
    """Draw the bars; the file is written whole or not at all.

    Args:
        bars: what to show.
        path: .png or .svg; a file that is there is replaced.
        most: how many labels at most.

    Raises:
        DataError: it is another format, or cannot be written.
    """
    height = 1.6 + 0.27 * min(most, len(bars.bars)) + 0.2 * len(list(bars.notes(most)))
    return write_picture(path, lambda axes: _draw_bars(axes, bars, most), (6.4, max(2.2, height)))


def _draw_bars(axes: Axes, bars: Bars, most: int) -> None:
    shown = bars.bars[:most]
    rows = np.arange(len(shown))
    values = [bar.probability for bar in shown]
    axes.barh(rows, values, 0.7, color=[_GIVEN if bar.is_given else _OTHER for bar in shown])
    for row, bar in enumerate(shown):
        if bar.limit is not None and bar.limit <= 1:
            axes.plot([bar.limit] * 2, [row - 0.42, row + 0.42], color=_LIMIT, linewidth=2)
        axes.text(1.01, row, f"{bar.probability:.4f}", va="center", family="monospace", fontsize=9)
    axes.set_yticks(rows, [short(bar.label, _LONGEST_NAME) for bar in shown], parse_math=False)
    for tick, bar in zip(axes.get_yticklabels(), shown, strict=True):
        tick.set_fontweight("bold" if bar.is_given else "normal")
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.tick_params(length=0)
    axes.grid(axis="x")
    notes = [note.replace(_LIMIT_MARK, "the line") for note in bars.notes(most)]
    axes.set_xlabel("\n".join(["probability", *(short(note, 90) for note in notes)]))
    title = f"{short(bars.text, _LONGEST_TEXT)}\nprediction: {short(bars.said, 70)}"
    axes.set_title(title, loc="left", fontsize=10, parse_math=False)
