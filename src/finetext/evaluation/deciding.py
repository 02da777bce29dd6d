"""Decision rules, chosen on validation rows: aims, costs, abstention and prediction sets."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from finetext.core.arrays import Booleans, Floats, Integers
from finetext.core.decision import CrossFitted, Decision
from finetext.core.errors import DataError, RecipeError
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.out_of_scope import with_scope
from finetext.evaluation.targets import Threshold, for_share_found, for_share_right
from finetext.evaluation.thresholds import (
    best_threshold,
    choose_thresholds,
    hash_of_costs,
    read_costs,
    weights_for_macro_f1,
)

AIMS: Final = "f1, precision=SHARE or recall=SHARE"
ABSTAINING: Final = "accuracy=SHARE, coverage=SHARE or probability=SHARE"
FALSE_ALARMS: Final = 0.05
"""Share of texts in scope that may be refused as out of scope, unless another one is chosen."""
MOST_POINTS: Final = 100
_ROUNDING: Final = 1e-9
_EXTREMES: Final = (1e-300, 1 - 2**-53)  # thresholds divide


@dataclass(frozen=True)
class Deciding:
    """The aim of the decision rule; the section `[decide]` of a recipe.

    Attributes:
        aim: "f1" for a high F1 of every label, or of the positive class if one of two was named;
            "precision=0.95" gives a label only from the probability at which that share of the
            validation rows given it has it, and otherwise abstains (one label per row) or leaves
            it out (multi-label); "recall=0.9" gives each label, or with one label per row the
            positive class that was named, to that share of the rows that have it. By default the
            likeliest label is given, or "f1" in multi-label data. Where enough rows show it, new
            rows reach the share with a confidence of 90%: see `Decision.assured`.
        costs: CSV file with the cost of each mistake: labels in the first column (truth) and the
            first row (label given).
        abstain: which rows get no label: "accuracy=0.95" leaves out the least probable until that
            share of the others is right, "coverage=0.9" keeps that share of the rows,
            "probability=0.7" leaves out all less probable ones. None by default.
        coverage: share of rows whose prediction set is to contain the truth, such as 0.9, or
            "class=0.9" for that share of the rows of each label; no prediction sets by default.
        out_of_scope: share of texts of the classes that may be refused as belonging to none, such
            as 0.05, so that texts that do belong to none are recognized; None by default.
        content_hash: hash of the costs that an earlier run read, or None; another hash is
            reported.
    """

    aim: str | None = None
    costs: Path | None = None
    abstain: str | None = None
    coverage: float | str | None = None
    out_of_scope: float | None = None
    content_hash: str | None = None

    def __post_init__(self) -> None:
        self.aim_parts()
        self.abstain_parts()
        self.coverage_parts()
        if self.costs is not None and self.aim is not None:
            raise RecipeError("[decide]: give an aim or costs, not both")
        if self.out_of_scope is not None and not 0 < self.out_of_scope < 1:
            raise RecipeError(
                f"[decide]: out_of_scope = {self.out_of_scope} must be a share between 0 and 1"
            )

    def aim_parts(self) -> tuple[str, float] | None:
        """Name and share of the aim; the share of "f1" is 0."""
        return ("f1", 0.0) if self.aim == "f1" else _parts("aim", self.aim, AIMS)

    def abstain_parts(self) -> tuple[str, float] | None:
        """Name and share of the rule to abstain by."""
        return _parts("abstain", self.abstain, ABSTAINING)

    def coverage_parts(self) -> tuple[bool, float] | None:
        """Whether the coverage is that of each label, and its share."""
        if self.coverage is None:
            return None
        name, _, number = f"{self.coverage}".rpartition("=")
        try:
            share = float(number)
        except ValueError:
            share = -1.0
        if name not in ("", "class") or not 0 < share < 1:
            raise RecipeError(
                f"[decide]: coverage = {self.coverage!r} must be a share between 0 and 1, or "
                "class=SHARE for that share of each label"
            )
        return name == "class", share

    @property
    def is_chosen_on_rows(self) -> bool:
        """Whether the rule depends on validation rows and was asked for."""
        return self.aim == "f1" or self.has_target

    @property
    def has_target(self) -> bool:
        """Whether the rule is to reach a share on new rows, so that it has an assurance."""
        rule, _ = self.abstain_parts() or ("probability", 0.0)
        stated = self.coverage is not None or self.out_of_scope is not None
        return self.aim not in (None, "f1") or stated or rule != "probability"

    def check(self, scheme: LabelScheme) -> None:
        """Raise a `RecipeError` if the section does not fit the labels."""
        aim, _ = self.aim_parts() or ("", 0.0)
        if scheme.multilabel and (self.costs is not None or self.abstain is not None):
            raise RecipeError("[decide]: costs and abstain need one label per row")
        if scheme.multilabel and self.out_of_scope is not None:
            raise RecipeError(
                "[decide]: out_of_scope needs one label per row; a row with several labels can "
                "have none of them: recall=SHARE chooses how many are given"
            )
        if not scheme.multilabel and aim == "recall" and scheme.positive is None:
            raise RecipeError(
                "[decide]: recall=SHARE needs rows with several labels; with one label per row, "
                "use f1, precision=SHARE or costs"
                + (", or name the positive class with --positive" if scheme.is_binary else "")
            )
        if aim == "precision" and self.abstain is not None:
            raise RecipeError("[decide]: precision=SHARE already abstains; leave abstain out")
        if self.costs is not None:
            read_costs(self.costs, scheme)

    def with_hash(self, scheme: LabelScheme) -> Deciding:
        """Return the same with the current hash of the costs; raises as `check` does."""
        now = None if self.costs is None else hash_of_costs(self.costs, scheme)
        return replace(self, content_hash=now)

    @property
    def words(self) -> str:
        """The section in one line."""
        by_class, share = self.coverage_parts() or (False, 0.0)
        named = {
            "aim": self.aim,
            "costs": self.costs and self.costs.name,
            "abstain": self.abstain,
            "coverage": f"{share:g}{' of each label' if by_class else ''}" if share else None,
            "false alarms": None if self.out_of_scope is None else f"{self.out_of_scope:g}",
        }
        return ", ".join(f"{name} {of}" for name, of in named.items() if of)


def _parts(name: str, given: str | None, allowed: str) -> tuple[str, float] | None:
    """Name and share of `NAME=SHARE`."""
    if given is None:
        return None
    known = [part.strip().removesuffix("=SHARE") for part in re.split(",|or ", allowed)]
    rule, _, number = given.partition("=")
    try:
        share = float(number)
    except ValueError:
        share = -1.0
    if rule not in known or not 0 < share < 1:
        raise RecipeError(
            f"[decide]: {name} = {given!r} must be {allowed}, with a share between 0 and 1"
        )
    return rule, share


def choose_decision(validation: Predictions, wanted: Deciding) -> Decision:
    """Return the decision rule for an aim; raises a RecipeError if that does not fit the labels."""
    scheme = validation.scheme
    wanted.check(scheme)
    words = wanted.words
    if scheme.positive is not None and wanted.aim is not None and "precision" not in wanted.aim:
        words = words.replace(wanted.aim, f"{wanted.aim} of {scheme.positive}", 1)
    chosen = Decision(temperature=validation.decision.temperature, aim=words)
    if not len(validation):
        return chosen
    chosen, thresholds = _with_aim(chosen, validation, wanted)
    if (abstain := wanted.abstain_parts()) is not None:
        threshold, is_target = _least(replace(validation, decision=chosen), *abstain)
        chosen = replace(chosen, least=(threshold.value,) * len(scheme))
        thresholds += [threshold] * is_target
    if (coverage := wanted.coverage_parts()) is not None:
        by_class, share = coverage
        limit = set_from_by_label(validation, share) if by_class else set_from(validation, share)
        chosen = replace(chosen, set_from=limit, coverage=share)
    if (allowed := wanted.out_of_scope) is not None:
        chosen = with_scope(chosen, validation, allowed)
    if not thresholds:
        return chosen
    short = [of.needed for of in thresholds if not of.assured]
    known = [times for times in short if times is not None]
    needed = _rounded_up(max(known) * len(validation)) if known else None
    return replace(
        chosen, assured=tuple(of.assured for of in thresholds),
        rows_needed=needed if len(known) == len(short) else None,
    )  # fmt: skip


def decided_by(predictions: Predictions, wanted: Deciding) -> Predictions:
    """Return predictions with the rule that is chosen on them.

    Each row of out-of-fold predictions is decided by a rule that was chosen on the other folds.
    """
    chosen, rule = choose_decision(predictions, wanted), predictions.decision
    if isinstance(rule, CrossFitted):
        fold = np.array(rule.fold)
        others = (predictions.select(fold != number) for number in range(len(rule.rules)))
        chosen = CrossFitted.of(chosen, [choose_decision(of, wanted) for of in others], rule.fold)
    return replace(predictions, decision=chosen)


def _rounded_up(rows: float) -> int:
    """The number in two digits."""
    unit = 10.0 ** max(0, math.floor(math.log10(rows)) - 1)
    return round(math.ceil(rows / unit) * unit)


def _with_aim(
    chosen: Decision, validation: Predictions, wanted: Deciding
) -> tuple[Decision, list[Threshold]]:
    """The decision with thresholds or costs, and the thresholds that have a target."""
    likely, targets, scheme = validation.probabilities, validation.targets, validation.scheme
    name, share = wanted.aim_parts() or ("f1" if scheme.multilabel else "", 0.0)
    if wanted.costs is not None:
        return replace(chosen, costs=read_costs(wanted.costs, scheme)), []
    if scheme.positive is not None and name in ("f1", "recall"):
        return _of_positive(chosen, validation, name, share)
    if name in ("precision", "recall"):
        found = [_of_label(validation, column, name, share) for column in range(len(scheme))]
        values = tuple(of.value for of in found)
        if scheme.multilabel:
            return replace(chosen, thresholds=values), found
        return replace(chosen, least=values), found
    if name == "f1" and scheme.multilabel:
        return replace(chosen, thresholds=choose_thresholds(likely, targets)), []
    if name == "f1":
        return replace(chosen, thresholds=weights_for_macro_f1(likely, targets)), []
    return chosen, []


def _of_label(validation: Predictions, column: int, name: str, share: float) -> Threshold:
    """The threshold of one label; that of precision is over the rows where it is the likeliest."""
    scores, truth = validation.probabilities[:, column], has_label(validation.targets, column)
    if name == "recall":
        return for_share_found(scores[truth], share, _groups(validation, truth))
    rows = np.ones(len(scores), dtype=np.bool_)
    if not validation.scheme.multilabel:
        rows = validation.probabilities.argmax(axis=1) == column
    return for_share_right(scores[rows], truth[rows], share, _groups(validation, rows))


def _groups(predictions: Predictions, rows: Booleans) -> list[str] | None:
    """The groups of some rows."""
    groups = predictions.groups
    return None if groups is None else [groups[row] for row in np.flatnonzero(rows)]


def _of_positive(
    chosen: Decision, validation: Predictions, name: str, share: float
) -> tuple[Decision, list[Threshold]]:
    """The decision by which the positive class of two is given from one probability."""
    column = validation.scheme.positive_column
    scores, truth = validation.probabilities[:, column], validation.targets == column
    if not truth.any():
        unknown = [Threshold(0.5, False)] if name == "recall" else []
        return replace(chosen, thresholds=(0.5, 0.5)), unknown
    lowest, found = best_threshold(scores, truth), list[Threshold]()
    if name == "recall":
        found = [for_share_found(scores[truth], share, _groups(validation, truth))]
        lowest = found[0].value
    # Between two scores: at a threshold that is itself a score, the first label would win the tie.
    limit = (scores[scores >= lowest].min() + scores[scores < lowest].max(initial=0.0)) / 2
    limit = float(np.clip(limit, *_EXTREMES))
    limits = (1 - limit, limit) if column else (limit, 1 - limit)
    return replace(chosen, thresholds=limits), found


def _least(predictions: Predictions, rule: str, share: float) -> tuple[Threshold, bool]:
    """The probability below which to abstain, and whether it has a target.

    It is above 1 if the accuracy cannot be reached.
    """
    if rule == "probability":
        return Threshold(share, True), False
    given = predictions.decisions
    sure = predictions.probabilities[np.arange(len(given)), given]
    if rule == "accuracy":
        right = given == predictions.targets
        return for_share_right(sure, right, share, predictions.groups), True
    return for_share_found(sure, share, predictions.groups), True


def set_from(predictions: Predictions, coverage: float) -> float:
    """Return the probability from which a label belongs to the prediction set of a row.

    Of new, exchangeable rows at least the share `coverage` has all of its true labels in the set
    (Sadinle, Lei and Wasserman, Least ambiguous set-valued classifiers with bounded error levels,
    JASA 2019), if the model was not chosen by the given rows; validation rows nearly qualify.
    """
    if not len(predictions):
        raise DataError("prediction sets need validation rows, and there are none")
    truth = least_of_truth(predictions)
    allowed = math.floor((1 - coverage) * (len(truth) + 1) + _ROUNDING)
    return float(np.partition(truth, allowed - 1)[allowed - 1]) if allowed else 0.0


def set_from_by_label(predictions: Predictions, coverage: float) -> tuple[float, ...]:
    """Return the probability of each label from which it belongs to the prediction set of a row.

    Of new, exchangeable rows of each label at least the share `coverage` has it in the set
    (label-conditional conformal prediction: Vovk, Conditional validity of inductive conformal
    predictors, ACML 2012). A label with fewer rows than that takes is in every set.
    """
    if not len(predictions):
        raise DataError("prediction sets need validation rows, and there are none")
    limits = []
    for column, scores in enumerate(predictions.probabilities.T):
        truth = np.sort(scores[has_label(predictions.targets, column)])
        allowed = math.floor((1 - coverage) * (len(truth) + 1) + _ROUNDING)
        limits.append(float(truth[allowed - 1]) if allowed else 0.0)
    return tuple(limits)


def has_label(labels: Integers, column: int) -> Booleans:
    """Return which rows, (n,), have a label: of (n,) columns, or of (n, k) of 0 and 1."""
    return np.asarray(labels == column if labels.ndim == 1 else labels[:, column] == 1)


def least_of_truth(predictions: Predictions) -> Floats:
    """Return the lowest probability of a true label of each row, (n,); 1 where it has none."""
    likely, targets = predictions.probabilities, predictions.targets
    if predictions.scheme.multilabel:
        return np.asarray(np.where(targets == 1, likely, 1.0).min(axis=1))
    return np.asarray(likely[np.arange(len(likely)), targets])


def covered(predictions: Predictions) -> Booleans:
    """Return which rows, (n,), have all of their true labels in the prediction set."""
    sets = predictions.decision.sets(predictions.probabilities)
    if sets is None:
        raise DataError("the model makes no prediction sets; choose a coverage first")
    targets = predictions.targets
    if predictions.scheme.multilabel:
        return np.asarray((sets | (targets == 0)).all(axis=1))
    return np.asarray(sets[np.arange(len(targets)), targets])


@dataclass(frozen=True)
class Selective:
    """Accuracy over coverage, the share of rows that are decided.

    Attributes:
        points: at most 100 of coverage, accuracy, and the lowest probability of the label given,
            in falling order of coverage.
        coverage: share of rows that the model decides; 1 if it never abstains.
        accuracy: on these; nan if it decides none.
    """

    points: tuple[tuple[float, float, float], ...]
    coverage: float
    accuracy: float


def selective(predictions: Predictions) -> Selective:
    """Return how accuracy rises as the least probable decisions are left out."""
    if predictions.scheme.multilabel or not len(predictions):
        raise DataError("abstention needs rows with one label each")
    given, rows = predictions.decisions, np.arange(len(predictions))
    sure = predictions.probabilities[rows, given]
    order = np.argsort(-sure, kind="stable")
    right = np.cumsum((given == predictions.targets)[order])
    ends = np.flatnonzero(np.append(np.diff(sure[order]) != 0, True))
    shown = ends[np.unique(np.linspace(0, len(ends) - 1, MOST_POINTS).round().astype(int))]
    points = [
        (float((i + 1) / len(rows)), float(right[i] / (i + 1)), float(sure[order[i]]))
        for i in shown[::-1]
    ]
    kept = ~predictions.abstained
    accuracy = float((given == predictions.targets)[kept].mean()) if kept.any() else float("nan")
    return Selective(tuple(points), float(kept.mean()), accuracy)
