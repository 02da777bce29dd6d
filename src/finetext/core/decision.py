"""The decision rule: chosen on validation rows, stored in the model, obeyed everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final, Self

import numpy as np

from finetext.core.arrays import Booleans, Floats, Integers


@dataclass(frozen=True)
class Decision:
    """The rule that turns (n, k) probabilities into labels; the likeliest label by default.

    Attributes:
        temperature: the divisor of the logits (Guo et al., On calibration of modern neural
            networks, 2017). The probabilities are calibrated already.
        thresholds: k positive numbers. Multi-label: the probability from which each label is
            given, 0.5 by default. Single-label: the label with the highest ratio of probability
            to threshold is given.
        costs: (k, k) cost of giving the label of the column to a row with the label of the row;
            the label with the least expected cost is given. Single-label, without thresholds.
        least: k probabilities below which the classifier abstains. Single-label.
        set_from: probability from which a label belongs to the prediction set of a row; k of
            them if each label has its own.
        coverage: share of rows whose prediction set contains the true label, or all true labels,
            which conformal prediction guarantees for rows like those of validation; with k values
            in `set_from`, of the rows of each label.
        aim: how the rule was chosen, in words.
        assured: for each target, such as a precision for each label, whether new rows reach it with
            a confidence of 90%; None without targets, or where that was not tested.
        rows_needed: about how many validation rows would show that all targets are reached; None
            if unknown.
        in_scope_up_to: highest `uncertainty` of a text of the classes; one that is less certain
            belongs to none and gets no label. Single-label.
        false_alarms: share of texts of the classes that conformal prediction allows to be refused
            that way.
    """

    temperature: float = 1.0
    thresholds: tuple[float, ...] | None = None
    costs: tuple[tuple[float, ...], ...] | None = None
    least: tuple[float, ...] | None = None
    set_from: float | tuple[float, ...] | None = None
    coverage: float | None = None
    aim: str = ""
    assured: tuple[bool, ...] | None = None
    rows_needed: int | None = None
    in_scope_up_to: float | None = None
    false_alarms: float | None = None

    def labels(self, probabilities: Floats, multilabel: bool) -> Integers:
        """Return (n,) columns of labels, or (n, k) of 0 and 1, as if it never abstained."""
        limits = None if self.thresholds is None else np.array(self.thresholds)
        if multilabel:
            return (probabilities >= (0.5 if limits is None else limits)).astype(np.int64)
        if self.costs is not None:
            merit = -(probabilities @ np.array(self.costs))
        else:
            merit = probabilities if limits is None else probabilities / limits
        return np.asarray(merit.argmax(axis=1), dtype=np.int64)

    def threshold_of(self, column: int) -> float:
        """Return the probability from which one of two classes is given; nan if it never changes.

        Whether the classifier abstains does not matter.
        """
        other = 1 - column
        if self.costs is not None:
            missed = self.costs[column][other] - self.costs[column][column]
            wrong = self.costs[other][column] - self.costs[other][other]
        else:
            wrong, missed = (1.0, 1.0) if self.thresholds is None else (
                self.thresholds[column], self.thresholds[other]
            )  # fmt: skip
        return wrong / (wrong + missed) if wrong + missed else math.nan

    @property
    def can_abstain(self) -> bool:
        """Whether there may be rows without a label, of single-label data."""
        return self.least is not None or self.in_scope_up_to is not None

    @property
    def refuses_nothing(self) -> bool:
        """Whether it was to refuse texts out of scope, and too few rows chose it to do so."""
        return self.false_alarms is not None and self.in_scope_up_to is None

    def abstains(self, probabilities: Floats) -> Booleans:
        """Return (n,) which rows get no label, those out of scope among them."""
        refused = self.out_of_scope(probabilities)
        if self.least is None:
            return refused
        given = self.labels(probabilities, multilabel=False)
        likely = probabilities[np.arange(len(given)), given]
        return np.asarray(refused | (likely < np.array(self.least)[given]))

    def out_of_scope(self, probabilities: Floats) -> Booleans:
        """Return (n,) which rows belong to no class; none without a rule for that."""
        if self.in_scope_up_to is None:
            return np.zeros(len(probabilities), dtype=np.bool_)
        return np.asarray(uncertainty(probabilities) > self.in_scope_up_to)

    def sets(self, probabilities: Floats) -> Booleans | None:
        """Return (n, k) which labels are in each prediction set; None without coverage."""
        limit = self.set_from
        return None if limit is None else np.asarray(probabilities >= np.array(limit))

    @property
    def shipped(self) -> Decision:
        """The rule that the model has."""
        return Decision(**{of.name: getattr(self, of.name) for of in fields(Decision)})

    def select(self, rows: Any) -> Decision:
        """Return the rule for some of the rows: the same for all."""
        return self

    def in_order(self, order: Sequence[int]) -> Self:
        """Return the rule for the columns in another order."""
        limits = self.set_from
        return replace(
            self,
            thresholds=self.thresholds and tuple(self.thresholds[i] for i in order),
            costs=self.costs and tuple(tuple(self.costs[i][j] for j in order) for i in order),
            least=self.least and tuple(self.least[i] for i in order),
            set_from=tuple(limits[i] for i in order) if isinstance(limits, tuple) else limits,
        )

    @property
    def assurance(self) -> str:
        """Whether new rows reach the targets, in words; empty without targets."""
        if not self.assured:
            return ""
        if all(self.assured):
            each = ", for each label" if len(self.assured) > 1 else ""
            return f"assured: new rows like these reach the target with 90% confidence{each}"
        aimed = "aimed at, not assured"
        if any(self.assured):
            aimed = f"assured for {sum(self.assured)} of {len(self.assured)} labels, else {aimed}"
        if self.rows_needed is None:
            return f"{aimed}: more rows like these would hardly show it"
        return f"{aimed}: it takes about {self.rows_needed:,} held-out rows to show it"

    def check(self, labels: int) -> None:
        """Raise a `ValueError` if the rule is not for this number of labels."""
        limits = self.set_from if isinstance(self.set_from, tuple) else None
        for part in (self.thresholds, self.least, limits, self.costs, *(self.costs or ())):
            if part is not None and len(part) != labels:
                raise ValueError(f"its decision rule has {len(part)} values for {labels} labels")

    def to_json(self) -> dict[str, Any]:
        """Return what is not at its default as JSON values, of the rule that the model has."""
        values, default = asdict(self), asdict(Decision())
        return {name: values[name] for name in default if values[name] != default[name]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Decision:
        """Return a rule from JSON values, without unknown keys; raise a `ValueError` if wrong."""
        from pydantic import TypeAdapter

        return TypeAdapter(cls).validate_python(dict(values))


@dataclass(frozen=True)
class CrossFitted(Decision):
    """The rule of a model, and for n out-of-fold rows rules that were chosen without them.

    It decides these n rows only, each by the rule of its fold, so that a rule is not judged on the
    rows that it was chosen on. Everything else that it says is of the rule that the model has.

    Attributes:
        rules: the rule for the rows of each fold, chosen on the other folds.
        fold: (n,) the fold of each row, from 0.
    """

    rules: tuple[Decision, ...] = ()
    fold: tuple[int, ...] = ()

    @classmethod
    def of(cls, rule: Decision, rules: Sequence[Decision], fold: Iterable[int]) -> CrossFitted:
        """Return the rule of a model with those of its folds."""
        known = {of.name: getattr(rule, of.name) for of in fields(Decision)}
        return cls(**known, rules=tuple(rules), fold=tuple(map(int, fold)))

    def labels(self, probabilities: Floats, multilabel: bool) -> Integers:
        """See `Decision.labels`."""
        given = self._by_fold(probabilities, lambda rule, of: rule.labels(of, multilabel))
        return np.asarray(given, dtype=np.int64)

    def abstains(self, probabilities: Floats) -> Booleans:
        """See `Decision.abstains`."""
        mute = self._by_fold(probabilities, lambda rule, of: rule.abstains(of))
        return np.asarray(mute, dtype=np.bool_)

    def out_of_scope(self, probabilities: Floats) -> Booleans:
        """See `Decision.out_of_scope`."""
        refused = self._by_fold(probabilities, lambda rule, of: rule.out_of_scope(of))
        return np.asarray(refused, dtype=np.bool_)

    def sets(self, probabilities: Floats) -> Booleans | None:
        """See `Decision.sets`."""
        if self.set_from is None:
            return None
        return np.asarray(self._by_fold(probabilities, lambda rule, of: rule.sets(of)))

    def select(self, rows: Any) -> CrossFitted:
        """Return the rules of some of the rows."""
        return replace(self, fold=tuple(np.array(self.fold, dtype=np.int64)[rows].tolist()))

    def in_order(self, order: Sequence[int]) -> CrossFitted:
        """See `Decision.in_order`."""
        return replace(
            super().in_order(order), rules=tuple(of.in_order(order) for of in self.rules)
        )

    def _by_fold(self, probabilities: Floats, decide: Callable[[Decision, Floats], Any]) -> Any:
        if len(probabilities) != len(self.fold):
            raise ValueError(f"rules for {len(self.fold)} rows cannot decide {len(probabilities)}")
        found, fold = decide(self.rules[0], probabilities), np.array(self.fold, dtype=np.int64)
        for number, rule in enumerate(self.rules):
            found[fold == number] = decide(rule, probabilities[fold == number])
        return found


def decision_in(described: Mapping[str, Any]) -> Decision:
    """Return the decision rule in a file; format 1 has `thresholds` only."""
    if "decision" in described:
        return Decision.from_json(described["decision"])
    return Decision.from_json({"thresholds": described["thresholds"]})


def uncertainty(probabilities: Floats) -> Floats:
    """Return how widely (n, k) probabilities of single-label rows are spread over labels, (n,).

    It is the sum of sqrt(p (1 - p)), from 0 for a certain label to sqrt(k - 1) for equal ones: the
    generalized entropy of Liu, Lochman and Zach (GEN: Pushing the limits of softmax-based
    out-of-distribution detection, CVPR 2023) with an exponent of one half.
    """
    of_label = np.maximum(probabilities * (1 - probabilities), 0.0)  # never below it by rounding
    return np.asarray(np.sqrt(of_label).sum(axis=1))


AS_LIKELY: Final = Decision()
"""The likeliest label; multi-label: each label from a probability of 0.5."""
