"""Fit the methods of a run, one after the other or at once, and read those finished before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

from finetext.core.contracts import Listener, Method
from finetext.methods.endpoint import BudgetEnded
from finetext.runs.fit_methods import (
    FittedMethod,
    Started,
    finished_method,
    fit_method,
    validating,
)
from finetext.runs.fold_fits import fit_folds_at_once
from finetext.runs.jobs import Jobs, heard_by
from finetext.storage.unfinished import remove

if TYPE_CHECKING:
    from finetext.runs.timetable import Timetable


def fit_all(
    methods: Mapping[str, Method],
    turns: Timetable,
    fitted: dict[str, FittedMethod],
    jobs: Jobs,
) -> None:
    """Fit the methods that combine no others into `fitted`; those finished before are read.

    Methods that ask an endpoint are fitted by this process, after the others.
    """
    due = _due(methods, turns, fitted, jobs.listener)
    try:
        for group in [due] if jobs.count == 1 else _in_groups(list(due), jobs):
            for one, found in jobs.each(_fit, group, lambda of: of.stays):
                if isinstance(found, BudgetEnded):
                    with suppress(FileNotFoundError):
                        remove(one.started.folder / one.name)
                    turns.leave_out(one.name, str(found).removeprefix(f"{one.method.name}: "))
                else:
                    fitted[one.name] = found
                    turns.had(one.name, fitted)
    finally:  # in the order of the methods, whichever ended first
        for name in [name for name in methods if name in fitted]:
            fitted[name] = fitted.pop(name)


@dataclass(frozen=True, eq=False)
class _Due:
    """A method to fit, the run as it sees it, and why its folds could not be fitted."""

    name: str
    method: Method
    started: Started
    error: Exception | None = None

    @property
    def stays(self) -> bool:
        """Whether this process deals with it."""
        return self.method.pays_per_text or self.error is not None

    def heard_by(self, listener: Listener) -> _Due:
        """Return it with what hears the fit."""
        started = replace(self.started, context=heard_by(self.started.context, listener))
        return replace(self, started=started)


def _due(
    methods: Mapping[str, Method],
    turns: Timetable,
    fitted: dict[str, FittedMethod],
    hears: Listener,
) -> Iterator[_Due]:
    """Yield the methods that are to be fitted, each when its turn has come."""
    for name, method in methods.items():
        if method.combines or (turn := turns.turn(name, method, fitted)) is None:
            continue
        if (finished := finished_method(name, *turn)) is not None:
            hears.say(f"{name} was finished before")
            fitted[name] = finished
            turns.had(name, fitted)
            continue
        yield _Due(name, *turn).heard_by(Listener())


def _fit(due: _Due, listener: Listener) -> FittedMethod | BudgetEnded:
    if due.error is not None:
        raise due.error
    try:
        return fit_method(due.name, due.method, due.heard_by(listener).started)
    except BudgetEnded as error:
        return error


def _in_groups(due: list[_Due], jobs: Jobs) -> Iterator[Iterable[_Due]]:
    """Yield methods that are fitted at once, in a cross-validated run when their folds are fitted.

    There, those that take long come after the cheap ones, which a stopped run then has.
    """
    if not due or due[0].started.run.folds is None:
        yield due
        return

    def kind(of: _Due) -> tuple[bool, bool]:
        return of.method.pays_per_text, of.method.trains_in_steps

    for (pays, _), its in groupby(sorted(due, key=kind), kind):
        group = list(its)
        yield group if pays else _with_folds(group, jobs)


def _with_folds(due: list[_Due], jobs: Jobs) -> list[_Due]:
    """Fit the folds of methods; return those up to the one that failed, with its error."""
    every = [validating(of.name, of.method, of.started) for of in due]
    failed = fit_folds_at_once([of for of in every if of is not None], jobs)
    if failed is None:
        return due
    name, error = failed
    at = [of.name for of in due].index(name)
    return [*due[:at], replace(due[at], error=error)]
