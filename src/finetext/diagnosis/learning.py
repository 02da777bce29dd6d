"""`learning_curve`: what more labels would be worth, and which rung is right at which size."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, Final

from finetext.data.read import read as read_data
from finetext.data.samples import sample_recipe
from finetext.data.settings import ReadSettings
from finetext.data.split import SplitSettings
from finetext.data.split import split as split_rows
from finetext.diagnosis.curve import Curve
from finetext.diagnosis.curve_from_fits import Measured, curve_from_fits
from finetext.diagnosis.growing import Growing
from finetext.diagnosis.ledger import FILE, Ledger, read_header
from finetext.diagnosis.shares import checked_sizes, default_sizes
from finetext.errors import RecipeError, RunError
from finetext.evaluation.metrics import metric_for
from finetext.methods.base import Method
from finetext.methods.ranges import Count
from finetext.pipeline import (
    Listener,
    Methods,
    heard,
    known_before,
    run_name,
    stop_if_impossible,
    stop_on_errors,
)
from finetext.recipe import ADAPTED, BASELINES, Recipe, encoder_of, hyperparameters, ladder, made
from finetext.runs.claiming import check_place, check_writable, claimed, claimed_new
from finetext.runs.resuming import Asked
from finetext.types import Dataset, Splits

FEWEST_SIZES: Final = 2


@dataclass(frozen=True)
class CurveSettings:
    """How a learning curve is made.

    Attributes:
        sizes: rows of each share; None (the default) takes `steps` sizes in equal ratios, each
            at most twice the one before, up to all training rows.
        steps: how many sizes there are by default, 6; at least 2.
        trainings: how many times each rung learns from each size, 3 by default: each time from
            another share, with another seed. At least 2 are needed to look ahead.
    """

    sizes: tuple[Count, ...] | None = None
    steps: Count = 6
    trainings: Count = 3

    def check(self) -> None:
        """Refuse settings of no use.

        Raises:
            RecipeError: a number is below 1, or there are fewer than two sizes.
        """
        made("the learning curve", CurveSettings, hyperparameters(self))
        sizes = self.steps if self.sizes is None else len(set(self.sizes))
        if sizes < FEWEST_SIZES:
            raise RecipeError(
                "a learning curve takes at least 2 different sizes, and 4 to look ahead; "
                "give more with --sizes or --steps"
            )


def learning_curve(
    what: Any,
    methods: Methods | None = None,
    *,
    settings: CurveSettings | None = None,
    read: ReadSettings | None = None,
    split: SplitSettings | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    resume: bool = False,
    listener: Listener | None = None,
) -> Curve:
    """Train rungs on growing shares of the training rows, and look ahead.

    The data are divided as `finetext.train` divides them. Each rung learns from nested shares of
    the training rows that keep the proportions of the classes, and whole groups where there are
    groups; the score is measured on the whole validation part. No test row is used. A power law
    (see `finetext.diagnosis.power_law`) says what up to four times the labels would bring. The
    data are checked first, as `finetext.train` checks them.

    What is chosen on validation rows, such as a checkpoint or thresholds, makes the scores a
    little too good, alike for every size.

    Args:
        what: a `Recipe`, or anything that `finetext.read` takes.
        methods: rungs as `finetext.train` takes them; by default those of the recipe, or else
            `majority` and `tfidf`, which are always there.
        settings: sizes and number of trainings; `CurveSettings()` by default.
        read: how to read the data.
        split: how to divide them.
        out: folder of the result, new or empty; the first free `runs/NAME-curve`,
            `runs/NAME-curve-2`, ... by default. Each training is kept in it as it is done.
        seed: seed of every random choice; that of the recipe, or 0, by default.
        resume: go on with the curve of the same data and settings in `out`, or the newest of
            `runs/NAME-curve`, ...; sizes, rungs and trainings may have become more. A new one is
            started if there is none.
        listener: who hears of progress; by default messages and a progress bar are shown, on a
            terminal or in a notebook.

    Returns:
        the curve. It is in the folder too, as `curve.json`, `curve.csv`, and a picture.

    Raises:
        FinetextError: the data or a setting is not fit; or a training failed, and the folder holds
            those that were finished before.
        KeyboardInterrupt: it was stopped; the message says how to go on.
    """
    recipe = _recipe(what, methods)
    recipe = replace(
        recipe,
        read=read or recipe.read,
        split=split or recipe.split,
        seed=recipe.seed if seed is None else seed,
    )
    with heard(listener) as hears:
        place = Place(None if out is None else Path(out), resume)
        return grow(what, recipe, settings or CurveSettings(), place, hears)[1]


@dataclass(frozen=True)
class Place:
    """Where a curve is to be: the folder that was asked for, and whether to go on with one."""

    out: Path | None
    resume: bool

    def check(self) -> None:
        """Refuse a folder that cannot be used, before any work is done.

        Raises:
            RunError: it holds something, or cannot be written.
        """
        if self.out is None:
            check_writable(Path("runs"))
        elif read_header(self.out) is None:
            check_place(self.out, resume=False)
        elif not self.resume:
            raise RunError(
                f"{self.out} is there already and holds a learning curve: go on with it by "
                "--resume, or choose another folder"
            )

    @contextmanager
    def claimed(self, name: str, header: Mapping[str, Any], hears: Listener) -> Iterator[Path]:
        """The folder, for as long as the body runs."""
        there = self._to_go_on_with(name, header) if self.resume else None
        if there is not None:
            hears.say(f"going on with the learning curve in {there}")
            with claimed(there):
                yield there
            return
        if self.resume:
            hears.say("there is no such learning curve to go on with, so a new one is started")
        with claimed_new(self.out, name) as folder:
            yield folder

    def _to_go_on_with(self, name: str, header: Mapping[str, Any]) -> Path | None:
        """What was asked for, or the newest of the same data and settings."""
        if self.out is not None:
            return self.out if (self.out / FILE).is_file() else None
        newest = None
        for number in count(1):
            folder = Path("runs") / (name if number == 1 else f"{name}-{number}")
            if not folder.is_dir():
                return newest
            if header.items() <= (read_header(folder) or {}).items():
                newest = folder
        return None


def grow(
    what: Any, recipe: Recipe, settings: CurveSettings, place: Place, hears: Listener
) -> tuple[Path, Curve]:
    """The steps of a learning curve, one after the other.

    Returns:
        the folder, and the curve that is in it.
    """
    from finetext.report.learning_curve import write_curve

    settings.check()
    _refuse_adapted(recipe)
    recipe = replace(recipe, adapt=None, track=())
    place.check()
    stop_if_impossible(recipe)
    dataset = read_data(what if recipe.source is None else recipe.source, settings=recipe.read)
    hears.say(dataset.description)
    splits = split_rows(dataset, recipe.split, recipe.seed)
    stop_if_impossible(recipe, splits.scheme)
    stop_on_errors(known_before(Asked(recipe, dataset, splits), hears)[0])
    measured = _measured(recipe, settings, splits)
    hears.say(
        f"{measured.rows:,} validation rows to measure on; {len(splits.test):,} test rows stay "
        f"closed; shares of {', '.join(f'{size:,}' for size in measured.sizes)} of "
        f"{measured.training_rows:,} training rows"
    )
    header = _header(recipe, dataset, splits)
    with place.claimed(f"{run_name(recipe)}-curve", header, hears) as folder:
        growing = Growing(recipe, splits, measured.sizes, settings.trainings, hears)
        fits = growing.fits(Ledger(folder, header), folder)
        curve = curve_from_fits(fits, measured)
        write_curve(curve, folder)
        return folder, curve


def _recipe(what: Any, methods: Methods | None) -> Recipe:
    """What is to be trained: the rungs that are named, or those of the recipe."""
    if isinstance(what, Recipe):
        if what.source is None:
            raise RecipeError("the recipe names no data; give it a source, or give the data")
        recipe = what
    else:
        values = sample_recipe(what) if isinstance(what, str) else {}
        recipe = replace(Recipe.from_values(values), source=_source(what))
        methods = BASELINES if methods is None else methods
    if methods is None:
        return recipe
    listed: Sequence[Any] = [methods] if isinstance(methods, str | Method) else list(methods)
    chosen = methods if isinstance(methods, Mapping) else ladder(listed, recipe.methods)
    return replace(recipe, methods=chosen)


def _source(what: Any) -> str | None:
    """What is read by its name, which the folder takes; None for data handed over in Python."""
    return str(what) if isinstance(what, str | Path) else None


def _refuse_adapted(recipe: Recipe) -> None:
    for name, method in recipe.methods.items():
        if encoder_of(method) == ADAPTED:
            raise RecipeError(
                f'{name} takes the encoder "{ADAPTED}", which a run makes; name its folder with '
                f"--encoder RUN/{ADAPTED}"
            )


def _measured(recipe: Recipe, settings: CurveSettings, splits: Splits) -> Measured:
    train, validation = splits.train, splits.validation
    if settings.sizes is None:
        sizes = default_sizes(train, settings.steps)
    else:
        sizes = checked_sizes(train, settings.sizes)
    groups = validation.groups
    units = len(validation) if groups is None else len(set(groups))
    metric = metric_for(recipe.metric, splits.scheme)
    return Measured(metric, sizes, len(train), len(validation), units)


def _header(recipe: Recipe, dataset: Dataset, splits: Splits) -> dict[str, Any]:
    """What all trainings of a curve share, under the names that a user knows it by."""
    rows = json.dumps([part.ids for _, part in splits.items()])
    decide = hyperparameters(recipe.decide.with_hash(splits.scheme))
    costs = decide.pop("content_hash")
    return {
        "data": dataset.content_hash,
        "labels": list(splits.scheme.names),
        "division of the rows": hashlib.sha256(rows.encode()).hexdigest(),
        "metric": recipe.metric,
        "decide": json.loads(json.dumps(decide, default=str)),
        "seed": recipe.seed,
    } | ({} if costs is None else {"costs": costs})
