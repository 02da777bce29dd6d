"""`learning_curve`: what more labels would be worth, and which rung is right at which size."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Final

from finetext.core.arrays import finite
from finetext.core.console import heard
from finetext.core.contracts import (
    FitContext,
    Listener,
    Method,
    ProgressEvent,
    encoder_of,
    hyperparameters,
)
from finetext.core.environment import cache_folder
from finetext.core.errors import FinetextError, RecipeError, RunError
from finetext.core.settings import Count, ReadSettings, SplitSettings, made
from finetext.core.types import Dataset, Splits
from finetext.core.wording import duration
from finetext.data.read import read as read_data
from finetext.data.sources import sample_recipe
from finetext.data.split import split as split_rows
from finetext.diagnosis.curve import Curve, NestedShares, checked_sizes, default_sizes
from finetext.diagnosis.curve_from_fits import Measured, curve_from_fits
from finetext.diagnosis.forecast import Fit, Training
from finetext.evaluation.intervals import resample
from finetext.evaluation.metrics import metric_for
from finetext.methods.fitting import calibrated
from finetext.runs.claiming import check_place, check_writable, claimed, claimed_new
from finetext.runs.pipeline import (
    Methods,
    known_before,
    run_name,
    stop_if_impossible,
    stop_on_errors,
)
from finetext.runs.recipe import ADAPTED, BASELINES, LARGEST_SEED, Recipe, ladder
from finetext.runs.resume import Asked
from finetext.storage.files import sync_names, write_text

FILE: Final = "fits.jsonl"
FORMAT_VERSION: Final = 1


class Ledger:
    """The file of the trainings that are finished. Each line is on the disk before the next."""

    def __init__(self, folder: Path, header: Mapping[str, Any]) -> None:
        """Read what is there, or begin.

        Args:
            folder: where the file is or will be.
            header: what all trainings share: data, division, metric, seed.

        Raises:
            RunError: the file was begun with another header, or cannot be read or written.
        """
        self._path = folder / FILE
        self._fits: dict[Training, Fit] = {}
        begun = read_header(folder)
        try:
            if begun is None:
                write_text(self._path, _line({"format_version": FORMAT_VERSION, **header}))
            else:
                self._check(begun, header)
                self._read()
        except OSError as error:
            raise RunError(f"{self._path} cannot be written: {error.strerror}") from None

    def get(self, training: Training) -> Fit | None:
        """What came out of a training, or None if it is still to be done."""
        return self._fits.get(training)

    def add(self, training: Training, fit: Fit) -> None:
        """Keep what came out of a training.

        Raises:
            RunError: it cannot be written.
        """
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(_line(asdict(training) | asdict(fit)))
                file.flush()
                os.fsync(file.fileno())
            sync_names(self._path.parent)
        except OSError as error:
            raise RunError(f"{self._path} cannot be written: {error.strerror}") from None
        self._fits[training] = fit

    def _check(self, begun: Mapping[str, Any], header: Mapping[str, Any]) -> None:
        differing = [name for name, of in header.items() if begun.get(name) != of]
        if differing:
            raise RunError(
                f"the learning curve in {self._path.parent} was begun with other settings: "
                f"{', '.join(differing)}. Give it the same again to go on, or choose another folder"
            )

    def _read(self) -> None:
        """Take the lines that are whole; a kill can leave half of the last one, which goes."""
        lines = self._path.read_text("utf-8", errors="replace").splitlines(keepends=True)
        whole = [lines[0]]
        for line in lines[1:]:
            try:
                values = json.loads(line)
                training = Training(values["method"], values["labels"], values["seed"])
                self._fits[training] = _fit(values)
                whole.append(line)
            except (ValueError, KeyError, TypeError):
                continue
        if len(whole) < len(lines) or not lines[-1].endswith("\n"):
            write_text(self._path, "".join(line.rstrip("\n") + "\n" for line in whole))


def read_header(folder: Path) -> dict[str, Any] | None:
    """What a learning curve in a folder was begun with; None where there is none."""
    try:
        with (folder / FILE).open(encoding="utf-8") as file:
            values = json.loads(file.readline())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def fingerprint(method: Method) -> str:
    """A hash of a method and its hyperparameters."""
    described = json.dumps([method.name, hyperparameters(method)], default=str, sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()[:16]


def _line(values: Mapping[str, Any]) -> str:
    return json.dumps(finite(values), ensure_ascii=False, allow_nan=False) + "\n"


def _fit(values: Mapping[str, Any]) -> Fit:
    return Fit(
        str(values["rung"]),
        int(values["rows"]),
        _number(values["score"]),
        tuple(map(_number, values["replicates"])),
        float(values["seconds"]),
    )


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


RESAMPLES: Final = 1000
_DIGITS: Final = 6


@dataclass(frozen=True)
class Task:
    """One training that is to be done.

    Attributes:
        rung: name of the rung.
        method: how it learns.
        training: size and seed.
    """

    rung: str
    method: Method
    training: Training

    def __str__(self) -> str:
        return f"{self.rung} on {self.training.labels:,} rows, seed {self.training.seed}"


@dataclass(frozen=True)
class Growing:
    """What is to be trained.

    Attributes:
        recipe: the rungs, metric, seed and device.
        splits: the frozen rows; those of test are not looked at.
        sizes: labels of each share, rising.
        trainings: how many times each rung learns from each size.
        listener: who hears of progress.
    """

    recipe: Recipe
    splits: Splits
    sizes: tuple[int, ...]
    trainings: int
    listener: Listener

    def fits(self, ledger: Ledger, folder: Path) -> dict[str, list[list[Fit]]]:
        """For each rung a list of its trainings for each size; those in the ledger are taken.

        Args:
            ledger: where each training is kept as soon as it is done.
            folder: where that is, for messages.

        Raises:
            RunError: a training failed; the message says how to go on.
            KeyboardInterrupt: it was stopped; the message says how to go on.
        """
        tasks = list(self._tasks())
        known = sum(ledger.get(task.training) is not None for task in tasks)
        if known:
            self.listener.say(f"{known} of {len(tasks)} trainings were done before")
        clock = _Clock(tasks, ledger)
        shares: dict[int, NestedShares] = {}
        for task in tasks:
            if ledger.get(task.training) is None:
                seed = task.training.seed
                shares[seed] = shares.get(seed) or NestedShares.of(self.splits.train, seed)
                share = shares[seed].share(task.training.labels)
                try:
                    fit = self._fit(task, share, clock)
                except (FinetextError, KeyboardInterrupt) as error:
                    raise _told(error, task, clock, folder) from error
                ledger.add(task.training, fit)
                self.listener.say(
                    f"{task}: {self._title} {fit.score:.3f} in {duration(fit.seconds)} "
                    f"({clock.after(task, fit)})"
                )
        return self._table(tasks, ledger)

    def _tasks(self) -> Iterator[Task]:
        """All trainings, the cheap ones first."""
        methods = {name: (of, fingerprint(of)) for name, of in self.recipe.methods.items()}
        for size in self.sizes:
            for number in range(self.trainings):
                seed = (self.recipe.seed + number) % (LARGEST_SEED + 1)
                for name, (method, mark) in methods.items():
                    yield Task(name, method, Training(mark, size, seed))

    def _table(self, tasks: list[Task], ledger: Ledger) -> dict[str, list[list[Fit]]]:
        table: dict[str, dict[int, list[Fit]]] = {
            name: {size: [] for size in self.sizes} for name in self.recipe.methods
        }
        for task in tasks:
            fit = ledger.get(task.training)
            assert fit is not None
            table[task.rung][task.training.labels].append(fit)
        return {name: list(of.values()) for name, of in table.items()}

    @property
    def _title(self) -> str:
        return metric_for(self.recipe.metric, self.splits.scheme).title

    def _fit(self, task: Task, share: Dataset, clock: _Clock) -> Fit:
        """Train, calibrate and measure."""
        recipe, hears = self.recipe, self.listener
        prefix = f"{clock.place} {task.rung} on {task.training.labels:,} rows"

        def progress(event: ProgressEvent) -> None:
            hears.progress(replace(event, stage=f"{prefix}: {event.stage}"))

        context = FitContext(
            seed=task.training.seed, device=recipe.device, metric=recipe.metric,
            cache=cache_folder(), progress=progress,
            find=lambda finding: hears.finding(
                replace(finding, message=f"{task}: {finding.message}")
            ),
        )  # fmt: skip
        hears.progress(ProgressEvent(prefix, 0, 1))
        started = time.perf_counter()
        classifier = task.method.fit(share, self.splits.validation, context)
        seconds = time.perf_counter() - started
        predictions = calibrated(classifier, self.splits.validation, recipe.decide)[1]
        metric = metric_for(recipe.metric, self.splits.scheme)
        drawn = metric.replicates(predictions, resample(predictions, RESAMPLES, recipe.seed))
        replicates = tuple(round(value, _DIGITS) for value in drawn.tolist())
        return Fit(task.rung, len(share), metric(predictions), replicates, round(seconds, 3))


@dataclass
class _Clock:
    """How far the trainings have come, and how long the rest will take.

    A rung is taken to need as long for each row as it did in the training just before.
    """

    tasks: list[Task]
    ledger: Ledger
    pace: dict[str, float] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """How many trainings are done."""
        return sum(self.ledger.get(task.training) is not None for task in self.tasks)

    @property
    def place(self) -> str:
        """Which training this is."""
        return f"{self.done + 1} of {len(self.tasks)}"

    def after(self, task: Task, fit: Fit) -> str:
        """Where things stand after a training."""
        self.pace[task.rung] = fit.seconds / task.training.labels
        left = [other for other in self.tasks if self.ledger.get(other.training) is None]
        told = f"{self.done} of {len(self.tasks)}"
        if not left or any(other.rung not in self.pace for other in left):
            return told
        seconds = sum(self.pace[other.rung] * other.training.labels for other in left)
        return f"{told}, about {duration(seconds)} to go"


def _told(error: BaseException, task: Task, clock: _Clock, folder: Path) -> BaseException:
    """The same error with a message that says what is kept and how to go on."""
    kept = (
        f"{clock.done} of {len(clock.tasks)} trainings are kept in {folder}; the same command with "
        "--resume goes on"
    )
    if isinstance(error, KeyboardInterrupt):
        return KeyboardInterrupt(f"{task} was stopped. {kept}")
    return RunError(f"{task} failed: {error}. {kept}")


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
    (see `finetext.diagnosis.forecast`) says what up to four times the labels would bring. The
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
