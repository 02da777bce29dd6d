"""Cross-validated runs: on few rows, methods are scored by repeated cross-validation on all rows.

A test split of a few dozen rows tells little: 15% of 150 rows give an interval twice as wide as
cross-validation on all of them. So no test rows are held out, and each method is fitted again for
every fold, by the whole pipeline. What chooses C or a checkpoint comes from the rows outside the
fold; temperature and decision rule of a fold are chosen on the predictions of the other folds. The
final model learns from all rows, or all but those that choose its checkpoint, and has temperature
and rule from the predictions of all folds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from finetext.core import wording
from finetext.core.arrays import Integers
from finetext.core.contracts import (
    Method,
)
from finetext.core.decision import AS_LIKELY, CrossFitted, Decision
from finetext.core.errors import DataError
from finetext.core.settings import DEFAULT_SHARE, LARGEST_SEED, SplitSettings
from finetext.core.shared_texts import SharedTexts
from finetext.core.types import Dataset, Finding, Predictions
from finetext.core.wording import counted
from finetext.data.near_duplicates import near_duplicates
from finetext.data.split import fold_rows, without_class
from finetext.evaluation.calibration import joined, with_temperature

FOLDS: Final = 5
REPEATS: Final = 10
REPEATS_IN_STEPS: Final = 2
"""Repeats for methods that train step by step."""
AUTOMATIC: Final = True
"""Whether runs on few rows are cross-validated unless told otherwise."""
MOST_ROWS: Final = 1_000
MOST_ROWS_WITH_RARE: Final = 5_000
"""Rows up to which a class with too few test rows asks for cross-validation."""
FEWEST_TEST_ROWS: Final = 10
"""Test rows that each class needs."""


def wants_folds(dataset: Dataset, settings: SplitSettings, adapts: bool) -> bool:
    """Return whether a run is cross-validated: as the settings say, or by the rule for few rows.

    By the rule it is if there is no ready-made split and no size of train or test is given, and
    there are at most 1,000 rows, or at most 5,000 and the rarest class would have fewer than 10
    test rows. A run that adapts an encoder would have to adapt one for every fold; it does not.
    """
    if settings.cross_validate is not None:
        return settings.cross_validate
    is_divided = "split" in dataset.table.column_names
    has_size = settings.train is not None or settings.test is not None
    if not AUTOMATIC or is_divided or has_size or adapts or dataset.scheme is None:
        return False
    if len(dataset) <= MOST_ROWS:
        return True
    rarest = min(_class_sizes(dataset, dataset.ids).values())
    return len(dataset) <= MOST_ROWS_WITH_RARE and rarest * DEFAULT_SHARE < FEWEST_TEST_ROWS


@dataclass(frozen=True, eq=False)
class FoldPlan:
    """The folds of a cross-validated run, the same for all methods.

    Attributes:
        dataset: all rows, in the order of the data.
        settings: strategy, groups, and the share of validation rows outside each fold.
        seed: that of the first repeat; each has the next.
        held: (repeats, folds) positions of the rows that are held out.
        clusters: (n,) the cluster of near-duplicates of each row; None to keep them apart.
        shared: all texts, for methods that keep what they compute of them.
        findings: why there are fewer folds than usual.
        share: rows to learn from outside each fold, for a learning curve; None for all.
    """

    dataset: Dataset
    settings: SplitSettings
    seed: int
    held: tuple[tuple[Integers, ...], ...]
    clusters: Integers | None
    shared: SharedTexts
    findings: tuple[Finding, ...] = ()
    share: int | None = None

    @classmethod
    def of(cls, dataset: Dataset, settings: SplitSettings, seed: int) -> FoldPlan:
        """Return the folds of a data set; raises a DataError if there cannot be two."""
        if "split" in dataset.table.column_names:
            dataset = replace(dataset, table=dataset.table.remove_columns("split"))
        if isinstance(settings.validation, int):
            settings = replace(settings, validation=settings.validation / len(dataset))
        settings = replace(settings, cross_validate=True)
        clusters = None if settings.keep_duplicates else near_duplicates(dataset.texts)
        most, reason, rarest = _most_folds(dataset, settings)
        advice = "collect more rows"
        if rarest is not None and dataset.scheme is not None:  # a test split needs even more
            advice = without_class(rarest, dataset.scheme.multilabel)
        for count in range(most, 1, -1):
            try:
                held = [
                    tuple(
                        fold_rows(dataset, count, seed_of_repeat(seed, repeat), settings, clusters)
                    )
                    for repeat in range(REPEATS)
                ]
            except DataError:  # groups that are too uneven leave a fold empty
                reason = "the groups are too uneven"
                continue
            findings = _few_folds(count, reason, advice) if count < FOLDS else ()
            shared = SharedTexts(tuple(dataset.texts))
            return cls(dataset, settings, seed, tuple(held), clusters, shared, findings)
        raise DataError(f"{reason}, so there are no two folds for cross-validation; {advice}")

    @property
    def count(self) -> int:
        """Number of folds in each repeat."""
        return len(self.held[0])

    def repeats(self, method: Method) -> int:
        """Return how often a method is cross-validated: once if each text is paid for."""
        if method.pays_per_text:
            return min(len(self.held), 1)
        return min(len(self.held), REPEATS_IN_STEPS if method.trains_in_steps else REPEATS)

    def words(self, automatic: bool) -> str:
        """Return in one line how the run is scored, and why."""
        begin = (
            f"{counted(len(self.dataset), 'row')}: scored by {self.count}-fold cross-validation, "
            f"{len(self.held)} times"
        )
        if not automatic:
            return begin
        test = counted(round(DEFAULT_SHARE * len(self.dataset)), "row")
        return (
            f"{begin}, as a test split of {test} would say little; --no-cross-validate for a test "
            "split"
        )

    def fits(self, methods: Mapping[str, Method]) -> str:
        """Return in one line how many fits that takes."""
        planned = {name: self.repeats(of) * self.count for name, of in methods.items()}
        each = ", ".join(f"{name} {number}" for name, number in planned.items())
        return f"fits: {each}, and one of each for the final models"

    def final(self, methods: Mapping[str, Method], validation: int, refits: Sequence[str]) -> str:
        """Return in one line how many rows the final models learn from.

        `refits` are the methods that are fitted again on all rows.
        """
        rows = len(self.dataset)
        some = [name for name, of in methods.items() if of.needs_validation and name not in refits]
        every = [name for name in methods if name not in some]
        parts = [f"{', '.join(every)} from all {counted(rows, 'row')}"] if every else []
        if some:
            left = f"from {rows - validation:,}, and {validation:,} choose the checkpoint"
            parts.append(f"{', '.join(some)} {left}")
        return f"the final models learn: {'; '.join(parts)}"


def out_of_fold(folds: Sequence[Predictions]) -> Predictions:
    """Return the predictions of the folds of one repeat, without calibration and decision rule."""
    raw = (with_temperature(fold, 1 / fold.decision.temperature) for fold in folds)
    return joined([replace(fold, decision=AS_LIKELY) for fold in raw])


def cross_fitted(folds: Sequence[Predictions], plan: FoldPlan, decision: Decision) -> Predictions:
    """Return the predictions of the folds of one repeat, in the order of the data.

    Each row has the temperature and the rule of its fold, which were chosen without it; `decision`
    is the rule of the final model.
    """
    order = np.argsort(np.concatenate(plan.held[0]))
    fold = np.repeat(np.arange(len(folds)), [len(of) for of in folds])
    rule = CrossFitted.of(decision, [of.decision for of in folds], fold)
    return replace(joined(folds), decision=rule).select(order)


def seed_of_repeat(first: int, repeat: int) -> int:
    """Return the seed of a repeat, of which the first has that of the run."""
    return (first + repeat) % (LARGEST_SEED + 1)


def _class_sizes(dataset: Dataset, units: Sequence[str]) -> dict[str, int]:
    """Return class to the number of units, rows or groups, that have it."""
    by_class: dict[str, set[str]] = {}
    for label, unit in zip(dataset.labels, units, strict=True):
        for one in [label] if isinstance(label, str) else label:
            by_class.setdefault(one, set()).add(unit)
    return {label: len(of) for label, of in by_class.items()}


def _most_folds(dataset: Dataset, settings: SplitSettings) -> tuple[int, str, str | None]:
    """Return the number of folds that classes and groups allow, why, and the class that limits."""
    groups = None if settings.grouped is False else dataset.groups
    units, noun = (dataset.ids, "row") if groups is None else (groups, "group")
    limits: dict[str | None, int] = {None: len(set(units))}
    if settings.strategy == "stratified":
        limits.update(_class_sizes(dataset, units))
    rarest = min(limits, key=lambda name: limits[name])
    fewest = "there are" if rarest is None else f"the class {rarest!r} has"
    return min(FOLDS, limits[rarest]), f"{fewest} {counted(limits[rarest], noun)}", rarest


def _few_folds(count: int, reason: str, advice: str) -> tuple[Finding, ...]:
    message = (
        f"{reason}, so cross-validation has {count} folds instead of {FOLDS}: the scores are those "
        f"of a model of {1 - 1 / count:.0%} of the rows, and intervals are wider, however many "
        f"rows there are. So {advice}; likewise with others of fewer than {FOLDS}."
    )
    return (Finding("warning", "few-folds", wording.capitalize_first(message)),)
