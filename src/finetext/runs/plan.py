"""`plan`: what a run is going to do, and an estimate of its time from a measured second of work."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np

from finetext.core.budget import within_memory
from finetext.core.console import heard
from finetext.core.contracts import (
    Classifier,
    FitContext,
    Listener,
    Method,
    encoder_of,
    predict,
)
from finetext.core.settings import ReadSettings, SplitSettings
from finetext.core.types import Dataset, Splits
from finetext.core.wording import counted, duration, size
from finetext.methods.finetune import Finetune
from finetext.methods.probe import Probe
from finetext.methods.static import Static, fit_static
from finetext.runs.ablations import with_encoder
from finetext.runs.cross_validation import FOLDS, REPEATS_IN_STEPS
from finetext.runs.recipe import ADAPTED, Recipe
from finetext.runs.refit import is_refitted
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
        settings: hyperparameters that differ from their defaults.
        fits: how often it is fitted, with further seeds.
        seconds: estimated time of all of them; None where it cannot be measured beforehand.
    """

    method: str
    settings: Mapping[str, Any]
    fits: int
    seconds: float | None


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
    """

    description: str
    rows: Mapping[str, int]
    labels: int
    metric: str
    methods: tuple[PlannedMethod, ...]
    bytes: int | None
    measured: float
    folds: int = 0

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
        listener: likewise.

    Raises:
        FinetextError: the data or a setting cannot be used.
    """
    recipe = recipe_for(what, methods, read, split, seed)
    with heard(listener) as hears:
        run = resolve(recipe, what, hears)
        check_data(run.recipe, run.splits, hears, run.findings)
        return planned(run)


def planned(run: ResolvedRun) -> RunPlan:
    """Return the plan of a run whose data are read and checked."""
    recipe, splits, start = run.recipe, run.splits, time.perf_counter()
    context = replace(context_for(recipe, Listener()), cache=None)
    found = []
    for name, method in recipe.methods.items():
        if method.combines:  # predictions that are there
            found.append(PlannedMethod(name, _changed(method), recipe.seeds, 0.0))
            continue
        seconds = None if encoder_of(method) == ADAPTED else _seconds(method, splits, context)
        fits, times = _fits(run, method)
        gets_validation = run.folds is None or method.needs_validation
        if gets_validation and is_refitted(method, recipe, splits.train, splits.validation):
            more = recipe.seeds if run.folds is None else 1
            fits, times = fits + more, times + (0 if isinstance(method, Probe) else more)
        known = None if seconds is None else seconds * times
        found.append(PlannedMethod(name, _changed(method), fits, known))
    rows = {str(name): len(part) for name, part in splits.items() if len(part)}
    return RunPlan(
        run.dataset.description, rows, len(splits.scheme), recipe.metric, tuple(found),
        _largest_memory(), time.perf_counter() - start,
        0 if run.folds is None else run.folds.count,
    )  # fmt: skip


def _fits(run: ResolvedRun, method: Method) -> tuple[int, float]:
    """Return how often a method is fitted, and how many times as long as once that takes."""
    if run.folds is None:
        return run.recipe.seeds, run.recipe.seeds
    folds = run.folds.repeats(method) * run.folds.count
    if isinstance(method, Probe):
        return 1 + folds, 2.0  # each text is read once for all folds
    return 1 + folds, 1 + folds * (1 - 1 / run.folds.count)


def is_long(recipe: Recipe, splits: Splits) -> bool:
    """Return whether a run trains long enough to begin with an estimate."""
    methods = with_encoder(recipe).values()
    encoders = sum(encoder_of(of) is not None and not isinstance(of, Static) for of in methods)
    fits = 1 + REPEATS_IN_STEPS * FOLDS if recipe.split.cross_validate else 1
    return encoders > 0 and sum(map(len, splits.train.texts)) * encoders * fits >= LONG


