"""Cross-validated runs: on few rows, methods are scored by repeated cross-validation on all rows.

A test split of a few dozen rows tells little: 15% of 150 rows give an interval twice as wide as
cross-validation on all of them. So no test rows are held out, and each method is fitted again for
every fold, by the whole pipeline. What chooses C or a checkpoint comes from the rows outside the
fold; temperature and decision rule of a fold are chosen on the predictions of the other folds. The
final model learns from all rows, or all but those that choose its checkpoint, and has temperature
and rule from the predictions of all folds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.core import wording
from finetext.core.arrays import Floats, Integers
from finetext.core.contracts import (
    FitContext,
    Method,
    ProgressEvent,
    SharedTexts,
    hyperparameters,
    predict,
)
from finetext.core.decision import AS_LIKELY, CrossFitted, Decision
from finetext.core.errors import DataError, FinetextError, RunError
from finetext.core.settings import DEFAULT_SHARE, LARGEST_SEED, SplitSettings
from finetext.core.types import Dataset, Finding, LabelScheme, Predictions
from finetext.core.wording import counted
from finetext.data.near_duplicates import near_duplicates
from finetext.data.split import fold_rows, with_validation, without_class
from finetext.diagnosis.curve import NestedShares
from finetext.evaluation.calibration import cross_calibrated, joined, with_temperature
from finetext.evaluation.deciding import Deciding
from finetext.evaluation.fold_scores import FoldPredictions
from finetext.runs.predictions import write_table
from finetext.storage.codec import from_json, to_json
from finetext.training.plan import ADDED_LATER

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
_RULES: Final = "cross-fitted"
"""How the decision rules of folds are chosen; folds of earlier versions are fitted again."""


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
        findings: why there are fewer folds than usual.
        share: rows to learn from outside each fold, for a learning curve; None for all.
    """

    dataset: Dataset
    settings: SplitSettings
    seed: int
    held: tuple[tuple[Integers, ...], ...]
    clusters: Integers | None
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
                    tuple(fold_rows(dataset, count, _seed(seed, repeat), settings, clusters))
                    for repeat in range(REPEATS)
                ]
            except DataError:  # groups that are too uneven leave a fold empty
                reason = "the groups are too uneven"
                continue
            findings = _few_folds(count, reason, advice) if count < FOLDS else ()
            return cls(dataset, settings, seed, tuple(held), clusters, findings)
        raise DataError(f"{reason}, so there are no two folds for cross-validation; {advice}")

    @property
    def count(self) -> int:
        """Number of folds in each repeat."""
        return len(self.held[0])

    @cached_property
    def shared(self) -> SharedTexts:
        """All texts, for methods that keep what they compute of them."""
        return SharedTexts(tuple(self.dataset.texts))

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


def cross_validate(
    name: str, method: Method, plan: FoldPlan, folder: Path, context: FitContext, decide: Deciding
) -> tuple[FoldPredictions, tuple[Finding, ...]]:
    """Return predictions of every row by models that did not see it, and what training noticed.

    Each repeat is written into a folder when it is finished, and read from there the next time.
    """
    found, findings = list[tuple[Predictions, ...]](), dict[Finding, None]()
    for repeat in range(plan.repeats(method)):
        path = folder / f"repeat-{repeat + 1}.parquet"
        described = _described(method, plan, repeat)
        known = read_folds(path, described, plan, repeat)
        if known is None:
            known = fit_repeat(name, method, plan, repeat, context, decide)
            write_folds(path, *known, described)
        found.append(known[0])
        findings |= dict.fromkeys(known[1])
    return FoldPredictions(tuple(found)), tuple(findings)


def read_repeats(
    method: Method, plan: FoldPlan, folder: Path, repeats: int | None = None
) -> FoldPredictions | None:
    """Return what `cross_validate` wrote into a folder; None if not all of it is there.

    `repeats` says how many there are to be; by default as many as it makes.
    """
    found = []
    for repeat in range(plan.repeats(method) if repeats is None else repeats):
        path = folder / f"repeat-{repeat + 1}.parquet"
        if (known := read_folds(path, _described(method, plan, repeat), plan, repeat)) is None:
            return None
        found.append(known[0])
    return FoldPredictions(tuple(found))


def write_repeats(
    method: Method, plan: FoldPlan, folder: Path, repeats: Sequence[Sequence[Predictions]]
) -> None:
    """Write the predictions of each repeat as `cross_validate` does."""
    for repeat, folds in enumerate(repeats):
        path = folder / f"repeat-{repeat + 1}.parquet"
        write_folds(path, folds, (), _described(method, plan, repeat))


def _described(method: Method, plan: FoldPlan, repeat: int) -> dict[str, Any]:
    """Return what the predictions of a repeat depend on, beside the data and the recipe."""
    settings = {  # folds of earlier versions lack some
        name: str(of)
        for name, of in hyperparameters(method).items()
        if of not in ADDED_LATER.get(name, ())
    }
    return {
        "method": method.name, "hyperparameters": settings, "seed": _seed(plan.seed, repeat),
        "rows": plan.dataset.content_hash, "rules": _RULES,
    }  # fmt: skip


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


