"""The rows that `finetext monitor` compares, and what a model gave for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from finetext.core.arrays import Booleans, Floats, Integers
from finetext.core.decision import Decision
from finetext.core.types import LabelScheme
from finetext.data.units import one_of_each
from finetext.evaluation.drift import MOST_NEW
from finetext.models.reference import Reference

WITHOUT_LABELS: Final = "data.labelled = false"
"""Why no labels are known where the user says that there are none."""
_COPIES: Final = 0.01
"""Share of rows that repeat others, up to which it changes nothing how many rows are drawn."""


@dataclass(frozen=True, eq=False)
class NewRows:
    """New rows in their order, n of them.

    Attributes:
        probabilities: (n, k), of the model.
        truths: labels of the rows `labeled`, encoded; None without any.
        labeled: positions of the rows with labels, in the order of time.
        groups: n names, or None.
        drawn: positions of the rows that were drawn at random from all and are compared; None for
            all. Of the others only the labels count: who labels rows rarely draws them at random.
        total: number of all rows, n by default.
        label_columns: the columns that the labels are from.
        no_labels: why no labels are known, in words.
    """

    ids: Sequence[str]
    texts: Sequence[str]
    probabilities: Floats
    groups: Sequence[str] | None = None
    truths: Integers | None = None
    labeled: Integers = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    drawn: Integers | None = None
    total: int | None = None
    label_columns: tuple[str, ...] = ()
    no_labels: str = ""

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def units(self) -> Sequence[str]:
        """The group of each row, or without groups its text: rows of one unit count as one."""
        return self.texts if self.groups is None else self.groups

    @property
    def compared(self) -> Integers:
        """The positions of the rows that may be compared."""
        return np.arange(len(self)) if self.drawn is None else self.drawn

    @property
    def copies(self) -> int:
        """How many of these have the text of another one before."""
        rows = self.compared
        return len(rows) - len({self.texts[row] for row in rows})

    @property
    def blank(self) -> int:
        """How many of these have no text, of which only one is compared."""
        return sum(not self.texts[row].strip() for row in self.compared)


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


def rows_to_test(reference: Reference, new: NewRows, seed: int) -> tuple[Integers, Integers]:
    """Return the reference and the new rows that are compared: one of each text and of each group.

    The more rows are drawn, the rarer are their texts once copies are removed. So where they
    `repeat`, as many rows of both kinds are drawn before.
    """
    known: Integers = np.arange(len(reference))
    some = new.compared
    if repeat(reference, new):
        most = min(reference.rows, len(some), MOST_NEW)
        known = np.flatnonzero(reference.places < most)
        some = np.random.default_rng(seed).permutation(some)[:most]
    some = some[one_of_each([new.texts[row] for row in some], seed)]
    known = known[one_of_each([reference.units[row] for row in known], seed)]
    some = some[one_of_each([new.units[row] for row in some], seed)]
    return known, some[:MOST_NEW]


def repeat(reference: Reference, new: NewRows) -> bool:
    """Return whether more than 1% of the rows of either kind repeat the text or group of others."""
    known, rows = len(set(reference.units)), new.compared
    some = min(len({of[row] for row in rows}) for of in (new.units, new.texts))
    return min(known / reference.rows, some / len(rows)) < 1 - _COPIES
