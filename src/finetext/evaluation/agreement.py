"""How far annotators agree: Cohen's kappa, Krippendorff's alpha, and the human ceiling.

All intervals are over texts: a text, with all its answers, is one unit. Those of alpha, kappa and
of classes are by the jackknife; those of shares are Wilson's with the effective number of texts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from finetext.core.annotations import Annotations, Labels, majorities
from finetext.core.arrays import Floats, Integers
from finetext.core.contracts import check_read
from finetext.core.errors import DataError
from finetext.core.types import Dataset, Score
from finetext.data.annotators import repeated_texts
from finetext.evaluation.estimates import CONFIDENCE, NAN, of_units
from finetext.evaluation.proportions import score_interval
from finetext.storage.codec import Jsonable

RELIABLE: Final = 0.8
TENTATIVE: Final = 0.667
"""Krippendorff's rule for alpha: below the second, labels are no basis for conclusions."""
MOST_PAIRS: Final = 300


@dataclass(frozen=True)
class PairAgreement:
    """Two annotators on the texts that both labeled: share of equal labels, and Cohen's kappa."""

    a: str
    b: str
    agreed: Score
    kappa: Score


@dataclass(frozen=True)
class AnnotatorAgreement:
    """How often one annotator gives the label of the majority of the others."""

    name: str
    agreed: Score


@dataclass(frozen=True)
class ClassAgreement:
    """How often, where one annotator gives a label, another annotator of the text gives it too."""

    name: str
    agreed: Score


@dataclass(frozen=True)
class Agreement(Jsonable):
    """How far annotators agree.

    Attributes:
        column: the column of annotators; None where texts are merely repeated.
        texts: number of texts that two or more annotators labeled, of `total`.
        agreed: share of these texts on which all of their annotators agree.
        without_majority: number of texts on which two labels are equally frequent.
        alpha: Krippendorff's alpha for nominal data: 1 if all agree, 0 if they agree as often as
            by chance. Missing answers are allowed. In multi-label data a set counts as a label.
        ceiling: how often one annotator gives the label of the majority of the others, as a mean
            over texts: what accuracy a person reaches. A tie among the others counts as the share
            of its labels.
        people: each annotator against the majority of the others; empty if names are not known.
        pairs: pairs of annotators with two or more texts, those with most texts first.
        classes: the labels, in the order of the scheme.
        metric: the metric of the leaderboard that `ceiling` compares with.
    """

    column: str | None
    texts: int
    total: int
    annotators: int
    agreed: Score
    without_majority: int
    alpha: Score
    ceiling: Score
    people: tuple[AnnotatorAgreement, ...]
    pairs: tuple[PairAgreement, ...]
    classes: tuple[ClassAgreement, ...]
    metric: str = "accuracy"


def agreement(data: Dataset) -> Agreement:
    """Return how far the annotators of some data agree.

    Without a column of annotators, the labels of texts that occur several times are compared. They
    may be copies rather than second opinions, which nothing in the data can tell.

    Raises:
        DataError: the data were not read, or no text has two labels.
    """
    check_read("agreement", data)
    found = data.annotations or repeated_texts(data)
    if found is None or data.scheme is None:
        raise DataError(
            "no text was labeled twice, so there is nothing to compare: agreement needs a row for "
            "each text and annotator, and a column that names the annotator (or repeated texts)"
        )
    return agreement_of(found, data.scheme.names, data.scheme.multilabel)


def agreement_in(data: Dataset) -> Agreement | None:
    """Return the agreement of the annotators of some data; None if no text has two."""
    if data.annotations is None or data.scheme is None:
        return None
    return agreement_of(data.annotations, data.scheme.names, data.scheme.multilabel)


def agreement_of(found: Annotations, labels: Sequence[str], multilabel: bool) -> Agreement:
    """Return the agreement on texts that two or more annotators labeled; see `agreement`."""
    answers = [[given for _, given in of.answers] for of in found.texts]
    ties = [majorities(given, multilabel) for given in answers]
    by_person: dict[str, list[float]] = {}
    each: list[float] = []
    for of in found.texts:
        given = [own for _, own in of.answers]
        rights = []
        for at, (name, own) in enumerate(of.answers):
            most = majorities([*given[:at], *given[at + 1 :]], multilabel)
            rights.append((own in most) / len(most))
            by_person.setdefault(name, []).append(rights[-1])
        each.append(float(np.mean(rights)))
    names = found.names
    return Agreement(
        column=found.column,
        texts=len(found.texts),
        total=found.total,
        annotators=len(names),
        agreed=share_of([float(not of.differ) for of in found.texts]),
        without_majority=sum(len(most) > 1 for most in ties),
        alpha=krippendorff_alpha(answers),
        ceiling=share_of(each),
        people=tuple(AnnotatorAgreement(name, share_of(by_person[name])) for name in names),
        pairs=tuple(_pairs(found)),
        classes=tuple(_classes(answers, labels)),
        metric="subset_accuracy" if multilabel else "accuracy",
    )


def share_of(values: Sequence[float]) -> Score:
    """Return the mean of n values from 0 to 1, one for each text, with its 95% interval.

    Wilson's interval with the effective number of texts, which is larger than n if several answers
    make the value of a text less variable than a coin with that mean, and Student's t.

    Source: Franco, Little, Louis and Slud, Comparative study of confidence intervals for
    proportions in complex sample surveys, Journal of Survey Statistics and Methodology, 2019.
    """
    from scipy.special import stdtrit

    n = len(values)
    if n == 0:
        return Score(NAN, NAN, NAN, 0)
    mean = float(np.mean(values))
    if n == 1:
        return Score(mean, NAN, NAN, 1)
    variance = float(np.var(values, ddof=1)) / n
    effective = mean * (1 - mean) / variance if variance > 0 and 0 < mean < 1 else n
    low, high = score_interval(mean, effective, float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)))
    return Score(mean, min(mean, low), max(mean, high), n)


