"""Fit methods in the folds of a cross-validated run: one after the other, or several at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.contracts import FitContext, Listener, Method, ProgressEvent, predict
from finetext.core.decision import AS_LIKELY
from finetext.core.types import Dataset, Finding, Predictions
from finetext.data.split import with_validation
from finetext.diagnosis.curve import NestedShares
from finetext.evaluation.calibration import cross_calibrated
from finetext.evaluation.deciding import Deciding
from finetext.evaluation.fold_scores import FoldPredictions
from finetext.runs.cross_validation import FoldPlan, seed_of_repeat
from finetext.runs.jobs import Jobs, heard_by
from finetext.runs.stored_folds import described_repeat, path_of_repeat, read_folds, write_folds

Repeat = tuple[tuple[Predictions, ...], tuple[Finding, ...]]
"""The predictions of each fold, and what training noticed."""


@dataclass(frozen=True, eq=False)
class Validating:
    """A method that is cross-validated: `name` is its own in the run.

    Each finished repeat is in a folder, and is read from there the next time.
    """

    name: str
    method: Method
    plan: FoldPlan
    folder: Path
    context: FitContext
    decide: Deciding

    @property
    def repeats(self) -> range:
        """The numbers of its repeats."""
        return range(self.plan.repeats(self.method))

    def finished(self, repeat: int) -> Repeat | None:
        """Return a repeat that was finished before; None if it is to be fitted."""
        described = described_repeat(self.method, self.plan, repeat)
        return read_folds(path_of_repeat(self.folder, repeat), described, self.plan, repeat)

    def keep(self, repeat: int, found: Repeat) -> None:
        """Write a finished repeat."""
        described = described_repeat(self.method, self.plan, repeat)
        write_folds(path_of_repeat(self.folder, repeat), *found, described)


def cross_validate(of: Validating) -> tuple[FoldPredictions, tuple[Finding, ...]]:
    """Return predictions of every row by models that did not see it, and what training noticed."""
    found, findings = list[tuple[Predictions, ...]](), dict[Finding, None]()
    for repeat in of.repeats:
        known = of.finished(repeat)
        if known is None:
            known = fit_repeat(of.name, of.method, of.plan, repeat, of.context, of.decide)
            of.keep(repeat, known)
        found.append(known[0])
        findings |= dict.fromkeys(known[1])
    return FoldPredictions(tuple(found)), tuple(findings)


def fit_folds_at_once(every: Sequence[Validating], jobs: Jobs) -> tuple[str, Exception] | None:
    """Fit the folds of all methods in the processes of `jobs`, and write each repeat when it ends.

    Returns:
        the name of the method that failed, and its error, once all methods before it are done.
    """
    by_name = {of.name: of for of in every}
    left = {
        (of.name, repeat): dict[int, _FoldFit]()
        for of in every
        for repeat in of.repeats
        if of.finished(repeat) is None
    }
    folds = [
        fold
        for name, repeat in left
        for fold in _folds_of(name, by_name[name].method, by_name[name].plan, repeat,
                              heard_by(by_name[name].context, Listener()))
    ]  # fmt: skip
    try:
        for fold, fit in jobs.each(_fit_fold, folds):
            done = left[fold.name, fold.repeat]
            done[fold.number] = fit
            if len(done) == fold.plan.count:
                of = by_name[fold.name]
                fits = [done[number] for number in sorted(done)]
                of.keep(fold.repeat, _joined(of.method, fits, of.decide))
                del left[fold.name, fold.repeat]
    except Exception as error:
        return next(iter(left))[0], error
    return None


def fit_repeat(
    name: str,
    method: Method,
    plan: FoldPlan,
    repeat: int,
    context: FitContext,
    decide: Deciding,
) -> Repeat:
    """Fit and predict every fold of a repeat; return predictions, and what training noticed."""
    folds = _folds_of(name, method, plan, repeat, context)
    return _joined(method, [fold.fit() for fold in folds], decide)


@dataclass(frozen=True, eq=False)
class _FoldFit:
    """Predictions of the rows of a fold, what training noticed, and whether a temperature acts."""

    predictions: Predictions
    findings: tuple[Finding, ...]
    is_scaled: bool


@dataclass(frozen=True, eq=False)
class _Fold:
    """A fold of a repeat; both are counted from 0."""

    name: str
    method: Method
    plan: FoldPlan
    repeat: int
    number: int
    context: FitContext

    def fit(self) -> _FoldFit:
        """Learn from the rows outside, and predict those of the fold."""
        method, plan, context, findings = self.method, self.plan, self.context, list[Finding]()
        before, total = self.repeat * plan.count, plan.repeats(method) * plan.count
        if plan.share is not None:
            before, total = 0, plan.count
        done = before + self.number
        stage = f"{self.name}: fold {done + 1} of {total}"
        context.progress(ProgressEvent(stage, done, total))

        def listen(event: ProgressEvent) -> None:
            if method.trains_in_steps:
                context.progress(replace(event, stage=f"{stage}, {event.stage}"))

        left = context.deadline and context.deadline.part(total - done + 1)
        of_fold = FitContext(
            seed=seed_of_repeat(plan.seed, self.repeat), device=context.device,
            metric=context.metric, cache=context.cache, progress=listen, find=findings.append,
            shared=context.shared or plan.shared, deadline=left,
        )  # fmt: skip
        held = plan.held[self.repeat % len(plan.held)][self.number]
        outside = np.setdiff1d(np.arange(len(plan.dataset)), held)
        fitted = method.fit(*_divided(method, plan, outside, of_fold.seed), of_fold)
        is_scaled = fitted.with_temperature(2.0) is not fitted
        found = predict(fitted, plan.dataset.select(held))
        return _FoldFit(found, tuple(findings), is_scaled)


def _folds_of(
    name: str, method: Method, plan: FoldPlan, repeat: int, context: FitContext
) -> list[_Fold]:
    """Return the folds of a repeat."""
    return [_Fold(name, method, plan, repeat, at, context) for at in range(plan.count)]


def _fit_fold(fold: _Fold, listener: Listener) -> _FoldFit:
    return replace(fold, context=heard_by(fold.context, listener)).fit()


def _joined(method: Method, fits: Sequence[_FoldFit], decide: Deciding) -> Repeat:
    """Return the predictions of all folds of a repeat, each calibrated on the others."""
    found = [of.predictions for of in fits]
    if method.learns:
        raw = [replace(fold, decision=AS_LIKELY) for fold in found]
        found = list(cross_calibrated(raw, decide, all(of.is_scaled for of in fits)))
    return tuple(found), tuple(dict.fromkeys(one for of in fits for one in of.findings))


def _divided(
    method: Method, plan: FoldPlan, outside: Integers, seed: int
) -> tuple[Dataset, Dataset]:
    """Return the rows outside a fold to learn from, and those to choose a checkpoint by."""
    if plan.share is not None:
        outside = outside[NestedShares.of(plan.dataset.select(outside), seed).rows(plan.share)]
    seen = plan.dataset.select(outside)
    if not method.needs_validation:
        return seen, seen.select([])
    clusters = None if plan.clusters is None else plan.clusters[outside]
    return with_validation(seen, plan.settings, seed, clusters)