def write_folds(
    path: Path,
    folds: Sequence[Predictions],
    findings: Sequence[Finding],
    described: dict[str, Any],
) -> None:
    """Write the predictions of one repeat into a Parquet file, whole or not at all."""
    scheme = folds[0].scheme
    columns: dict[str, Any] = {
        "id": [row for fold in folds for row in fold.ids],
        "fold": [number for number, fold in enumerate(folds, start=1) for _ in fold.ids],
        "truth": [label for fold in folds for label in scheme.decode(fold.targets)],
        "prediction": [label for fold in folds for label in scheme.decode(fold.decisions)],
    }
    likely = np.concatenate([fold.probabilities for fold in folds])
    columns |= {f"probability:{of}": likely[:, at] for at, of in enumerate(scheme.names)}
    decisions = [fold.decision.to_json() for fold in folds]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, columns, {
            **scheme.to_json(), **described, "decisions": decisions,
            "findings": to_json(list(findings)),
        })  # fmt: skip
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error}") from None


def read_folds(
    path: Path, described: dict[str, Any], plan: FoldPlan, repeat: int
) -> tuple[tuple[Predictions, ...], tuple[Finding, ...]] | None:
    """Return what `write_folds` wrote; None if it is missing, damaged, or of other settings."""
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
        known = json.loads(table.schema.metadata[b"finetext"])
        if {name: known[name] for name in described} != json.loads(json.dumps(described)):
            return None
        held = [plan.dataset.select(rows) for rows in plan.held[repeat]]
        if table["id"].to_pylist() != [row for part in held for row in part.ids]:
            return None
        names = LabelScheme.from_json(known).names
        likely = np.stack([table[f"probability:{of}"].to_numpy() for of in names], axis=1)
        ends = np.cumsum([len(part) for part in held])[:-1]
        folds = [
            _predictions(part, probabilities, Decision.from_json(decision))
            for part, probabilities, decision in zip(
                held, np.split(likely, ends), known["decisions"], strict=True
            )
        ]
        findings = from_json(tuple[Finding, ...], known["findings"], str(path))
    except (OSError, ValueError, KeyError, TypeError, FinetextError, pyarrow.ArrowException):
        return None
    return tuple(folds), findings


def fit_repeat(
    name: str,
    method: Method,
    plan: FoldPlan,
    repeat: int,
    context: FitContext,
    decide: Deciding,
) -> tuple[tuple[Predictions, ...], tuple[Finding, ...]]:
    """Fit and predict every fold of a repeat; return predictions, and what training noticed."""
    found, findings, is_scaled = list[Predictions](), list[Finding](), True
    before, total = repeat * plan.count, plan.repeats(method) * plan.count
    if plan.share is not None:
        before, total = 0, plan.count
    for number, held in enumerate(plan.held[repeat % len(plan.held)]):
        stage = f"{name}: fold {before + number + 1} of {total}"
        context.progress(ProgressEvent(stage, before + number, total))

        def listen(event: ProgressEvent, stage: str = stage) -> None:
            if method.trains_in_steps:
                context.progress(replace(event, stage=f"{stage}, {event.stage}"))

        left = context.deadline and context.deadline.part(total - before - number + 1)
        of_fold = FitContext(
            seed=_seed(plan.seed, repeat), device=context.device, metric=context.metric,
            cache=context.cache, progress=listen, find=findings.append,
            shared=context.shared or plan.shared, deadline=left,
        )  # fmt: skip
        fitted = method.fit(*_rows_outside(method, plan, held, of_fold.seed), of_fold)
        is_scaled = is_scaled and fitted.with_temperature(2.0) is not fitted
        found.append(predict(fitted, plan.dataset.select(held)))
    if method.learns:
        raw = [replace(fold, decision=AS_LIKELY) for fold in found]
        found = list(cross_calibrated(raw, decide, is_scaled))
    return tuple(found), tuple(dict.fromkeys(findings))


def _rows_outside(
    method: Method, plan: FoldPlan, held: Integers, seed: int
) -> tuple[Dataset, Dataset]:
    """Return the rows outside a fold to learn from, and those to choose a checkpoint by."""
    outside = np.setdiff1d(np.arange(len(plan.dataset)), held)
    if plan.share is not None:
        outside = outside[NestedShares.of(plan.dataset.select(outside), seed).rows(plan.share)]
    seen = plan.dataset.select(outside)
    if not method.needs_validation:
        return seen, seen.select([])
    clusters = None if plan.clusters is None else plan.clusters[outside]
    return with_validation(seen, plan.settings, seed, clusters)


def _predictions(part: Dataset, probabilities: Floats, decision: Decision) -> Predictions:
    assert part.scheme is not None
    groups = None if part.groups is None else tuple(part.groups)
    return Predictions(tuple(part.ids), part.targets, probabilities, part.scheme, decision, groups)


def _seed(first: int, repeat: int) -> int:
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
