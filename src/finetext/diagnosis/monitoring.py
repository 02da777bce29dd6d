"""New rows against the held-out rows that a model keeps: drift, accuracy, and what changed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Booleans, Floats, Integers
from finetext.core.types import LabelScheme, Score
from finetext.core.wording import counted
from finetext.data.hashed_texts import Codes, bucket_of, hashed, words_of
from finetext.diagnosis.text_map import NO_LABEL
from finetext.diagnosis.watched_rows import Given, NewRows, repeat, rows_to_test
from finetext.evaluation.drift import (
    FEWEST,
    DriftTest,
    Renamings,
    confidence_drift,
    corrected,
    estimated_accuracy,
    label_drift,
    text_drift,
)
from finetext.evaluation.estimates import SIGNIFICANT, Estimate
from finetext.evaluation.proportions import proportion
from finetext.evaluation.sequential import TOLERANCE, WorseTest, worse_test
from finetext.models.reference import Reference
from finetext.storage.codec import Jsonable

UNLABELED: Final = f"({NO_LABEL})"
"""What stands in tables for no label, as a class may be called "no label"."""
STATES: Final = "states of the model"
HASHES: Final = "hashed words and characters"
_FOREIGN: Final = 10
_WORDS: Final = 15
_FEWEST_WITH_WORD: Final = 5
_BINS: Final = 10
_LONGEST: Final = 500


@dataclass(frozen=True)
class LabelChange:
    """A predicted label, None for no label: its share of the reference and of the new rows."""

    label: str | None
    before: Score
    now: Score

    @property
    def name(self) -> str:
        """The label, or that there is none, in words."""
        return UNLABELED if self.label is None else self.label


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
            one, and at most 2,000. Where some repeat, as many rows of both kinds are drawn before.
        copies: new rows whose text occurred before, of at most 10,000 that were drawn; `blank` are
            those of them without a text.
        features: what of the texts is compared.
        tests: of texts, labels and confidence; empty with fewer than 30 rows of either kind.
        cross_validated: whether the reference rows are, so that their labels and confidence are
            those of other models: only texts are tested then, and no accuracy is estimated.
        labels: predicted labels, largest change first.
        words: words that became more frequent (p below 5% over all words), most telling first, if
            drift of texts is shown.
        foreign: new texts that look most foreign, if drift of texts is shown.
        estimated: accuracy on the new rows without their labels; None if it cannot be told.
        worse: the sequential test; None without labels or with fewer than 30 reference rows.
        labeled: number of new rows with a label; `label_columns` are the columns of these, and
            `no_labels` says why there are none.
    """

    model: str
    data: str
    reference: str
    rows: int
    tested: int
    copies: int
    features: str
    tests: tuple[DriftTest, ...]
    cross_validated: bool
    labels: tuple[LabelChange, ...] = ()
    words: tuple[WordChange, ...] = ()
    foreign: tuple[ForeignText, ...] = ()
    confidence: Confidence | None = None
    estimated: Score | None = None
    worse: WorseTest | None = None
    labeled: int = 0
    multilabel: bool = False
    label_columns: tuple[str, ...] = ()
    no_labels: str = ""
    blank: int = 0

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
        states: (t, d) of the new `rows_to_test`; None compares hashed words and characters.
        seed: seed of the permutations and of the choice of rows.
        tolerance: drop of accuracy that is accepted.
    """
    of, (known, tested) = reference.predictions, rows_to_test(reference, new, seed)
    scheme, decision = of.scheme, of.decision
    before = Given.of(of.probabilities, scheme, decision)
    now = Given.of(_rounded(new.probabilities), scheme, decision)
    right = before.right(of.targets)
    if repeat(reference, new) and not _all_have_states(reference, known):
        states = None
    features = _features(reference, known, states, [new.texts[row] for row in tested])
    foreign, tests = np.zeros(0), tuple[DriftTest, ...]()
    if min(len(known), len(tested)) >= FEWEST:
        sides = None if reference.is_crossed else (before.select(known), now.select(tested))
        tests, foreign = _tests(features, sides, seed)
    sure, sure_now = known[before.answered[known]], tested[now.answered[tested]]
    estimated = None
    if min(len(sure), len(sure_now)) >= FEWEST and not reference.is_crossed:
        confidences = before.confidence[sure], now.confidence[sure_now]
        estimated = estimated_accuracy(confidences[0], right[sure], confidences[1])
    shown = any(test.what == "texts" and test.is_shown for test in tests)
    return Monitoring(
        *names,
        counted(len(of), f"{reference.part} row"),
        len(new) if new.total is None else new.total,
        len(tested),
        new.copies,
        features.kind,
        tests,
        reference.is_crossed,
        _label_changes(before.labels[known], now.labels[tested], scheme),
        _word_changes(reference, known, [new.texts[row] for row in tested]) if shown else (),
        _most_foreign(new, tested, foreign, now, scheme) if shown else (),
        _confidence(before.confidence[known], now.confidence[tested]),
        estimated,
        _worse(new, now, (before.answered, right), of.groups, tolerance),
        len(new.labeled),
        scheme.multilabel,
        new.label_columns,
        new.no_labels,
        new.blank,
    )


def _rounded(likely: Floats) -> Floats:
    """Return probabilities as those of reference rows are kept."""
    return likely.astype(np.float16).astype(np.float64)


def _all_have_states(reference: Reference, rows: Integers) -> bool:
    """Return whether the draws that are compared all have states, so that they are as many."""
    return reference.states is not None and bool((rows < len(reference.states.codes)).all())


@dataclass(frozen=True, eq=False)
class _Features:
    """What of the texts is compared: (m, d) of reference rows, and (t, d) of the tested rows."""

    kind: str
    before: Codes
    now: Codes


def _features(
    reference: Reference, known: Integers, states: Floats | None, texts: Sequence[str]
) -> _Features:
    """Return the states, or hashes where too few of the reference rows have some."""
    kept = reference.states
    if kept is not None and states is not None:
        own = known[known < len(kept.codes)]
        if len(own) >= FEWEST:
            return _Features(STATES, kept.codes[own], kept.rounded(states))
    return _Features(HASHES, reference.hashes[known], hashed(texts))


def _tests(
    features: _Features, given: tuple[Given, Given] | None, seed: int
) -> tuple[tuple[DriftTest, ...], Floats]:
    """Return the tests, and how foreign the new rows are; without what was given, of texts only."""
    m, n = len(features.before), len(features.now)
    rows = np.concatenate([features.before, features.now]).astype(float)
    area, p_value, foreign = text_drift(rows, Renamings.of(m, n, seed), seed)
    found = [("texts", area, p_value)]
    if given is not None:
        before, now = given
        names = Renamings.of(len(before.labels), n, seed + 1)
        labels = np.concatenate([before.labels, now.labels])
        sure = np.concatenate([before.confidence, now.confidence])
        found.append(("labels", *label_drift(labels, names)))
        found.append(("confidence", *confidence_drift(sure, names)))
    return corrected(found), foreign[m:]


def _label_changes(before: Integers, now: Integers, scheme: LabelScheme) -> tuple[LabelChange, ...]:
    found = [
        LabelChange(name, proportion(before[:, at] == 1), proportion(now[:, at] == 1))
        for at, name in enumerate((*scheme.names, None))
        if before[:, at].any() or now[:, at].any() or at < len(scheme)
    ]
    return tuple(sorted(found, key=lambda of: -abs(np.nan_to_num(of.now.value - of.before.value))))


def _word_changes(
    reference: Reference, known: Integers, texts: Sequence[str]
) -> tuple[WordChange, ...]:
    """Return words that more of the new texts have than had (Fisher), corrected for all words.

    Reference texts with another word of the bucket count as well, so that none is found for that.
    None are if other reference rows are tested than those whose words were counted.
    """
    from scipy.stats import hypergeom

    n, m = len(texts), len(set(reference.units))
    counts = Counter(word for text in texts for word in words_of(text))
    if not counts or m != len(known):
        return ()
    words, now = list(counts), np.array(list(counts.values()))
    places = bucket_of(words)
    before = reference.documents[places]
    often = now + before >= _FEWEST_WITH_WORD  # of both, which tells nothing of what is tested
    unseen = np.delete(reference.documents, places) >= _FEWEST_WITH_WORD
    p_values = np.where(often, hypergeom.sf(now - 1, n + m, now + before, n), 1.0)
    p_values *= often.sum() + unseen.sum()
    order = np.argsort(p_values, kind="stable")[:_WORDS]
    return tuple(
        WordChange(words[at], float(before[at] / m), float(now[at] / n))
        for at in order
        if p_values[at] < SIGNIFICANT
    )


def _most_foreign(
    new: NewRows, tested: Integers, away: Floats, given: Given, scheme: LabelScheme
) -> tuple[ForeignText, ...]:
    names = np.array([*scheme.names, UNLABELED], dtype=object)
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