def _seconds(method: Method, splits: Splits, context: FitContext) -> float:
    """Return the estimated time to fit a method and to predict validation and test rows."""
    if isinstance(method, Finetune):
        return _of_training(method, splits, context)
    if isinstance(method, Probe):
        return _of_states(method, splits, context)
    if isinstance(method, Static):
        began = time.perf_counter()
        of_tokens = method.embeddings(context)
        loading = time.perf_counter() - began
        fitting = _of_rows(lambda rows: fit_static(of_tokens, rows, context), splits, context)
        return loading + fitting
    return _of_rows(lambda rows: method.fit(rows, splits.validation, context), splits, context)


def _of_rows(fit: Callable[[Dataset], Classifier], splits: Splits, context: FitContext) -> float:
    """Return the time of a fit and of predictions, from those of some rows."""
    random = np.random.default_rng(context.seed)
    some = np.sort(random.permutation(len(splits.train))[:_SAMPLE])
    train, start = splits.train.select(some), time.perf_counter()
    if len(set(map(str, train.labels))) < 2:
        train = splits.train
    predict(fit(train), train)
    rows = sum(len(part) for _, part in splits.items())
    return (time.perf_counter() - start) * rows / (2 * len(train))


def _of_training(method: Finetune, splits: Splits, context: FitContext) -> float:
    """Return the time of all steps and evaluations, from a second of steps."""
    from finetext.training.batch_size import with_batch_size
    from finetext.training.loop import make_step
    from finetext.training.plan import make_plan
    from finetext.training.state import Training, make_accelerator
    from finetext.training.tokens import vocabulary_in_use

    began = time.perf_counter()
    train = method.resampled(splits.train, context.seed)
    with method.begun(train, context) as classifier:
        model = classifier.model
        task = method.task(classifier, train, splits.validation, context)
        method = method.settled(len(task.scheme), model.config)
        method = with_batch_size(method, model, task, context)
        stages = method.stages_for(len(train), model.config)
        steps = make_plan(task, stages, method, context.seed)
        with vocabulary_in_use(model, task.tables) as tables:
            used, accelerator = task.with_tables(tables), make_accelerator(context)
            with Training.start(model, used, steps, accelerator, context) as training:
                loading, done, spent = time.perf_counter() - began, 0, 0.0
                for number, rows in enumerate(steps.steps):
                    start = time.perf_counter()
                    make_step(training, used, method, rows)
                    if number or len(steps.steps) == 1:  # the first one warms up
                        spent += time.perf_counter() - start
                        done += _positions(task.lengths, rows)
                    if spent > _SECONDS:
                        break
    positions = sum(_positions(task.lengths, rows) for rows in steps.steps)
    a_row = sum(map(len, train.texts)) / max(1, int(task.lengths.sum()))  # characters of a token
    epochs = sum(stage.epochs for stage in stages)
    held_out = sum(map(len, splits.validation.texts)) * (epochs + 1)
    predicted = (held_out + sum(map(len, splits.test.texts))) / max(a_row, 1e-9)
    return loading + spent / max(done, 1) * (positions + _FORWARD * predicted)


def _positions(lengths: Any, rows: Any) -> int:
    return int(lengths[rows].max()) * len(rows)


def _of_states(method: Probe, splits: Splits, context: FitContext) -> float:
    """Return the time of the states of all rows, from a second of them."""
    began = time.perf_counter()
    encoder = method.frozen(context)
    loading, done, spent = time.perf_counter() - began, 0, 0.0
    for number, texts in enumerate(_random_texts(splits.train.texts, context.seed)):
        start = time.perf_counter()
        encoder.states(texts)
        if number or len(texts) == len(splits.train):
            spent += time.perf_counter() - start
            done += sum(map(len, texts))
        if spent > _SECONDS:
            break
    every = sum(len(text) for _, part in splits.items() for text in part.texts)
    return loading + spent / max(done, 1) * every


def _random_texts(texts: Sequence[str], seed: int, at_once: int = 32) -> Iterator[list[str]]:
    order = np.random.default_rng(seed).permutation(len(texts))
    for first in range(0, len(order), at_once):
        yield [texts[row] for row in order[first : first + at_once]]


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
