"""Probabilities: their calibration, the effect of decision rules, and the bars of one text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from finetext.core import wording
from finetext.core.contracts import Classifier
from finetext.core.decision import Decision
from finetext.core.errors import DataError
from finetext.core.types import Predictions, Score
from finetext.core.wording import counted, short
from finetext.evaluation.calibration import calibration, with_temperature
from finetext.evaluation.consistency import FEWEST_ROWS, Consistency, consistency, stated
from finetext.evaluation.deciding import Selective, covered, has_label, selective
from finetext.evaluation.proportions import proportion
from finetext.report import plots
from finetext.report.rendering import blocks, evenly

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from finetext.core.styled import Text

_SERIOUS: Final = 0.05
_LIMIT_MARK: Final = "┃"
_LONGEST_NAME: Final = 32
_SHORTEST_BAR: Final = 10


def decided_json(predictions: Predictions) -> dict[str, Any]:
    """Return the effect of abstention, prediction sets and costs, where the rule has them.

    Each share has its 95% interval beside it, that of prediction sets also for each label.
    """
    found: dict[str, Any] = {}
    decision, given, groups = predictions.decision, predictions.decisions, predictions.groups
    if decision.least is not None:
        kept = ~predictions.abstained
        right = predictions.select(kept)
        found |= _share("decided", proportion(kept, groups))
        found |= _share("accuracy", proportion(right.decisions == right.targets, right.groups))
    if (sets := decision.sets(predictions.probabilities)) is not None:
        found |= _share("covered", proportion(covered(predictions), groups))
        found["set_size"] = float(sets.sum(axis=1).mean())
        by_label = covered_by_label(predictions).items()
        found["covered_by_label"] = {name: _share("covered", of) for name, of in by_label}
    if decision.costs is not None and len(predictions):
        costs, truth = np.array(decision.costs), predictions.targets
        likeliest = predictions.probabilities.argmax(axis=1)
        found["cost"] = float(costs[truth, given].mean())
        found["cost_of_likeliest"] = float(costs[truth, likeliest].mean())
    return found


def _share(name: str, score: Score) -> dict[str, Any]:
    if not score.n:
        return {name: None}
    return {name: score.value, f"{name}_interval": [score.low, score.high]}


def covered_by_label(predictions: Predictions) -> dict[str, Score]:
    """Return, for each label, the share of its rows that have it in their prediction set."""
    sets = predictions.decision.sets(predictions.probabilities)
    assert sets is not None
    found = {}
    for column, name in enumerate(predictions.scheme.names):
        rows, groups = has_label(predictions.targets, column), predictions.groups
        named = None if groups is None else [groups[row] for row in np.flatnonzero(rows)]
        found[name] = proportion(sets[rows, column], named)
    return found


def decided_lines(predictions: Predictions) -> list[str]:
    """Return the same in words, and whether new rows reach the targets."""
    found, lines = decided_json(predictions), []

    def shown(name: str) -> str:
        low, high = found[f"{name}_interval"]
        return f"{found[name]:.3f} [{low:.3f}, {high:.3f}]"

    if "decided" in found:
        right = "" if found["accuracy"] is None else f", with accuracy {shown('accuracy')}"
        lines.append(f"decides {shown('decided')} of the rows{right}")
    if "covered" in found:
        by_class = isinstance(predictions.decision.set_from, tuple)
        lines.append(
            f"prediction sets contain the truth in {shown('covered')} of the rows (target: "
            f"{predictions.decision.coverage:g}{' of each label' if by_class else ''}), with "
            f"{found['set_size']:.2f} labels on average{lowest_coverage(predictions)}"
        )
    if "cost" in found:
        lines.append(
            f"a row costs {found['cost']:.3g} on average; with the likeliest label it would cost "
            f"{found['cost_of_likeliest']:.3g}"
        )
    if predictions.decision.assurance:
        lines.append(f"the target is {predictions.decision.assurance}")
    return lines


def lowest_coverage(predictions: Predictions) -> str:
    """Return the label whose rows have it least often in their sets, as an end of a sentence."""
    known = {name: of for name, of in covered_by_label(predictions).items() if of.n}
    if not known:
        return ""
    name = min(known, key=lambda label: known[label].value)
    of = known[name]
    return (
        f"; lowest for {name}: {of.value:.3f} [{of.low:.3f}, {of.high:.3f}] of "
        f"{counted(of.n, 'row')}"
    )


def threshold_lines(predictions: Predictions) -> list[str]:
    """Return the thresholds of each label; a label with one above 1 is never given.

    A least probability that is the same for all labels is one line.
    """
    decision, scheme = predictions.decision, predictions.scheme
    if scheme.positive is not None and decision.thresholds is not None:
        threshold = decision.threshold_of(scheme.positive_column)
        return [f"{scheme.positive} is given from a probability of {threshold:.3f}"]
    first = "threshold" if scheme.multilabel else "probability divided by"
    least, same = decision.least, list[str]()
    if least is not None and len(set(least)) == 1:
        same = [f"no label below a probability of {least[0]:.3f}"]
        if least[0] > 1:
            same = ["no label is ever given, as no probability is high enough"]
        least = None
    titles = {first: decision.thresholds, "least probability": least}
    return same + [
        f"never given: {name}, as no probability is high enough"
        if value > 1 and title != "probability divided by"
        else f"{title} {value:.3f}  {name}"
        for title, values in titles.items()
        for name, value in zip(scheme.names, values or (), strict=values is not None)
    ]


def trust(method: str, predictions: Predictions, scored: str = "test rows") -> dict[str, Any]:
    """Return what the section on probabilities shows of one method on the rows of that name."""
    found, check = calibration(predictions), consistency(predictions)
    is_scaled = found.temperature != 1
    panels, checks = [("not scaled", found.after)], [check]
    scaling = "The logits are not scaled."
    if is_scaled:
        unscaled = consistency(with_temperature(predictions, 1 / found.temperature))
        panels = [("as trained", found.before), ("scaled", found.after)]
        checks = [unscaled, check]
        scaling = (
            "Temperature scaling did not change that."
            if unscaled.words == check.words
            else f"Before temperature scaling they were {unscaled.words}."
        )
    bins = zip(*[of.bins for _, of in panels], strict=True)
    curve = None if predictions.scheme.multilabel else selective(predictions)
    decision = predictions.decision
    return {
        "method": method,
        "check": check,
        "headline": f"The probabilities of {method} are {check.words}",
        "sentence": f"{stated_sentence(predictions)} {scaling}",
        "temperature": found.temperature if is_scaled else None,
        "panels": panels,
        "checks": checks,
        "plot": plots.reliability_diagram(panels),
        "bins": [each for each in bins if any(bin_.rows for bin_ in each)],
        "abstaining": curve and _abstaining(curve, predictions),
        "selective_plot": curve and plots.selective_curve(curve),
        "selective_rows": curve and evenly(curve.points, 20),
        "sets": _sets(predictions, scored),
        "sets_by_label": covered_by_label(predictions) if decision.set_from is not None else {},
        "assurance": decision.assurance and f"The target is {decision.assurance}.",
    }


def stated_sentence(predictions: Predictions) -> str:
    """Return an example of stated confidence and the share that is right."""
    found = stated(predictions)
    texts = f"the {counted(found.right.n, 'text')} given a probability"
    if predictions.scheme.multilabel:
        texts = f"the {found.right.n:,} pairs of text and label with a probability"
    outcome = "are true" if predictions.scheme.multilabel else "are right"
    return (
        f"Of {texts} of about {found.confidence:.0%}, {found.right.value:.0%} {outcome} "
        f"{wording.percent_ends(found.right)}."
    )


def probability_advice(check: Consistency) -> list[str]:
    """Return what to do with probabilities that are not, or not known to be, calibrated."""
    if check.status == "too few":
        return [
            f"Take probabilities as an order, not as percentages: it takes {FEWEST_ROWS} rows or "
            "more to check them."
        ]
    if check.status != "calibrated" and check.excess > _SERIOUS:
        return [f"Do not rely on single probabilities: they are {check.words}."]
    return []


def _abstaining(curve: Selective, predictions: Predictions) -> str:
    whole, part = curve.points[0], min(curve.points, key=lambda point: abs(point[0] - 0.8))
    gain = f"Accuracy is {whole[1]:.1%} on all rows"
    if abs(part[0] - 0.8) < 0.05 and part[1] > whole[1]:
        gain += f", and {part[1]:.1%} on the {part[0]:.0%} with the highest probability"
    if math.isclose(curve.coverage, 1):
        return f"{gain}. This model decides every row; with --abstain it leaves some out."
    found = decided_json(predictions)
    decided = f"{curve.coverage:.1%} {_percent(found['decided_interval'])} of the rows"
    if found["accuracy"] is None:
        return f"{gain}. This model decides {decided}."
    accuracy = f"{curve.accuracy:.1%} {_percent(found['accuracy_interval'])}"
    return f"{gain}. This model decides {decided}, with an accuracy of {accuracy}."


def _percent(interval: Sequence[float]) -> str:
    return f"[{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def _sets(predictions: Predictions, scored: str) -> str:
    coverage = predictions.decision.coverage
    chosen = predictions.decision.sets(predictions.probabilities)
    if chosen is None or coverage is None:
        return ""
    sizes, of = chosen.sum(axis=1), proportion(covered(predictions), predictions.groups)
    by_label = " of each label" if isinstance(predictions.decision.set_from, tuple) else ""
    return (
        f"Prediction sets contain the truth in {of.value:.1%} {_percent((of.low, of.high))} of the "
        f"{scored} (target: {coverage:.0%}{by_label}). A set has {sizes.mean():.2f} of "
        f"{chosen.shape[1]} labels on average; {(sizes == 1).mean():.0%} of the sets have one "
        f"label, {(sizes == 0).mean():.0%} none."
    )


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
        return cls(text, tuple(bars), abstains, decision, scheme.multilabel)

    @property
    def prediction(self) -> Any:
        """The label given, None where it abstains; a list of labels in multi-label data."""
        given = [bar.label for bar in self.bars if bar.is_given]
        return given if self.multilabel else next(iter(given), None)

    @property
    def said(self) -> str:
        """What is decided, in one line."""
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
        problem = f"top = {top}" if isinstance(text, str) else f"a {type(text).__name__}"
        raise DataError(f"cannot draw {problem}; give one text, and 1 or more labels to draw")
    return draw_bars(Bars.of(classifier, text), top, out)


def draw_bars(bars: Bars, most: int, out: str | Path | None = None) -> Figure:
    """Draw the bars of at most that many labels; see `plots.picture`."""
    height = 1.6 + 0.27 * min(most, len(bars.bars)) + 0.2 * len(list(bars.notes(most)))

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
        title = f"{short(bars.text, 90)}\nprediction: {short(bars.said, 70)}"
        axes.set_title(title, loc="left", fontsize=10)

    return plots.picture(draw, (6.4, max(2.2, height)), out)
