"""New rows against the held-out rows that a model keeps: drift, accuracy, and what changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Booleans, Floats, Integers
from finetext.core.decision import Decision
from finetext.core.types import LabelScheme, Score
from finetext.core.wording import counted
from finetext.data.hashed_texts import bucket_of, hashed, words_of
from finetext.data.units import one_of_each
from finetext.evaluation.accuracy_estimate import estimated_accuracy
from finetext.evaluation.drift import (
    FEWEST,
    MOST_NEW,
    DriftTest,
    Renamings,
    confidence_drift,
    corrected,
    label_drift,
    rows_to_show,
    text_drift,
)
from finetext.evaluation.estimates import SIGNIFICANT, Estimate
from finetext.evaluation.proportions import proportion
from finetext.evaluation.sequential import TOLERANCE, WorseTest, worse_test
from finetext.models.reference import Reference
from finetext.storage.codec import Jsonable

NO_LABEL: Final = "no label"
STATES: Final = "states of the model"
HASHES: Final = "hashed words and characters"
_FOREIGN: Final = 10
_WORDS: Final = 15
_FEWEST_WITH_WORD: Final = 5
_BINS: Final = 10
_CHANGE: Final = 0.1
"""Change of a share for which the rows are said that would show it."""
_LONGEST: Final = 500


@dataclass(frozen=True)
class LabelChange:
    """A predicted label: its share of the reference rows, and that of the new rows."""

    label: str
    before: Score
    now: Score


@dataclass(frozen=True)
class WordChange:
    """A word that more new texts have: shares of reference texts (at most) and of new texts."""

    word: str
    before: float
    now: float


@dataclass(frozen=True)
class ForeignText:
    """A new text that looks least like the reference rows; `away` in standard deviations."""

    id: str
    text: str
    prediction: str
    away: float


@dataclass(frozen=True)
class Confidence:
    """Confidence of predictions: means, and shares of rows in ten bins of equal width."""

    before: Score
    now: Score
    bins_before: tuple[float, ...]
    bins_now: tuple[float, ...]


@dataclass(frozen=True)
class Monitoring(Jsonable):
    """What `monitor` found.

    Attributes:
        model: the model as it was named; `data` likewise.
        reference: the rows compared with, in words, such as "450 test rows".
        rows: number of new rows; `tested` of them are compared: of each text, or of each group,
            one, and at most 2,000.
        copies: new rows whose text occurred before.
        features: what of the texts is compared.
        tests: of texts, labels and confidence; empty with fewer than 30 rows of either kind.
        rows_needed: rows that show a change of 10 points in the share of half of the texts; None
            if the reference rows are too few for any number.
        labels: predicted labels, largest change first.
        words: words that became more frequent (p below 5% over all words), most telling first.
        foreign: new texts that look most foreign, if drift of texts is shown.
        estimated: accuracy on the new rows without their labels; None if it cannot be told.
        worse: the sequential test; None without labels or with fewer than 30 reference rows.
        labeled: number of new rows with a label.
    """

    model: str
    data: str
    reference: str
    rows: int
    tested: int
    copies: int
    features: str
    tests: tuple[DriftTest, ...]
    rows_needed: int | None
    labels: tuple[LabelChange, ...] = ()
    words: tuple[WordChange, ...] = ()
    foreign: tuple[ForeignText, ...] = ()
    confidence: Confidence | None = None
    estimated: Score | None = None
    worse: WorseTest | None = None
    labeled: int = 0
    multilabel: bool = False

    @property
    def drifted(self) -> tuple[str, ...]:
        """What drifted: "texts", "labels", "confidence"."""
        return tuple(test.what for test in self.tests if test.is_shown)

    @property
    def is_worse(self) -> bool:
        """Whether labels show that the model is right less often than before."""
        return self.worse is not None and self.worse.is_shown

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, with the verdict."""
        verdict = {"drifted": list(self.drifted), "is_worse": self.is_worse}
        if not self.tests:
            verdict["drifted"] = None
        return super().to_json() | verdict


@dataclass(frozen=True, eq=False)
class NewRows:
    """New rows in their order, n of them.

    Attributes:
        probabilities: (n, k), of the model.
        truths: labels of the rows `labeled`, encoded; None without any.
        labeled: positions of the rows with labels, in the order of time.
        groups: n names, or None.
    """

    ids: Sequence[str]
    texts: Sequence[str]
    probabilities: Floats
    groups: Sequence[str] | None = None
    truths: Integers | None = None
    labeled: Integers = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def units(self) -> Sequence[str]:
        """The group of each row, or without groups its text: rows of one unit count as one."""
        return self.texts if self.groups is None else self.groups


