"""The trainings of a learning curve: which there are, their results, and the log of those done."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.core.contracts import FitContext, Listener, Method, ProgressEvent, hyperparameters
from finetext.core.environment import cache_folder
from finetext.core.errors import FinetextError, RunError
from finetext.core.settings import LARGEST_SEED
from finetext.core.types import Dataset, Predictions, Splits
from finetext.core.wording import duration
from finetext.diagnosis.curve import NestedShares
from finetext.diagnosis.curve_series import Fit, Training
from finetext.evaluation.calibration import calibrated, joined
from finetext.evaluation.fold_scores import FoldPredictions
from finetext.evaluation.intervals import resample
from finetext.evaluation.metrics import metric_for
from finetext.runs.cross_validation import FoldPlan
from finetext.runs.fold_fits import fit_repeat
from finetext.runs.jobs import Jobs
from finetext.runs.recipe import Recipe
from finetext.storage.locks import CURVE_LOG
from finetext.storage.resume import HOW_TO_RESUME, ResumeLog
from finetext.training.plan import ADDED_LATER

FORMAT_VERSION: Final = 1
_NONE_AT_FIRST: Final = frozenset({"best_by", "stages"})
"""Hyperparameters that earlier logs do not have, and that are None by default."""
RESAMPLES: Final = 1000
_DIGITS: Final = 6
_RESULTS: Final = ("rung", "rows", "score", "replicates", "seconds", "folds")
"""The keys of a result in the log, in the order of the fields of `Fit`; folds only if any."""


class FitLog:
    """The finished trainings of a learning curve, each on the disk as soon as it is done."""

    def __init__(self, folder: Path, header: Mapping[str, Any]) -> None:
        """Read the log in a folder, or begin it; raises as `ResumeLog`."""
        self.folder = folder
        header = {"format_version": FORMAT_VERSION, **header}
        self._log = ResumeLog(folder / CURVE_LOG, header, f"the learning curve in {folder}")
        self._fits: dict[Training, Fit] = {}
        for step in self._log.steps:
            with suppress(ValueError, KeyError, TypeError):
                training = Training(step["method"], step["labels"], step["seed"])
                rows, seconds = int(step["rows"]), float(step["seconds"])
                score, *replicates = map(_number, (step["score"], *step["replicates"]))
                folds = tuple(map(_number, step.get("folds", ())))
                fit = Fit(str(step["rung"]), rows, score, tuple(replicates), seconds, folds)
                self._fits[training] = fit

    def get(self, training: Training) -> Fit | None:
        """Return the result of a training, or None if it is still to be done."""
        return self._fits.get(training)

    def add(self, training: Training, fit: Fit) -> None:
        """Keep the result of a training; raises a RunError."""
        values = dict(zip(_RESULTS, astuple(fit), strict=True))
        if not fit.folds:
            values.pop("folds")
        self._log.add(asdict(training) | values)
        self._fits[training] = fit


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def fingerprint(method: Method) -> str:
    """Return a hash of a method and its hyperparameters."""
    values = {
        name: value
        for name, value in hyperparameters(method).items()
        if value not in ADDED_LATER.get(name, ()) and (name not in _NONE_AT_FIRST or value)
    }
    described = json.dumps([method.name, values], default=str, sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Task:
    """One training: a method by its name in the curve, the size of its share, and a seed."""

    name: str
    method: Method
    training: Training

    def __str__(self) -> str:
        return f"{self.name} on {self.training.labels:,} rows, seed {self.training.seed}"


@dataclass(frozen=True)
class Growing:
    """What is to be trained; with `folds`, each training is a repeat of cross-validation."""

    recipe: Recipe
    splits: Splits
    sizes: tuple[int, ...]
    trainings: int
    listener: Listener
    folds: FoldPlan | None = None

    def fits(self, log: FitLog, jobs: Jobs) -> dict[str, list[list[Fit]]]:
        """Return the results of each method for each size; what the log has is not done again.

        Methods that ask an endpoint come after the others.
        """
        tasks = list(self._tasks())
        clock = _Clock(tasks, log, jobs.count)
        title = metric_for(self.recipe.metric, self.splits.scheme).title
        if clock.done:
            self.listener.say(f"{clock.done} of {len(tasks)} trainings were done before")
        waiting = [task for task in tasks if log.get(task.training) is None]
        waiting.sort(key=lambda task: task.method.pays_per_text)
        trainings = list(self._trainings(waiting, len(tasks)))
        try:
            for of, fit in self._each(trainings, log, jobs):
                log.add(of.task.training, fit)
                self.listener.say(
                    f"{of.task}: {title} {fit.score:.3f} in {duration(fit.seconds)} "
                    f"({clock.after(of.task, fit)})"
                )
        except (FinetextError, KeyboardInterrupt) as error:
            task = next(task for task in waiting if log.get(task.training) is None)
            kept = (
                f"{clock.done} of {len(tasks)} trainings are kept in {log.folder}; {HOW_TO_RESUME}"
            )
            if isinstance(error, KeyboardInterrupt):
                raise KeyboardInterrupt(f"{task} was stopped. {kept}") from error
            raise RunError(f"{task} failed: {error}. {kept}") from error
        table: dict[str, dict[int, list[Fit]]] = {
            name: {size: [] for size in self.sizes} for name in self.recipe.methods
        }
        for task in tasks:
            done = log.get(task.training)
            assert done is not None
            table[task.name][task.training.labels].append(done)
        return {name: list(of.values()) for name, of in table.items()}

    def _trainings(self, waiting: Sequence[Task], total: int) -> Iterator[_Training]:
        """Yield what is still to be done, with the rows to learn from."""
        unheard, shares = replace(self, listener=Listener()), dict[int, NestedShares]()
        for number, task in enumerate(waiting, start=total - len(waiting) + 1):
            seed, share = task.training.seed, None
            if self.folds is None:
                shares[seed] = shares.get(seed) or NestedShares.of(self.splits.train, seed)
                share = shares[seed].share(task.training.labels)
            yield _Training(unheard, task, f"{number} of {total}", share)

    def _each(
        self, trainings: Sequence[_Training], log: FitLog, jobs: Jobs
    ) -> Iterator[tuple[_Training, Fit]]:
        """Yield each training with its result; those that ask an endpoint are for this process."""
        yield from jobs.each(_train, [of for of in trainings if not of.task.method.pays_per_text])
        for of in trainings:
            if of.task.method.pays_per_text:
                first = replace(of.task.training, labels=min(self.sizes), seed=self.recipe.seed)
                if (asked := log.get(first)) is None:
                    yield of, _train(of, self.listener)
                else:  # the answers were paid for with the first share
                    yield of, replace(asked, rows=of.rows)

    def _tasks(self) -> Iterator[Task]:
        """Yield all trainings, the cheap ones first."""
        methods = {name: (of, fingerprint(of)) for name, of in self.recipe.methods.items()}
        for size in self.sizes:
            for number in range(self.trainings):
                seed = (self.recipe.seed + number) % (LARGEST_SEED + 1)
                for name, (method, mark) in methods.items():
                    yield Task(name, method, Training(mark, size, seed))

    def fit(self, task: Task, share: Dataset, place: str) -> Fit:
        """Train, calibrate and measure on validation rows."""
        context, validation = self._context(task, place), self.splits.validation
        started = time.perf_counter()
        classifier = task.method.fit(share, validation, context)
        seconds = time.perf_counter() - started
        decide, learns = self.recipe.decide, task.method.learns
        predictions = calibrated(classifier, validation, decide, learns=learns)[1]
        score = metric_for(self.recipe.metric, self.splits.scheme)(predictions)
        replicates = self._replicates(predictions)
        return Fit(task.name, len(share), score, replicates, round(seconds, 3))

    def fit_folds(self, task: Task, plan: FoldPlan, place: str) -> Fit:
        """Train on a share of the rows outside each fold, and measure on all rows."""
        context, size = self._context(task, place), task.training.labels
        plan = replace(plan, share=size)
        repeat = (task.training.seed - self.recipe.seed) % (LARGEST_SEED + 1)
        started = time.perf_counter()
        folds, findings = fit_repeat(
            f"{place} {task.name} on {size:,} rows", task.method, plan, repeat, context,
            self.recipe.decide,
        )  # fmt: skip
        seconds = time.perf_counter() - started
        for finding in findings:
            context.find(finding)
        found, metric = FoldPredictions((folds,)), self.recipe.metric
        score, each = float(found.estimate(metric).value), found.by_fold(metric)[0]
        order = np.argsort(np.concatenate(plan.held[repeat % len(plan.held)]))
        replicates = self._replicates(joined(folds).select(order))
        adds = tuple(round(value, _DIGITS) for value in each.tolist())
        return Fit(task.name, size, score, replicates, round(seconds, 3), adds)

    def _context(self, task: Task, place: str) -> FitContext:
        """Return the context of a training, whose progress and findings name it."""
        recipe, hears = self.recipe, self.listener
        prefix = f"{place} {task.name} on {task.training.labels:,} rows"
        hears.progress(ProgressEvent(prefix, 0, 1))

        def progress(of: ProgressEvent) -> None:
            told = of.stage if of.stage.startswith(prefix) else f"{prefix}: {of.stage}"
            hears.progress(replace(of, stage=told))

        return FitContext(
            seed=task.training.seed, device=recipe.device, metric=recipe.metric,
            cache=cache_folder(), progress=progress,
            find=lambda of: hears.finding(replace(of, message=f"{task}: {of.message}")),
            shared=None if self.folds is None else self.folds.shared,
        )  # fmt: skip

    def _replicates(self, predictions: Predictions) -> tuple[float, ...]:
        """Return the metric on resamples of the rows, the same for all trainings."""
        metric = metric_for(self.recipe.metric, self.splits.scheme)
        drawn = metric.replicates(predictions, resample(predictions, RESAMPLES, self.recipe.seed))
        return tuple(round(value, _DIGITS) for value in drawn.tolist())


@dataclass(frozen=True, eq=False)
class _Training:
    """A training of a curve: its place among all, and its share; None if it is cross-validated."""

    growing: Growing
    task: Task
    place: str
    share: Dataset | None

    @property
    def rows(self) -> int:
        """The rows that it learns from."""
        return self.task.training.labels if self.share is None else len(self.share)


def _train(of: _Training, listener: Listener) -> Fit:
    growing = replace(of.growing, listener=listener)
    if of.share is not None:
        return growing.fit(of.task, of.share, of.place)
    assert growing.folds is not None
    return growing.fit_folds(of.task, growing.folds, of.place)


@dataclass
class _Clock:
    """How many trainings are done, and how long the others will take with so many jobs."""

    tasks: list[Task]
    log: FitLog
    jobs: int
    pace: dict[str, float] = field(default_factory=dict)

    @property
    def done(self) -> int:
        return sum(self.log.get(task.training) is not None for task in self.tasks)

    def after(self, task: Task, fit: Fit) -> str:
        """Return what to say after a training."""
        self.pace[task.name] = fit.seconds / task.training.labels
        left = [other for other in self.tasks if self.log.get(other.training) is None]
        told = f"{self.done} of {len(self.tasks)}"
        if not left or any(other.name not in self.pace for other in left):
            return told
        seconds = sum(self.pace[other.name] * other.training.labels for other in left)
        return f"{told}, about {duration(seconds / self.jobs)} to go"