def krippendorff_alpha(answers: Sequence[Sequence[Labels]]) -> Score:
    """Return Krippendorff's alpha for nominal data; nan if all answers are the same label.

    Source: Krippendorff, Computing Krippendorff's alpha-reliability, 2011.

    Args:
        answers: for each text the labels of each annotator who labeled it; texts with fewer than
            two answers do not count.
    """
    paired = [given for given in answers if len(given) > 1]
    number: dict[Labels, int] = {}
    counts = np.zeros((len(paired), len({own for given in paired for own in given})))
    for row, given in enumerate(paired):
        for own in given:
            counts[row, number.setdefault(own, len(number))] += 1
    each = counts.sum(axis=1)
    equal = (counts * (counts - 1)).sum(axis=1) / np.maximum(each - 1, 1)
    totals, squares = counts.sum(axis=0), (counts**2).sum(axis=1)

    def alpha(of: Floats, agreeing: Floats, of_squares: Floats) -> Floats:
        """Return 1 - observed / expected disagreement, for sums over texts."""
        with np.errstate(divide="ignore", invalid="ignore"):
            observed = 1 - agreeing / of
            return np.asarray(1 - observed * of * (of - 1) / (of**2 - of_squares))

    n, agreeing, of_squares = each.sum(), equal.sum(), (totals**2).sum()
    value = float(alpha(n, agreeing, of_squares))
    without = alpha(n - each, agreeing - equal, of_squares - 2 * counts @ totals + squares)
    expected = float((n**2 - of_squares) / (n * (n - 1))) if n > 1 else 0.0
    return _score(value, without, expected)


def cohen_kappa(a: Integers, b: Integers) -> Score:
    """Return Cohen's kappa of two annotators with (n,) labels each; nan if both gave one label."""
    from sklearn.metrics import cohen_kappa_score

    n, k = len(a), int(max(a.max(), b.max())) + 1
    same, of_a, of_b = a == b, np.bincount(a, minlength=k), np.bincount(b, minlength=k)
    products, agreed = int(of_a @ of_b), int(same.sum())
    expected = products / n**2
    value = NAN if expected == 1 else float(cohen_kappa_score(a, b, labels=np.arange(k)))
    with np.errstate(divide="ignore", invalid="ignore"):
        chance = (products - of_b[a] - of_a[b] + same) / max(n - 1, 1) ** 2
        without = ((agreed - same) / max(n - 1, 1) - chance) / (1 - chance)
    return _score(value, without, 1 - expected)


def _score(value: float, without: Floats, expected: float) -> Score:
    """Return a coefficient with its jackknife interval; without disagreement, that of a share.

    `expected` is the disagreement by chance.
    """
    n = len(without)
    if n < 2 or not math.isfinite(value):
        return Score(value, NAN, NAN, n)
    estimate = of_units(value, without)
    if estimate.error > 0:
        low, high = estimate.interval()
        return Score(value, max(-1.0, low), min(1.0, high), n)
    agreed = 1 - (1 - value) * expected
    low = share_of([1.0] * n).low if agreed > 1 - 1e-9 else NAN
    return Score(value, 1 - (1 - low) / expected, value, n)


def _pairs(found: Annotations) -> Iterator[PairAgreement]:
    """Yield each pair of annotators with at least two texts in common, most texts first."""
    number: dict[Labels, int] = {}
    common: dict[tuple[str, str], list[tuple[int, int]]] = {}
    order = {name: at for at, name in enumerate(found.names)}
    for of in found.texts:
        coded = [(name, number.setdefault(own, len(number))) for name, own in of.answers if name]
        for one, other in combinations(sorted(coded, key=lambda pair: order[pair[0]]), 2):
            common.setdefault((one[0], other[0]), []).append((one[1], other[1]))
    ranked = sorted(common.items(), key=lambda pair: -len(pair[1]))
    for (a, b), both in ranked[:MOST_PAIRS]:
        if len(both) > 1:
            one, other = np.array(both, dtype=np.int64).T
            agreed = share_of([float(x == y) for x, y in both])
            yield PairAgreement(a, b, agreed, cohen_kappa(one, other))


def _classes(
    answers: Sequence[Sequence[Labels]], labels: Sequence[str]
) -> Iterator[ClassAgreement]:
    """Yield for each label the chance that a second annotator gives it where one gave it."""
    each = np.array([len(given) for given in answers], dtype=np.float64)
    column: Mapping[str, int] = {name: at for at, name in enumerate(labels)}
    given_by = np.zeros((len(answers), len(labels)))
    for row, given in enumerate(answers):
        for own in given:
            for name in own:
                given_by[row, column[name]] += 1
    for at, name in enumerate(labels):
        rows = given_by[:, at] > 0
        counts = given_by[rows, at]
        again = counts * (counts - 1) / (each[rows] - 1)
        n, total = int(rows.sum()), float(counts.sum())
        if n == 0:
            yield ClassAgreement(name, Score(NAN, NAN, NAN, 0))
            continue
        value = float(again.sum()) / total
        if value in (0.0, 1.0) or n < 2:
            score = share_of([value] * n)
        else:
            low, high = of_units(value, (again.sum() - again) / (total - counts)).interval()
            score = Score(value, max(0.0, low), min(1.0, high), n)
        yield ClassAgreement(name, score)
