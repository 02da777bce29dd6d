"""Probabilities: their calibration, and the effect of decision rules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from finetext.core import wording
from finetext.core.types import Predictions, Score
from finetext.core.wording import counted
from finetext.evaluation.calibration import calibration, with_temperature
from finetext.evaluation.consistency import FEWEST_ROWS, Consistency, consistency, stated
from finetext.evaluation.deciding import Selective, covered, has_label, selective
from finetext.evaluation.proportions import proportion
from finetext.report import plots
from finetext.report.rendering import evenly

if TYPE_CHECKING:
    pass

_SERIOUS: Final = 0.05


def decided_json(predictions: Predictions) -> dict[str, Any]:
    """Return the effect of abstention, prediction sets and costs, where the rule has them.

    Each share has its 95% interval beside it, that of prediction sets also for each label.
    """
    found: dict[str, Any] = {}
    decision, given, groups = predictions.decision, predictions.decisions, predictions.groups
    if decision.can_abstain:
        kept = ~predictions.abstained
        right = predictions.select(kept)
        found |= _share("decided", proportion(kept, groups))
        found |= _share("accuracy", proportion(right.decisions == right.targets, right.groups))
    if decision.in_scope_up_to is not None:
        refused = decision.out_of_scope(predictions.probabilities)
        found |= _share("false_alarms", proportion(refused, groups))
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
