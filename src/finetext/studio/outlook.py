"""When to stop labeling: accuracy now, what more labels add, and how well classes are covered.

Texts of the random stream are the test set: a probe that learned from the other labels is judged on
them, so neither the choice of texts nor suggestions make the figures better than they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Final

import numpy as np

from finetext.core import registry
from finetext.core.arrays import Booleans, Floats, Integers
from finetext.core.types import LabelScheme, Score
from finetext.core.wording import counted, ends
from finetext.diagnosis.curve_series import Fit, Series
from finetext.diagnosis.forecast import FEWEST_SIZES, Measured, forecast
from finetext.evaluation.proportions import proportion
from finetext.storage.codec import Jsonable
from finetext.studio.state_probe import Labeled, Standard, StateProbe, can_learn

FEWEST_RANDOM: Final = 10
"""Texts of the random stream below which an interval would say nothing."""
FEWEST_CHOSEN: Final = 24
"""Labels to learn from below which no curve is drawn."""
ENOUGH_OF_A_CLASS: Final = 10
"""Labels of a class, among those to learn from, below which it is called thin."""
STEPS: Final = (50, 100, 200, 500, 1000)
"""More labels that a forecast is made for."""
FARTHEST: Final = 4.0
"""Most multiples of the labels now that a forecast is made for."""
HARDLY: Final = 0.01
"""A gain that counts as none, as a share of texts."""
_SIZES, _SEEDS, _RESAMPLES = 5, 4, 200


@dataclass(frozen=True)
class Gain:
    """What `labels` more labels add to the accuracy, by forecast."""

    labels: int
    gain: Score


@dataclass(frozen=True)
class CurvePoint:
    """The accuracy with a share of the labels, `labels` of them."""

    labels: int
    accuracy: Score


@dataclass(frozen=True)
class Coverage:
    """Labels of a class: all, those of the random stream, and its share of all texts by these."""

    label: str
    judged: int
    random: int
    share: Score
    enough: bool


@dataclass(frozen=True)
class Outlook(Jsonable):
    """What the labels so far are worth.

    Attributes:
        accuracy: share of the texts of the random stream on which a probe is right (exactly, with
            several labels a text); None if it is not known, for the reason `why_not`.
        curve: the same with shares of the labels, smallest first.
        forecast: gains by more labels; None without, for the reason `forecast_why_not`.
        coverage: the classes in the order of the scheme.
        undecided: texts of the random stream that wait for a decision, and do not count.
        advice: what to do next, in a sentence.
    """

    accuracy: Score | None
    why_not: str | None
    curve: tuple[CurvePoint, ...]
    forecast: tuple[Gain, ...] | None
    forecast_why_not: str | None
    coverage: tuple[Coverage, ...]
    undecided: int
    sentence: str
    advice: str


def outlook_of(
    labeled: Labeled,
    standard: Standard | None,
    coverage: tuple[Coverage, ...],
    left: int,
    undecided: int = 0,
) -> Outlook:
    """Return what the labels so far are worth.

    Args:
        labeled: the labeled texts whose states are known.
        standard: of all states; None if none are known yet.
        coverage: of all labeled texts.
        left: number of texts without a label.
        undecided: texts of the random stream that wait for a decision.
    """
    chosen, random = labeled.select(~labeled.is_random), labeled.select(labeled.is_random)
    why_not = _why_not(chosen, random, standard)
    accuracy, curve, gains, no_forecast = None, tuple[CurvePoint, ...](), None, why_not
    if standard is not None and why_not is None:
        accuracy = proportion(StateProbe.fit(chosen, standard).right(random))
        curve, gains, no_forecast = _forecast(chosen, random, standard, left)
    return Outlook(
        accuracy,
        why_not,
        curve,
        gains,
        no_forecast,
        coverage,
        undecided,
        _sentence(accuracy, undecided, why_not),
        _advice(gains, coverage, why_not),
    )


def coverage_of(
    targets: Integers, is_random: Booleans, scheme: LabelScheme
) -> tuple[Coverage, ...]:
    """Return how many labels each class has, for the targets of all labeled texts."""
    has = _has(targets, scheme)
    random = has[is_random]
    return tuple(
        Coverage(
            name,
            int(has[:, column].sum()),
            int(random[:, column].sum()),
            proportion(random[:, column]),
            bool(has[~is_random, column].sum() >= ENOUGH_OF_A_CLASS),
        )
        for column, name in enumerate(scheme.names)
    )


def _has(targets: Integers, scheme: LabelScheme) -> Booleans:
    """Return (m, k) whether a text has a label."""
    return np.asarray(targets > 0 if scheme.multilabel else np.eye(len(scheme))[targets] > 0)


def _why_not(chosen: Labeled, random: Labeled, standard: Standard | None) -> str | None:
    if standard is None:
        return "the texts are still being read by the encoder"
    if len(random) < FEWEST_RANDOM:
        return (
            f"{FEWEST_RANDOM} labels in the random stream are needed; there "
            f"{'is' if len(random) == 1 else 'are'} {len(random)}"
        )
    if not can_learn(chosen):
        return "all labels to learn from are the same"
    return None


def _forecast(
    chosen: Labeled, random: Labeled, standard: Standard, left: int
) -> tuple[tuple[CurvePoint, ...], tuple[Gain, ...] | None, str | None]:
    """Return the curve, the gains, and why there are none."""
    if len(chosen) < FEWEST_CHOSEN:
        needed = f"{FEWEST_CHOSEN} labels to learn from are needed; there are {len(chosen)}"
        return (), None, needed
    metric = "subset_accuracy" if chosen.scheme.multilabel else "accuracy"
    fits = _fits(chosen, random, standard)
    series = Series.of(fits, len(chosen))
    sizes = tuple(some[0].rows for some in fits)
    of = Measured(registry.load("metrics", metric), sizes, len(chosen), len(random), len(random))
    curve = tuple(map(CurvePoint, sizes, series.intervals(len(random), proportion=True)))
    value = float(series.value[-1])
    if value >= 1.0 or len(sizes) < FEWEST_SIZES:
        return curve, None, "the probe is right on every text of the random stream so far"
    found = forecast(series, 1.0, 1.0)
    share = len(chosen) / (len(chosen) + len(random))
    gains = []
    for more in STEPS:
        times = 1 + more * share / len(chosen)
        if more <= left and times <= FARTHEST:
            gains.append(Gain(more, found.growth(times, of)))
    return curve, tuple(gains) or None, None if gains else "few texts are left without a label"


def _fits(chosen: Labeled, random: Labeled, standard: Standard) -> list[list[Fit]]:
    """Return the fits of nested shares of the labels, by size, each with several seeds."""
    n = len(chosen)
    sizes = np.unique(np.geomspace(max(n / 2**_SIZES, 6), n, _SIZES).round().astype(int))
    generator = np.random.default_rng(0)
    weights = generator.multinomial(
        len(random), np.full(len(random), 1 / len(random)), _RESAMPLES
    ) / len(random)
    orders = [generator.permutation(n) for _ in range(_SEEDS)]
    return [[_fit(chosen.select(o[:size]), random, standard, weights) for o in orders]
            for size in sizes.tolist()]  # fmt: skip


def _fit(part: Labeled, random: Labeled, standard: Standard, weights: Floats) -> Fit:
    started = perf_counter()
    right = StateProbe.fit(part, standard).right(random)
    replicates = tuple((weights @ right).tolist())
    return Fit("probe", len(part), float(right.mean()), replicates, perf_counter() - started)


def _sentence(accuracy: Score | None, undecided: int, why_not: str | None) -> str:
    if accuracy is None:
        return f"The accuracy is not known yet: {why_not}."
    waiting = ""
    if undecided:
        waiting = (
            f" {counted(undecided, 'text')} of it without a decision "
            f"{'does' if undecided == 1 else 'do'} not count, so this is optimistic."
        )
    return (
        f"A linear probe on the labels so far is right on {accuracy.value:.0%} "
        f"{ends(accuracy, '.0%')} of all texts, by {counted(accuracy.n, 'label')} of the random "
        f"stream.{waiting}"
    )


def _advice(
    gains: tuple[Gain, ...] | None, coverage: tuple[Coverage, ...], why_not: str | None
) -> str:
    thin = [of.label for of in coverage if not of.enough]
    lacking = ""
    if thin:
        shown = ", ".join(repr(name) for name in thin[:3]) + (", ..." if len(thin) > 3 else "")
        lacking = f" Fewer than {ENOUGH_OF_A_CLASS} labels to learn from: {shown}."
    if gains is None:
        return f"Go on labeling.{lacking}" if why_not else f"No forecast yet.{lacking}"
    step = gains[min(len(gains) - 1, 2)]
    points = f"{100 * step.gain.value:+.0f} points [{100 * step.gain.low:+.0f}, "
    points += f"{100 * step.gain.high:+.0f}]"
    told = f"{step.labels} more labels: about {points}."
    if step.gain.high < HARDLY:
        return (
            f"{told} More labels hardly help: train now, or make the guidelines clearer.{lacking}"
        )
    return f"{told}{lacking}"
