"""The first paragraphs of the report, in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from finetext.core import wording as figures
from finetext.core.registry import load
from finetext.core.types import Score
from finetext.core.wording import counted
from finetext.evaluation.leaderboard import LeaderboardEntry

if TYPE_CHECKING:
    from finetext.diagnosis.slices import Slice
    from finetext.report.data import ReportData
    from finetext.report.trust import TrustView


_TOO_FAR_OFF: Final = 0.05


@dataclass(frozen=True)
class Summary:
    """What a reader in a hurry should know: sentences.

    Attributes:
        result: what was trained and how good it is.
        failing: where it fails, as far as that was looked at.
        data: what is wrong with the data.
        advice: what to do next.
    """

    result: Sequence[str]
    failing: Sequence[str]
    data: Sequence[str]
    advice: Sequence[str]


def summarise(data: ReportData, labels: int, trust: TrustView | None) -> Summary:
    """Put the report in a few sentences; what was not looked at is not mentioned.

    Args:
        data: all that the report says.
        labels: number of labels.
        trust: how far probabilities can be trusted.
    """
    failing = [*_mistakes(data), *_worse(data), *_trusted(data, trust)]
    return Summary(_trained(data, labels), failing, _data(data), _advice(data, trust))


def _trained(data: ReportData, labels: int) -> list[str]:
    title = load("metrics", data.metric).title
    count = len(data.entries)
    methods = "one method" if count == 1 else f"{count} methods"
    by_method = {entry.method: entry for entry in data.entries}
    best = by_method[data.best]
    return [
        f"This run trained {methods} on {data.rows.get('train', 0):,} texts to tell {labels} "
        f"labels apart, and judged on {data.rows.get('test', 0):,} texts kept aside for the end.",
        f"On the validation texts {data.best} is best by {title}; on the test texts it reaches "
        f"{_with_interval(best.metrics['test'].get(data.metric))}.",
        *_cheapest(data, by_method),
    ]


def _cheapest(data: ReportData, by_method: Mapping[str, LeaderboardEntry]) -> list[str]:
    if data.cheapest == data.best:
        worse = "Every method that is cheaper to train is significantly worse."
        return [worse] if len(by_method) > 1 else []
    best, cheapest = by_method[data.best], by_method[data.cheapest]
    against = data.comparisons[data.cheapest]
    return [
        f"The cheapest method that is not significantly worse is {data.cheapest}: it took "
        f"{figures.duration(cheapest.seconds_to_train)} to train instead of "
        f"{figures.duration(best.seconds_to_train)}, and differs from {data.best} by "
        f"{against.difference.value:+.3f} "
        f"({_interval(against.difference, '+.3f')}, p = {figures.p_value(against.p_value)})."
    ]


def _mistakes(data: ReportData) -> list[str]:
    errors = data.diagnoses.errors
    if errors is None:
        return []
    said = f"{errors.method} is wrong on {errors.wrong:,} of {errors.rows:,} {errors.part} texts"
    if not errors.confusions:
        return [f"{said}."]
    worst = errors.confusions[0]
    times = counted(worst.rows, "time")
    return [f"{said}, most often by taking {worst.truth} for {worst.prediction} ({times})."]


def _worse(data: ReportData) -> list[str]:
    slices = data.diagnoses.slices
    worse = [each for each in slices.slices if each.worse] if slices else []
    if slices is None or not worse:
        return []
    first = worse[0]
    return [
        f"It is significantly worse on {counted(len(worse), 'kind')} of text, most surely on "
        f"{slice_name(first)}: {load('metrics', slices.metric).title} {first.score.value:.3f} on "
        f"{counted(first.rows, 'text')}."
    ]


def slice_name(each: Slice) -> str:
    """Which rows a slice has, in words."""
    return f"{each.name} ({each.kind.removeprefix('column:')})"


def _trusted(data: ReportData, trust: TrustView | None) -> list[str]:
    if trust is None:
        return []
    off = 100 * trust.calibration.after.calibration_error
    return [f"The probabilities of {data.best} are {off:.1f} points off on average."]


def _data(data: ReportData) -> list[str]:
    severities = [finding.severity for finding in data.findings]
    errors, warnings = severities.count("error"), severities.count("warning")
    named = [counted(n, word) for n, word in ((errors, "error"), (warnings, "warning")) if n]
    said = [f"The checks found {' and '.join(named)}, listed below."] if named else []
    suspects = data.diagnoses.suspects
    if suspects is not None:
        count = len(suspects.suspects)
        share = f" ({count / suspects.rows:.1%})" if count else ""
        which = f"{count:,}" if count else "None"
        looks = "looks" if count <= 1 else "look"
        said.append(f"{which} of {suspects.rows:,} labels{share} {looks} wrong.")
        if suspects.too_many:
            said.append(f"That is more than {suspects.method} can know: most are only hard to it.")
    return said or ["The checks found nothing to object to."]


def _advice(data: ReportData, trust: TrustView | None) -> list[str]:
    found = data.diagnoses
    advice = []
    if any(finding.severity == "error" for finding in data.findings):
        advice.append("Settle the errors under “What to know” first.")
    if found.suspects is not None and found.suspects.too_many:
        advice.append(
            "Start with the first of “Labels that look wrong”; a better method finds those that "
            "are: finetext label-errors --method finetune."
        )
    elif found.suspects is not None and found.suspects.suspects:
        advice.append(
            "Read the list under “Labels that look wrong” and correct those that are: better "
            "labels help every method, and make the scores true."
        )
    if found.errors is not None and found.errors.confusions:
        worst = found.errors.confusions[0]
        advice.append(
            f"Read the texts where {worst.truth} is taken for {worst.prediction}; if people would "
            "disagree on them, draw a clearer line between the two."
        )
    advice += _more_labels(data)
    if trust is not None and trust.calibration.after.calibration_error > _TOO_FAR_OFF:
        advice.append("Do not take the probabilities at their word.")
    if data.cheapest != data.best:
        advice.append(f"Where time or memory counts, use {data.cheapest}.")
    return advice or [f"Use {data.best}."]


def _more_labels(data: ReportData) -> list[str]:
    curve = data.diagnoses.curve
    if curve is None or curve.best.outlook == "too few":
        return []
    if curve.best.outlook == "steepening":
        return ["Label more texts: the learning curve is still getting steeper."]
    twice = next((each for each in curve.best.expected if each.times == 2), None)
    if twice is None or not twice.shown:
        return ["More labels of the same kind would hardly help."]
    title = load("metrics", curve.metric).title
    gain = f"{twice.gain.value:+.3f} {title} ({_interval(twice.gain, '+.3f')})"
    return [f"Label more texts: with twice as many {curve.best.method} should gain {gain}."]


def _with_interval(score: Score | None) -> str:
    if score is None:
        return "an unknown score"
    return f"{score.value:.3f} ({_interval(score, '.3f')})"


def _interval(score: Score, written: str) -> str:
    if math.isnan(score.low):
        return "without an interval"
    return f"95% interval {score.low:{written}} to {score.high:{written}}"
