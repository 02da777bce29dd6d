"""Whether a method is usable, and for which classes: what the verdict in plain words rests on.

A method is usable if the 95% interval of its lead in accuracy over always giving the most frequent
label leaves 0 out, and it is usable for a class if it finds more than half of its texts and more
than half of the texts given the class have it: the lower ends of both 95% intervals are above one
half. A class is weak if either share is below one half, measured on ten texts or more, or the whole
interval is below. The rest is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.decision import AS_LIKELY
from finetext.core.types import LabelScheme, Predictions, Score
from finetext.evaluation.deciding import has_label
from finetext.evaluation.estimates import Estimate
from finetext.evaluation.fold_scores import FoldPredictions
from finetext.evaluation.proportions import proportion_over
from finetext.storage.codec import Jsonable

HALF: Final = 0.5
"""The share of a class's texts, and of those given it, that a usable method is right on."""
FEWEST: Final = 10
"""Texts of a class from which a share below one half is called weak."""

Status = Literal["usable", "better than guessing", "not usable yet"]
ClassStatus = Literal["usable", "weak", "unknown"]


@dataclass(frozen=True)
class ClassVerdict(Jsonable):
    """How well a class is recognized.

    Attributes:
        found: share of its texts that are given it (recall); n is the number of its texts.
        correct: share of the texts given it that have it (precision); n is their number.
    """

    name: str
    found: Score
    correct: Score

    @property
    def is_weak_by_precision(self) -> bool:
        """Whether what is given the class is weak, but not what is found of it."""
        return _is_weak(self.correct) and not _is_weak(self.found)

    @property
    def status(self) -> ClassStatus:
        """Whether the method is usable for the class."""
        both = self.found, self.correct
        if all(of.n and of.low > HALF for of in both):
            return "usable"
        return "weak" if any(map(_is_weak, both)) else "unknown"


def status_of(lead: Estimate, classes: Sequence[ClassVerdict], scheme: LabelScheme) -> Status:
    """Return whether the method is usable by its lead; for two classes it must be for both.

    A positive class that was named is worth false alarms: to recognize it, which is to be right
    more often where it is given than it is frequent, is better than guessing, if not usable.
    """
    if lead.interval()[0] > 0:
        usable = [of.status == "usable" for of in classes]
        is_usable = all(usable) if scheme.is_binary else any(usable)
        return "usable" if is_usable else "better than guessing"
    if scheme.positive is not None:
        positive, other = classes[scheme.positive_column], classes[1 - scheme.positive_column]
        frequency = positive.found.n / max(1, positive.found.n + other.found.n)
        if positive.correct.n and positive.correct.low > frequency:
            return "better than guessing"
    return "not usable yet"


def most_frequent(of: Predictions, majority: Predictions | None) -> Integers:
    """Return (k,) of 0 and 1, the labels that are right most often without reading.

    They are those of the majority method, if there is one, else the most frequent of these rows;
    in multi-label data the most frequent set, as no label at all is often rarer.
    """
    if of.scheme.multilabel:
        if not len(of):
            return np.zeros(len(of.scheme), dtype=np.int64)
        sets, counts = np.unique(of.targets, axis=0, return_counts=True)
        return np.asarray(sets[counts.argmax()])
    given = np.bincount(of.targets, minlength=len(of.scheme)).astype(np.float64)
    if majority is not None and len(majority):
        given = majority.probabilities.mean(axis=0)
    return np.asarray(np.arange(len(of.scheme)) == given.argmax(), dtype=np.int64)


def constant(of: Predictions, always: Integers) -> Predictions:
    """Return predictions of the same rows that give them all the same labels, (k,) of 0 and 1."""
    same = np.tile(always.astype(np.float64), (len(of), 1))
    return replace(of, probabilities=same, decision=AS_LIKELY)


def over_constant(folds: Mapping[str, FoldPredictions], always: Integers) -> dict[str, Estimate]:
    """Return each method's lead over the same labels for all rows, by all folds of all repeats.

    It is that in accuracy, in multi-label data in subset accuracy.
    """
    found = {}
    for name, of in folds.items():
        metric = "subset_accuracy" if of.scheme.multilabel else "accuracy"
        repeats = (tuple(constant(fold, always) for fold in repeat) for repeat in of.repeats)
        found[name] = of.minus(FoldPredictions(tuple(repeats)), metric)
    return found


def decided_rows(
    whole: Predictions, folds: FoldPredictions | None
) -> tuple[tuple[Predictions, ...], Score | None]:
    """Return the rows that are decided, of each repeat, and their share; None if they are all."""
    every = (whole,) if folds is None else folds.given()
    kept = (whole.select(~whole.abstained),) if folds is None else folds.decided()
    if all(len(of) == len(all_of) for of, all_of in zip(kept, every, strict=True)):
        return every, None
    shares = [np.isin(all_of.ids, of.ids) for of, all_of in zip(kept, every, strict=True)]
    return kept, proportion_over(shares, [of.groups for of in every])


def class_verdict(repeats: Sequence[Predictions], column: int) -> ClassVerdict:
    """Return how well one class is recognized, as a mean over repeats of the same rows."""
    found, correct = list[tuple[Any, Any]](), list[tuple[Any, Any]]()
    for of in repeats:
        true, given = (has_label(labels, column) for labels in (of.targets, of.decisions))
        groups = None if of.groups is None else np.array(of.groups)
        for shares, right, among in ((found, given, true), (correct, true, given)):
            shares.append((right[among], None if groups is None else list(groups[among])))
    found_of, correct_of = (
        proportion_over([right for right, _ in shares], [groups for _, groups in shares])
        for shares in (found, correct)
    )
    return ClassVerdict(repeats[0].scheme.names[column], found_of, correct_of)


def _is_weak(share: Score) -> bool:
    return bool(share.n) and ((share.value < HALF and share.n >= FEWEST) or share.high < HALF)