@dataclass(frozen=True, eq=False)
class Given:
    """What a model gave for n rows.

    Attributes:
        labels: (n, k + 1) of 0 and 1; the last column is of rows without a label.
        confidence: (n,) probability of the label given; of several labels that all are right.
        answered: (n,) whether it does not abstain.
    """

    labels: Integers
    confidence: Floats
    answered: Booleans

    @classmethod
    def of(cls, likely: Floats, scheme: LabelScheme, decision: Decision) -> Given:
        """Return what the decision rule of a model makes of (n, k) probabilities."""
        given = decision.labels(likely, scheme.multilabel)
        if scheme.multilabel:
            sure = np.where(given == 1, likely, 1 - likely).prod(axis=1)
            none = given.sum(axis=1) == 0
            labels, answered = given, np.ones(len(likely), dtype=bool)
        else:
            sure = likely[np.arange(len(likely)), given]
            none = decision.abstains(likely)
            labels = np.eye(len(scheme), dtype=np.int64)[given] * ~none[:, None]
            answered = ~none
        return cls(np.column_stack([labels, none.astype(np.int64)]), sure, answered)

    def select(self, rows: Integers) -> Given:
        """Return what was given for some rows."""
        return Given(self.labels[rows], self.confidence[rows], self.answered[rows])

    def right(self, targets: Integers) -> Booleans:
        """Return (n,) whether the label given is the true one, or all of several are."""
        found = self.labels[:, :-1]
        if targets.ndim == 2:
            return np.asarray((found == targets).all(axis=1))
        return np.asarray(found[np.arange(len(found)), targets] == 1)


def rows_to_test(new: NewRows, seed: int) -> Integers:
    """Return the new rows that are compared: one of each text or group, at most 2,000."""
    return one_of_each(new.units, seed)[:MOST_NEW]


def compare(
    names: tuple[str, str],
    reference: Reference,
    new: NewRows,
    states: Floats | None,
    seed: int = 0,
    tolerance: float = TOLERANCE,
) -> Monitoring:
    """Compare new rows with those that a model keeps.

    Args:
        names: of the model and of the data.
        reference: with the scheme and decision rule of the model.
        new: the rows.
        states: (t, d) of the `rows_to_test`; None compares hashed words and characters.
        seed: seed of the permutations and of the choice of rows.
        tolerance: drop of accuracy that is accepted.
    """
    of, tested = reference.predictions, rows_to_test(new, seed)
    known = np.arange(len(of)) if of.groups is None else one_of_each(of.groups, seed)
    scheme, decision = of.scheme, of.decision
    before = Given.of(of.probabilities, scheme, decision)
    now = Given.of(_rounded(new.probabilities), scheme, decision)
    right = before.right(of.targets)
    foreign, tests = np.zeros(0), tuple[DriftTest, ...]()
    if min(len(known), len(tested)) >= FEWEST:
        tests, foreign = _tests(reference, known, states, new, tested, (before, now), seed)
    sure, sure_now = known[before.answered[known]], tested[now.answered[tested]]
    estimated = None
    if min(len(sure), len(sure_now)) >= FEWEST:
        confidences = before.confidence[sure], now.confidence[sure_now]
        estimated = estimated_accuracy(confidences[0], right[sure], confidences[1])
    shown = any(test.what == "texts" and test.is_shown for test in tests)
    return Monitoring(
        *names,
        counted(len(of), f"{reference.part} row"),
        len(new),
        len(tested),
        len(new) - len(set(new.texts)),
        HASHES if states is None else STATES,
        tests,
        rows_to_show(_CHANGE, 0.5, len(known)),
        _label_changes(before.labels[known], now.labels[tested], scheme),
        _word_changes(reference, [new.texts[row] for row in tested]) if tests else (),
        _most_foreign(new, tested, foreign, now, scheme) if shown else (),
        _confidence(before.confidence[known], now.confidence[tested]),
        estimated,
        _worse(new, now, (before.answered, right), of.groups, tolerance),
        len(new.labeled),
        scheme.multilabel,
    )


def _rounded(likely: Floats) -> Floats:
    """Return probabilities as those of reference rows are kept."""
    return likely.astype(np.float16).astype(np.float64)


