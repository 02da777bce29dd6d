"""The probabilities of one text as bars, in a terminal and as a picture."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetext.core.contracts import Classifier
from finetext.core.decision import Decision
from finetext.core.errors import DataError
from finetext.core.wording import counted, short
from finetext.report import plots
from finetext.report.rendering import blocks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from finetext.core.styled import Text

_LIMIT_MARK: Final = "┃"
_LONGEST_NAME: Final = 32
_SHORTEST_BAR: Final = 10


@dataclass(frozen=True)
class Bar:
    """One label of a text; `limit` is the probability from which it is given, if there is one."""

    label: str
    probability: float
    is_given: bool
    is_in_set: bool
    limit: float | None


@dataclass(frozen=True)
class Bars:
    """The probabilities of one text, likeliest label first, and what is decided."""

    text: str
    bars: tuple[Bar, ...]
    abstains: bool
    decision: Decision
    multilabel: bool
    is_refused: bool = False

    @classmethod
    def of(cls, classifier: Classifier, text: str) -> Bars:
        """Predict one text."""
        scheme, decision = classifier.scheme, classifier.decision
        found = classifier.predict_proba([text])
        labels = decision.labels(found, scheme.multilabel)[0]
        abstains = not scheme.multilabel and bool(decision.abstains(found)[0])
        sets = decision.sets(found)
        limits = decision.thresholds if scheme.multilabel else decision.least
        default = 0.5 if scheme.multilabel else None
        bars = []
        for column, name in enumerate(scheme.names):
            given = bool(labels[column] if scheme.multilabel else labels == column)
            limit = default if limits is None else limits[column]
            in_set = sets is not None and bool(sets[0, column])
            bars.append(Bar(name, float(found[0, column]), given and not abstains, in_set, limit))
        bars.sort(key=lambda bar: -bar.probability)
        is_refused = bool(decision.out_of_scope(found)[0])
        return cls(text, tuple(bars), abstains, decision, scheme.multilabel, is_refused)

    @property
    def prediction(self) -> Any:
        """The label given, None where it abstains; a list of labels in multi-label data."""
        given = [bar.label for bar in self.bars if bar.is_given]
        return given if self.multilabel else next(iter(given), None)

    @property
    def said(self) -> str:
        """What is decided, in one line."""
        if self.is_refused:
            return "no label, as the text belongs to no class"
        if self.abstains:
            return "no label, as none is probable enough"
        return ", ".join(bar.label for bar in self.bars if bar.is_given) or "no label"

    def notes(self, shown: int) -> Iterator[str]:
        """Notes on the decision, with that many labels shown."""
        decision = self.decision
        if decision.set_from is not None:
            names = ", ".join(bar.label for bar in self.bars if bar.is_in_set)
            share = "" if decision.coverage is None else f" ({decision.coverage:.0%} coverage)"
            yield f"prediction set{share}: {names or 'no label'}"
        if any(bar.limit is not None for bar in self.bars[:shown]):
            yield f"{_LIMIT_MARK} is the probability from which a label is given"
        if decision.costs is not None:
            yield "the label given is the one with the lowest expected cost"
        elif decision.thresholds is not None and not self.multilabel:
            yield "the label given has the highest probability divided by its threshold"
        if rest := self.bars[shown:]:
            together = f", together {sum(bar.probability for bar in rest):.4f}"
            less = counted(len(rest), "less likely label")
            yield f"and {less}{'' if self.multilabel else together}"

    def to_json(self, shown: int | None = None) -> dict[str, Any]:
        """Return JSON values; a missing limit is None."""
        bars = self.bars[:shown]
        names = [bar.label for bar in self.bars if bar.is_in_set]
        return {
            "text": self.text,
            "prediction": self.prediction,
            "abstains": self.abstains,
            "probabilities": {bar.label: bar.probability for bar in bars},
            "limits": {bar.label: bar.limit for bar in bars},
            **({} if self.decision.set_from is None else {"set": names}),
            **({} if self.decision.in_scope_up_to is None else {"out_of_scope": self.is_refused}),
        }


def bar_lines(bars: Bars, most: int, width: int, is_plain: bool = False) -> list[Text]:
    """Return the bars of at most that many labels for a terminal of that width, then notes."""
    from rich.cells import cell_len, set_cell_size

    from finetext.core.styled import Text

    shown = bars.bars[:most]
    names = [short(bar.label, _LONGEST_NAME) for bar in shown]
    room = min(max(map(cell_len, names)), max(6, width - _SHORTEST_BAR - 10))
    length = max(_SHORTEST_BAR, width - room - 10)
    lines = [Text.assemble("prediction: ", (short(bars.said, 200), "bold"))]
    for bar, name in zip(shown, names, strict=True):
        filled = bar.probability * length
        cells = list(("#" * round(filled) if is_plain else blocks(filled)).ljust(length))
        if bar.limit is not None and bar.limit <= 1:
            cells[min(length - 1, round(bar.limit * length))] = "|" if is_plain else _LIMIT_MARK
        style = "bold blue" if bar.is_given else "blue" if bar.is_in_set else "dim"
        label = (set_cell_size(name, room), "bold" if bar.is_given else "")
        drawn = ("".join(cells), style)
        lines.append(Text.assemble(label, "  ", drawn, f" {bar.probability:6.4f}"))
    for note in (short(each, 1000) for each in bars.notes(most)):
        lines.append(Text(note.replace(_LIMIT_MARK, "|") if is_plain else note, "dim"))
    return lines


def plot_prediction(
    classifier: Classifier, text: str, *, top: int = 20, out: str | Path | None = None
) -> Figure:
    """Draw the probability of each label of one text as bars, likeliest first.

    Args:
        classifier: any classifier, such as `finetext.load("runs/reviews")`.
        text: the text.
        top: number of labels to draw, 20 by default.
        out: a .png or .svg file to write as well.

    Returns:
        a matplotlib figure, which a notebook displays.

    Raises:
        DataError: the text is not a string, `top` is below 1, or the file cannot be written.
    """
    if not isinstance(text, str) or top < 1:
        problem = (
            f"top = {top}" if isinstance(text, str) else f"a value of type {type(text).__name__}"
        )
        raise DataError(f"cannot draw {problem}; give one text, and 1 or more labels to draw")
    return draw_bars(Bars.of(classifier, text), top, out)


def draw_bars(bars: Bars, most: int, out: str | Path | None = None) -> Figure:
    """Draw the bars of at most that many labels; see `plots.picture`."""
    title = "\n".join([*_title_lines(bars.text), *_title_lines(f"prediction: {bars.said}")])
    height = 1.4 + 0.27 * min(most, len(bars.bars)) + 0.2 * len(list(bars.notes(most)))
    height += 0.15 * title.count("\n")

    def draw(figure: Figure) -> None:
        axes, shown = figure.subplots(), bars.bars[:most]
        blue, mark = plots.LIGHT_SERIES[:2]
        colors = [blue if bar.is_given else "#9db4cf" for bar in shown]
        axes.barh(range(len(shown)), [bar.probability for bar in shown], 0.7, color=colors)
        beside: dict[str, Any] = {"va": "center", "family": "monospace", "fontsize": 9}
        for row, bar in enumerate(shown):
            if bar.limit is not None and bar.limit <= 1:
                axes.plot([bar.limit] * 2, [row - 0.42, row + 0.42], color=mark, linewidth=2)
            axes.text(1.01, row, f"{bar.probability:.4f}", **beside)
        plots.label_rows(axes, [bar.label for bar in shown], _LONGEST_NAME)
        for tick, bar in zip(axes.get_yticklabels(), shown, strict=True):
            tick.set_fontweight("bold" if bar.is_given else "normal")
        axes.set_xlim(0, 1)
        notes = [note.replace(_LIMIT_MARK, "the line") for note in bars.notes(most)]
        axes.set_xlabel("\n".join(["probability", *(short(note, 90) for note in notes)]))
        figure.suptitle(title, x=0.01, ha="left", fontsize=9.5)

    return plots.picture(draw, (6.4, max(2.2, height)), out)


def _title_lines(text: str, longest: int = 200, width: int = 78) -> list[str]:
    """Return the start of a text in lines that fit above the bars; wide letters take two places."""
    from rich.cells import cell_len

    line = short(text, longest)
    return textwrap.wrap(line, max(1, width * len(line) // max(1, cell_len(line)))) or [""]
