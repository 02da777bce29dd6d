"""`learning_curve`: what more labels would be worth, and which method is best at which size."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count, takewhile
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.core.budget import within_memory
from finetext.core.console import heard
from finetext.core.contracts import Listener, encoder_of, hyperparameters
from finetext.core.errors import RecipeError
from finetext.core.settings import Count, ReadSettings, SplitSettings, made
from finetext.core.types import Dataset, Splits
from finetext.core.wording import counted
from finetext.data.split import all_train
from finetext.diagnosis.curve import Curve, checked_sizes, default_sizes
from finetext.diagnosis.forecast import Measured, curve_from_fits
from finetext.evaluation.metrics import metric_for
from finetext.runs.cross_validation import FoldPlan, wants_folds
from finetext.runs.curve_fits import FitLog, Growing
from finetext.runs.jobs import Jobs, memory_finding
from finetext.runs.recipe import ADAPTED, BASELINES, Recipe
from finetext.runs.resolve import (
    Methods,
    check_data,
    data_changed,
    read_dataset,
    recipe_for,
    run_name,
    split_dataset,
)
from finetext.storage.locks import (
    CURVE_LOG,
    Held,
    check_folder,
    check_writable,
    claimed,
    claimed_new,
)
from finetext.storage.resume import read_header

FEWEST_SIZES: Final = 2


@dataclass(frozen=True)
class CurveSettings:
    """How a learning curve is made.

    Attributes:
        sizes: rows of each share; None (the default) takes `steps` sizes in equal ratios, each
            at most twice the one before, up to all training rows.
        steps: number of sizes by default, 6; at least 2.
        trainings: how many times each method is trained on each size, 3 by default: each time on
            another share, with another seed. A forecast needs at least 2.
    """

    sizes: tuple[Count, ...] | None = None
    steps: Count = 6
    trainings: Count = 3

    def check(self) -> None:
        """Raise a RecipeError if a number is below 1, or there are fewer than two sizes."""
        made("the learning curve", CurveSettings, hyperparameters(self))
        sizes = self.steps if self.sizes is None else len(set(self.sizes))
        if sizes < FEWEST_SIZES:
            raise RecipeError(
                "a learning curve needs at least 2 different sizes, and 4 for a forecast; "
                "give more with --sizes or --steps"
            )


@within_memory
def learning_curve(
    what: Any,
    methods: Methods | None = None,
    *,
    settings: CurveSettings | None = None,
    read: ReadSettings | None = None,
    split: SplitSettings | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    jobs: int | None = None,
    resume: bool = False,
    listener: Listener | None = None,
) -> Curve:
    """Train methods on growing shares of the training rows, and forecast the gain of more labels.

    The data are checked and split as `finetext.train` does it. Each method learns from nested
    shares of the training rows that keep the proportions of the classes and whole groups; the
    score is measured on all validation rows. No test row is used. Few rows, which a run would
    cross-validate, are cross-validated here, too: shares are of the rows outside each fold, and
    the score is that of all rows; not so if a method trains step by step, which would take long.
    A power law (see `finetext.diagnosis.forecast`) says what up to four times the labels would
    bring. Choices made on validation rows, such as a checkpoint or thresholds, raise the scores a
    little, alike for every size.

    Args:
        what: a `Recipe`, or anything that `finetext.read` takes.
        methods: methods as `finetext.train` takes them; by default those of the recipe, or else
            `majority` and `tfidf`, which are always included.
        settings: sizes and number of trainings; `CurveSettings()` by default.
        read: how to read the data.
        split: how to split them.
        out: folder of the result, new or empty; the first free `runs/NAME-curve`,
            `runs/NAME-curve-2`, ... by default. Each training is kept in it as it is done.
        seed: seed of every random choice; that of the recipe, or 0, by default.
        jobs: how many trainings are made at once, each in a process with its share of the cores; 1
            by default. The curve is the same.
        resume: resume the curve of the same data and settings in `out`, or the newest of
            `runs/NAME-curve`, ...; sizes, methods and trainings may have become more. A new one is
            started if there is none.
        listener: receives progress; by default messages and a progress bar are shown on a
            terminal or in a notebook.

    Returns:
        the curve, which the folder holds too: `curve.json`, `curve.csv`, and a picture.

    Raises:
        FinetextError: the data or a setting cannot be used; or a training failed, and the folder
            holds those that were finished before.
        KeyboardInterrupt: it was stopped; the message says how to resume.
    """
    if methods is None and not isinstance(what, Recipe):
        methods = BASELINES
    recipe = recipe_for(what, methods, read, split, seed, jobs=jobs)
    if isinstance(what, Mapping):  # several files, none of which names the folder
        recipe = replace(recipe, source=None)
    with heard(listener) as hears:
        place = Place(None if out is None else Path(out), resume)
        return grow(what, recipe, settings or CurveSettings(), place, hears)[1]


@dataclass(frozen=True)
class Place:
    """The folder that was asked for, and whether a curve is to be resumed."""

    out: Path | None
    resume: bool

    def check(self) -> None:
        """Refuse a folder that cannot be used, before any work is done; raises a RunError."""
        if self.out is None:
            check_writable(Path("runs"))
        else:
            check_folder(
                self.out,
                self.resume,
                lambda folder: (
                    ("a learning curve", True) if read_header(folder / CURVE_LOG) else None
                ),
            )

    @property
    def is_held_out(self) -> bool:
        """Whether the curve to resume in `out` was begun on validation rows."""
        begun = read_header(self.out / CURVE_LOG) if self.resume and self.out else None
        return begun is not None and "folds" not in begun

    @property
    def is_early(self) -> bool:
        """Whether the curve to resume in `out` was begun when splits always kept duplicates."""
        begun = read_header(self.out / CURVE_LOG) if self.resume and self.out else None
        return begun is not None and "keep_duplicates" not in begun

    @contextmanager
    def claimed(self, name: str, header: Mapping[str, Any], hears: Listener) -> Iterator[Path]:
        """Lock the folder while the body runs."""
        there = self._to_resume(name, header) if self.resume else None
        if there is not None:
            hears.say(f"resuming the learning curve in {there}")
        elif self.resume:
            hears.say("there is no such learning curve to resume, so a new one is started")
        with claimed_new(self.out, name) if there is None else claimed(there) as folder:
            yield folder

    def _to_resume(self, name: str, header: Mapping[str, Any]) -> Path | None:
        """Return the folder asked for, or the newest with the same data and settings."""
        if self.out is not None:
            return self.out if (self.out / CURVE_LOG).is_file() else None
        folders = (Path("runs") / (name if n == 1 else f"{name}-{n}") for n in count(1))
        there = [(of, read_header(of / CURVE_LOG) or {}) for of in takewhile(Path.is_dir, folders)]
        return next((of for of, known in there[::-1] if header.items() <= known.items()), None)


def _held(folder: Path) -> Held:
    return None if read_header(folder / CURVE_LOG) is None else ("a learning curve", True)


def grow(
    what: Any, recipe: Recipe, settings: CurveSettings, place: Place, hears: Listener
) -> tuple[Path, Curve]:
    """Make a learning curve, step by step; returns its folder and the curve."""
    from finetext.report.curves import write_curve

    settings.check()
    if combining := [name for name, method in recipe.methods.items() if method.combines]:
        hears.say(f"{', '.join(combining)} is left out of the curve: it combines the methods in it")
        others = {name: of for name, of in recipe.methods.items() if name not in combining}
        recipe = replace(recipe, methods=others)
    if paying := [name for name, method in recipe.methods.items() if method.pays_per_text]:
        hears.say(
            f"{', '.join(paying)} is asked once, with examples from the smallest share: its score "
            "is the same for every size"
        )
    for name, method in recipe.methods.items():
        if encoder_of(method) == ADAPTED:
            raise RecipeError(
                f'{name} uses the encoder "{ADAPTED}", which only a run makes; name its folder '
                f"with --encoder RUN/{ADAPTED}"
            )
    place.check()
    recipe = replace(recipe, adapt=None, track=())
    if is_early := place.is_early:
        recipe = replace(recipe, split=replace(recipe.split, keep_duplicates=True))
    dataset = read_dataset(recipe, what, hears)
    folds = None if place.is_held_out else _folds(recipe, dataset, hears)
    if folds is not None:
        recipe = replace(recipe, split=replace(recipe.split, cross_validate=True))
    recipe, splits = split_dataset(recipe, dataset, hears)
    splits = splits if folds is None else all_train(splits, dataset)
    findings = [] if folds is None else list(folds.findings)
    findings += [*data_changed(recipe, dataset), *memory_finding(recipe)]
    check_data(recipe, splits, hears, findings)
    measured = _measured(recipe, settings, splits, folds)
    hears.say(_announced(measured, len(splits.test), settings.trainings))
    header = _header(recipe, dataset, splits)
    if not is_early:
        header["keep_duplicates"] = recipe.split.keep_duplicates
    if folds is not None:
        header["folds"] = folds.count
    with place.claimed(f"{run_name(recipe)}-curve", header, hears) as folder:
        log = FitLog(folder, header)
        growing = Growing(recipe, splits, measured.sizes, settings.trainings, hears, folds)
        with Jobs(recipe.jobs, hears) as jobs:
            fits = growing.fits(log, jobs)
        positive = measured.metric.class_of(splits.scheme)
        curve = replace(curve_from_fits(fits, measured), positive=positive)
        write_curve(curve, folder)
        return folder, curve


def _folds(recipe: Recipe, dataset: Dataset, hears: Listener) -> FoldPlan | None:
    """Return the folds of a curve on few rows; None where it is measured on validation rows."""
    if not wants_folds(dataset, recipe.split, adapts=False):
        return None
    slow = [name for name, method in recipe.methods.items() if method.trains_in_steps]
    if slow:
        hears.say(
            f"{', '.join(slow)} would take too long to cross-validate at every size, so the curve "
            "is measured on validation rows. On few rows that says little; for a cross-validated "
            "curve leave it out: --methods tfidf"
        )
        return None
    return FoldPlan.of(dataset, recipe.split, recipe.seed)


def _announced(measured: Measured, test: int, trainings: int) -> str:
    """Return in one line what is measured, and on which rows."""
    sizes = ", ".join(f"{size:,}" for size in measured.sizes)
    if measured.folds:
        return (
            f"{measured.rows:,} rows to measure on, by {measured.folds}-fold cross-validation, "
            f"{counted(trainings, 'time')}; shares of {sizes} of the {measured.training_rows:,} "
            "rows outside a fold"
        )
    return (
        f"{measured.rows:,} validation rows to measure on; {test:,} test rows stay unused; shares "
        f"of {sizes} of {measured.training_rows:,} training rows"
    )


def _measured(
    recipe: Recipe, settings: CurveSettings, splits: Splits, folds: FoldPlan | None
) -> Measured:
    train, tested, count = splits.train, splits.validation, 0
    if folds is not None:
        largest = max((held for repeat in folds.held for held in repeat), key=len)
        outside = np.setdiff1d(np.arange(len(folds.dataset)), largest)
        train, tested, count = folds.dataset.select(outside), folds.dataset, folds.count
    asked = settings.sizes
    sizes = checked_sizes(train, asked) if asked else default_sizes(train, settings.steps)
    units = len(tested) if tested.groups is None else len(set(tested.groups))
    metric = metric_for(recipe.metric, splits.scheme)
    return Measured(metric, sizes, len(train), len(tested), units, count)


def _header(recipe: Recipe, dataset: Dataset, splits: Splits) -> dict[str, Any]:
    """Return what all trainings of a curve share, under the names that users know it by."""
    rows = json.dumps([part.ids for _, part in splits.items()])
    decide = hyperparameters(recipe.decide.with_hash(splits.scheme))
    costs, positive = decide.pop("content_hash"), splits.scheme.positive
    if decide["out_of_scope"] is None:  # as curves of earlier versions have it
        del decide["out_of_scope"]
    return {
        "data": dataset.content_hash,
        "labels": list(splits.scheme.names),
        "division of the rows": hashlib.sha256(rows.encode()).hexdigest(),
        "metric": recipe.metric,
        "decide": json.loads(json.dumps(decide, default=str)),
        "seed": recipe.seed,
    } | {name: of for name, of in (("costs", costs), ("positive", positive)) if of is not None}
