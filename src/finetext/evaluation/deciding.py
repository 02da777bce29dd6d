"""Choosing how probabilities become labels, on validation rows."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from finetext.core.decision import Decision
from finetext.core.errors import RecipeError
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.selective import set_from
from finetext.evaluation.thresholds import (
    choose_thresholds,
    for_precision,
    for_recall,
    hash_of_costs,
    least_for_precision,
    read_costs,
    weights_for_macro_f1,
)

AIMS: Final = "f1, precision=SHARE or recall=SHARE"
ABSTAINING: Final = "accuracy=SHARE, coverage=SHARE or probability=SHARE"


@dataclass(frozen=True)
class Deciding:
    """What the rule of decision is to achieve; the section `[decide]` of a recipe.

    Attributes:
        aim: "f1" for a high F1 of every label; "precision=0.95" gives a label only from the
            probability at which so large a share of the validation rows given it has it, and
            otherwise abstains (rows of one label) or leaves it out (several); "recall=0.9" (several
            labels only) gives each label to so large a share of the rows that have it. By default
            the likeliest label is given, or "f1" where a row can have several.
        costs: CSV file of what each mistake costs: labels in the first column (truth) and the
            first row (label given).
        abstain: for which rows to give no label: "accuracy=0.95" leaves out the least probable
            until so large a share of the others is right, "coverage=0.9" keeps so large a share
            of the rows, "probability=0.7" leaves out all less probable ones. None by default.
        coverage: share of rows whose prediction set shall have the truth, such as 0.9; no
            prediction sets by default.
        content_hash: hash of the costs that a former run read, or None; another content is
            reported.
    """

    aim: str | None = None
    costs: Path | None = None
    abstain: str | None = None
    coverage: float | None = None
    content_hash: str | None = None

    def __post_init__(self) -> None:
        self.aim_parts()
        self.abstain_parts()
        if self.coverage is not None and not 0 < self.coverage < 1:
            raise RecipeError(f"[decide]: coverage = {self.coverage} must lie between 0 and 1")
        if self.costs is not None and self.aim is not None:
            raise RecipeError("[decide]: give an aim or costs, not both")

    def aim_parts(self) -> tuple[str, float] | None:
        """Name and share of the aim; the share of "f1" is 0."""
        return ("f1", 0.0) if self.aim == "f1" else _parts("aim", self.aim, AIMS)

    def abstain_parts(self) -> tuple[str, float] | None:
        """Name and share of when to abstain."""
        return _parts("abstain", self.abstain, ABSTAINING)

    def check(self, scheme: LabelScheme) -> None:
        """Raise a `RecipeError` if it does not suit the labels."""
        aim = self.aim_parts()
        if scheme.multilabel and (self.costs is not None or self.abstain is not None):
            raise RecipeError("[decide]: costs and abstain are for rows of one label")
        if not scheme.multilabel and aim is not None and aim[0] == "recall":
            raise RecipeError(
                "[decide]: recall=SHARE is for rows with several labels; with one label a row, "
                "use f1, precision=SHARE or costs"
            )
        if aim is not None and aim[0] == "precision" and self.abstain is not None:
            raise RecipeError("[decide]: precision=SHARE abstains already; leave abstain out")
        if self.costs is not None:
            read_costs(self.costs, scheme)

    def with_hash(self, scheme: LabelScheme) -> Deciding:
        """The same with the hash of the costs as they are now; raises as `check` does."""
        now = None if self.costs is None else hash_of_costs(self.costs, scheme)
        return replace(self, content_hash=now)

    @property
    def words(self) -> str:
        """In one line, for people and files."""
        named = {"aim": self.aim, "costs": self.costs and self.costs.name, "abstain": self.abstain}
        named["coverage"] = None if self.coverage is None else f"{self.coverage:g}"
        return ", ".join(f"{name} {of}" for name, of in named.items() if of)


def choose_decision(validation: Predictions, wanted: Deciding) -> Decision:
    """A rule of decision for an aim, from labelled rows that were not trained on.

    Args:
        validation: predictions of these rows; of their decision only the temperature is kept.
        wanted: what it is to achieve.

    Raises:
        RecipeError: that does not suit the labels.
    """
    scheme = validation.scheme
    wanted.check(scheme)
    chosen = Decision(temperature=validation.decision.temperature, aim=wanted.words)
    if not len(validation):
        return chosen
    chosen = _with_aim(chosen, validation, wanted)
    if (abstain := wanted.abstain_parts()) is not None:
        limit = _ABSTAINING[abstain[0]](replace(validation, decision=chosen), abstain[1])
        chosen = replace(chosen, least=(limit,) * len(scheme))
    if wanted.coverage is not None:
        limit = set_from(validation, wanted.coverage)
        chosen = replace(chosen, set_from=limit, coverage=wanted.coverage)
    return chosen


def _with_aim(chosen: Decision, validation: Predictions, wanted: Deciding) -> Decision:
    """The decision with thresholds or costs."""
    likely, targets, scheme = validation.probabilities, validation.targets, validation.scheme
    name, share = wanted.aim_parts() or ("f1" if scheme.multilabel else "", 0.0)
    if wanted.costs is not None:
        return replace(chosen, costs=read_costs(wanted.costs, scheme))
    if scheme.multilabel:
        several: dict[str, Callable[[], tuple[float, ...]]] = {
            "f1": lambda: choose_thresholds(likely, targets),
            "precision": lambda: for_precision(likely, targets, share),
            "recall": lambda: for_recall(likely, targets, share),
        }
        return replace(chosen, thresholds=several[name]())
    if name == "f1":
        return replace(chosen, thresholds=weights_for_macro_f1(likely, targets))
    if name == "precision":
        return replace(chosen, least=least_for_precision(likely, targets, share))
    return chosen


def _for_accuracy(predictions: Predictions, share: float) -> float:
    """The least probability above which so large a share is right; above 1 if there is none."""
    given = predictions.decisions
    sure = predictions.probabilities[np.arange(len(given)), given]
    order = np.argsort(-sure, kind="stable")
    accuracy = np.cumsum((given == predictions.targets)[order]) / np.arange(1, len(order) + 1)
    ends = np.append(np.diff(sure[order]) != 0, True)
    good = np.flatnonzero(ends & (accuracy >= share))
    return float(sure[order[good[-1]]]) if len(good) else float(np.nextafter(1, 2))


def _for_coverage(predictions: Predictions, share: float) -> float:
    """The least probability of the so large a share of rows that is most certain."""
    given = predictions.decisions
    sure = np.sort(predictions.probabilities[np.arange(len(given)), given])[::-1]
    return float(sure[max(0, round(share * len(sure)) - 1)])


_ABSTAINING: Final[dict[str, Callable[[Predictions, float], float]]] = {
    "accuracy": _for_accuracy,
    "coverage": _for_coverage,
    "probability": lambda predictions, share: share,
}


def _parts(setting: str, given: str | None, allowed: str) -> tuple[str, float] | None:
    """Name and share of `NAME=SHARE`."""
    if given is None:
        return None
    known = [part.strip().removesuffix("=SHARE") for part in re.split(",|or ", allowed)]
    name, _, number = given.partition("=")
    try:
        share = float(number)
    except ValueError:
        share = -1.0
    if name not in known or not 0 < share < 1:
        raise RecipeError(
            f"[decide]: {setting} = {given!r} must be {allowed}, with a share between 0 and 1"
        )
    return name, share