def _tests(
    reference: Reference,
    known: Integers,
    states: Floats | None,
    new: NewRows,
    tested: Integers,
    given: tuple[Given, Given],
    seed: int,
) -> tuple[tuple[DriftTest, ...], Floats]:
    """Return the tests, and how foreign the tested rows are."""
    if states is not None and reference.states is not None:
        with_states = known[known < len(reference.states.codes)]
        features = reference.states.codes[with_states], reference.states.rounded(states)
    else:
        with_states = known
        features = reference.hashes[known], hashed([new.texts[row] for row in tested])
    of_texts = Renamings.of(len(with_states), len(tested), seed)
    area, p_value, foreign = text_drift(np.concatenate(features).astype(float), of_texts, seed)
    names = Renamings.of(len(known), len(tested), seed + 1)
    labels, sure = (
        np.concatenate(
            [getattr(of, what)[rows] for of, rows in zip(given, (known, tested), strict=True)]
        )
        for what in ("labels", "confidence")
    )
    found = (
        ("texts", area, p_value),
        ("labels", *label_drift(labels, names)),
        ("confidence", *confidence_drift(sure, names)),
    )
    return corrected(found), foreign[len(with_states) :]


def _label_changes(before: Integers, now: Integers, scheme: LabelScheme) -> tuple[LabelChange, ...]:
    found = [
        LabelChange(name, proportion(before[:, at] == 1), proportion(now[:, at] == 1))
        for at, name in enumerate((*scheme.names, NO_LABEL))
        if before[:, at].any() or now[:, at].any() or at < len(scheme)
    ]
    return tuple(sorted(found, key=lambda of: -abs(np.nan_to_num(of.now.value - of.before.value))))


def _word_changes(reference: Reference, texts: Sequence[str]) -> tuple[WordChange, ...]:
    """Return words that more of the new texts have than had, corrected for all words (Bonferroni).

    Reference texts with another word of the bucket count as well, so that none is found for that.
    """
    from scipy.special import ndtri

    n, m = len(texts), len(reference)
    counts = dict[str, int]()
    for text in texts:
        for word in words_of(text):
            counts[word] = counts.get(word, 0) + 1
    words = [word for word, count in counts.items() if count >= _FEWEST_WITH_WORD]
    if not words:
        return ()
    now = np.array([counts[word] for word in words])
    before = reference.documents[bucket_of(words)]
    pooled = (now + before) / (n + m)
    error = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-12) * (1 / n + 1 / m))
    away = (now / n - before / m) / error
    least = float(ndtri(1 - SIGNIFICANT / len(words)))
    order = [at for at in np.argsort(-away, kind="stable")[:_WORDS] if away[at] > least]
    return tuple(
        WordChange(words[at], min(1.0, float(before[at] / m)), float(now[at] / n)) for at in order
    )


def _most_foreign(
    new: NewRows, tested: Integers, away: Floats, given: Given, scheme: LabelScheme
) -> tuple[ForeignText, ...]:
    names = np.array([*scheme.names, NO_LABEL], dtype=object)
    order = np.argsort(-away, kind="stable")[:_FOREIGN]
    return tuple(
        ForeignText(
            str(new.ids[row]),
            new.texts[row][:_LONGEST],
            ", ".join(names[given.labels[row] == 1]),
            float(of),
        )
        for row, of in zip(tested[order], away[order], strict=True)
    )


def _confidence(before: Floats, now: Floats) -> Confidence | None:
    if not len(before) or not len(now):
        return None
    bins = [
        tuple((np.histogram(of, _BINS, (0.0, 1.0))[0] / len(of)).tolist()) for of in (before, now)
    ]
    return Confidence(_mean(before), _mean(now), *bins)


def _mean(values: Floats) -> Score:
    """Return the mean of (n,) values with its 95% interval; nan for that of one."""
    n = len(values)
    error = float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    mean = float(values.mean())
    return Score(mean, *Estimate(mean, error, n - 1.0, n).interval(), n)


def _worse(
    new: NewRows,
    given: Given,
    before: tuple[Booleans, Booleans],
    groups: Sequence[str] | None,
    tolerance: float,
) -> WorseTest | None:
    """Return the sequential test on the rows with labels that get one, in their order."""
    if new.truths is None:
        return None
    answered = given.answered[new.labeled]
    rows = new.labeled[answered]
    right = given.select(rows).right(new.truths[answered])
    kept = np.flatnonzero(before[0])
    known = None if groups is None else [groups[int(at)] for at in kept]
    return worse_test(before[1][kept], right, known, [new.units[row] for row in rows], tolerance)
