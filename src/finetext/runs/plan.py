"""`plan`: what a run is going to do, and an estimate of its time from a measured second of work."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from finetext.core.budget import within_memory
from finetext.core.console import heard
from finetext.core.contracts import Listener, Method, encoder_of
from finetext.core.deadline import SECONDS_A_MINUTE
from finetext.core.settings import ReadSettings, SplitSettings
from finetext.core.types import Splits
from finetext.core.wording import counted, duration, size
from finetext.methods.llm import Llm
from finetext.methods.static import Static
from finetext.runs.ablations import with_encoder
from finetext.runs.cross_validation import FOLDS, REPEATS_IN_STEPS
from finetext.runs.minutes import (
    OVERHEAD,
    REPORT,
    SAFETY,
    Turn,
    asked_of,
    choose,
    in_order,
    share_of,
)
from finetext.runs.recipe import ADAPTED, Recipe
from finetext.runs.resolve import Methods, ResolvedRun, check_data, context_for, recipe_for, resolve
from finetext.storage.codec import Jsonable

LONG: Final = 200_000
"""Characters that encoders read in training from which a run begins with an estimate."""
_SECONDS: Final = 1.0
_SAMPLE: Final = 500
_FORWARD: Final = 1 / 3
"""Time of a prediction over that of a training step: one pass of three."""


@dataclass(frozen=True)
class PlannedMethod:
    """A method of a run.

    Attributes:
        settings: hyperparameters that differ from their defaults, those chosen for the minutes too.
        fits: how often it is fitted, with further seeds.
        seconds: estimated time of all of them; None where it cannot be measured beforehand.
        note: what is cut or left out to end in time; "" if nothing is.
    """

    method: str
    settings: Mapping[str, Any]
    fits: int
    seconds: float | None
    note: str = ""


@dataclass(frozen=True)
class RunPlan(Jsonable):
    """What `finetext.train` would do with the same arguments.

    Attributes:
        rows: split to number of rows.
        labels: number of labels.
        seconds: estimated time of all methods whose time is known.
        bytes: largest memory of this process so far, while a second of each method was measured;
            None where the system does not tell.
        measured: seconds that the measurement took.
        folds: folds of a cross-validated run; 0 for one with test rows.
        minutes: how long the whole run takes at most; None for as long as it needs.
    """

    description: str
    rows: Mapping[str, int]
    labels: int
    metric: str
    methods: tuple[PlannedMethod, ...]
    bytes: int | None
    measured: float
    folds: int = 0
    minutes: float | None = None

    @property
    def seconds(self) -> float:
        """See above."""
        return sum(of.seconds for of in self.methods if of.seconds is not None)

    @property
    def estimate(self) -> str:
        """The estimate in one line."""
        parts = [
            f"{of.method} {'unknown' if of.seconds is None else duration(of.seconds)}"
            for of in self.methods
        ]
        memory = "" if self.bytes is None else f", with about {size(self.bytes)} of memory"
        least = "at least " if any(of.seconds is None for of in self.methods) else ""
        return (
            f"estimate: {least}{duration(self.seconds)} ({', '.join(parts)}){memory}; measured "
            f"here in {duration(self.measured)}"
        )

    def lines(self) -> list[str]:
        """Return the plan as lines of text."""
        rows = ", ".join(f"{name} {number:,}" for name, number in self.rows.items())
        found = [self.description, f"{rows} rows, {counted(self.labels, 'label')}", ""]
        for of in self.methods:
            settings = ", ".join(f"{name} = {value}" for name, value in of.settings.items())
            times = "" if of.fits == 1 else f", fitted {counted(of.fits, 'time')}"
            found.append(f"{of.method}: {settings or 'default settings'}{times}")
            found += [f"  {of.note}"] if of.note else []
        end = "nothing was trained or written"
        rows_of_choice = "cross-validated" if self.folds else "on validation rows"
        return [*found, "", f"best by {self.metric} {rows_of_choice}", self.estimate, end]


@within_memory
def plan(
    what: Any,
    methods: Methods | None = None,
    *,
    read: ReadSettings | None = None,
    split: SplitSettings | None = None,
    seed: int | None = None,
    minutes: float | None = None,
    listener: Listener | None = None,
) -> RunPlan:
    """Return what `train` would do, with an estimate of its time; nothing is written.

    The data are read, checked and split as for a run. Of each method about a second of its work is
    measured: a fit on up to 500 rows, the states of some texts, or some training steps.

    Args:
        what: as `train` takes it.
        methods: likewise.
        read: likewise.
        split: likewise.
        seed: likewise.
        minutes: likewise.
        listener: likewise.

    Raises:
        FinetextError: the data or a setting cannot be used.
    """
    began = time.perf_counter()
    recipe = recipe_for(what, methods, read, split, seed, minutes)
    with heard(listener) as hears:
        run = resolve(recipe, what, hears)
        check_data(run.recipe, run.splits, hears, run.findings)
        return planned(run, began)


def planned(run: ResolvedRun, began: float | None = None) -> RunPlan:
    """Return the plan of a run whose data are read and checked, and that `began` before that."""
    recipe, splits, start = run.recipe, run.splits, time.perf_counter()
    context = replace(context_for(recipe, Listener()), cache=None)
    left = None if recipe.minutes is None else SECONDS_A_MINUTE * recipe.minutes - REPORT
    methods, found = recipe.methods, list[PlannedMethod]()
    for name, method in methods.items() if left is None else in_order(methods).items():
        # A saved model that learns nothing may ask an endpoint, which a measurement would pay.
        if encoder_of(method) == ADAPTED or not method.learns:
            found.append(PlannedMethod(name, _changed(method), recipe.seeds, None))
            continue
        if method.pays_per_text:  # nothing is sent here
            found.append(
                PlannedMethod(name, _changed(method), recipe.seeds, None, _asking(method, run))
            )
            continue
        if method.combines:  # predictions that are there
            found.append(PlannedMethod(name, _changed(method), recipe.seeds, 0.0))
            continue
        asked = asked_of(name, method, run, context)
        turn = Turn(name, seconds=asked.seconds(Turn(name)))
        if left is not None:
            measured = time.perf_counter() - (start if began is None else began)
            share = share_of(name, methods, [of.method for of in found])
            turn = choose(asked, SAFETY * ((left - measured) * share - OVERHEAD))
            left -= turn.seconds or 0.0
        chosen, repeats = turn.applied(method), turn.repeats or asked.repeats
        again = 1 + (asked.refits if turn.refit is None else turn.refit)
        fits = again + repeats * asked.folds if repeats else again * recipe.seeds
        seconds = (turn.seconds or 0.0) * (1 if repeats else recipe.seeds)
        found.append(PlannedMethod(name, _changed(chosen), fits, seconds, turn.line))
    rows = {str(name): len(part) for name, part in splits.items() if len(part)}
    return RunPlan(
        run.dataset.description, rows, len(splits.scheme), recipe.metric, tuple(found),
        _largest_memory(), time.perf_counter() - start,
        0 if run.folds is None else run.folds.count, recipe.minutes,
    )  # fmt: skip


def _asking(method: Method, run: ResolvedRun) -> str:
    """Return what a method would ask an endpoint."""
    assert isinstance(method, Llm)
    texts = [*run.tested.texts, *([] if run.folds else run.splits.validation.texts)]
    about = method.expected_tokens(run.splits.train, texts)
    return (
        f"asks {method.model} at {method.url} about {counted(len(texts), 'text')}, with about "
        f"{about:,} tokens (budget: {method.limits.words()}); nothing was sent"
    )


def is_long(recipe: Recipe, splits: Splits) -> bool:
    """Return whether a run trains long enough to begin with an estimate."""
    methods = with_encoder(recipe).values()
    encoders = sum(encoder_of(of) is not None and not isinstance(of, Static) for of in methods)
    fits = 1 + REPEATS_IN_STEPS * FOLDS if recipe.split.cross_validate else 1
    return encoders > 0 and sum(map(len, splits.train.texts)) * encoders * fits >= LONG


def _changed(method: Method) -> dict[str, Any]:
    values = {of.name: (getattr(method, of.name), of.default) for of in fields(method)}  # type: ignore[arg-type]
    return {name: value for name, (value, default) in values.items() if value != default}


def _largest_memory() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest * (1 if sys.platform == "darwin" else 1024)
