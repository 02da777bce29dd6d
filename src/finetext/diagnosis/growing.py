"""The trainings behind a learning curve: each rung on each share, with each seed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from finetext.diagnosis.ledger import Fit, Ledger, Training, fingerprint
from finetext.diagnosis.shares import NestedShares
from finetext.environment import cache_folder
from finetext.errors import FinetextError, RunError
from finetext.evaluation.metrics import metric_for
from finetext.evaluation.resampling import resample
from finetext.methods.base import FitContext, Method, ProgressEvent
from finetext.methods.calibrate import calibrated
from finetext.pipeline import Listener
from finetext.recipe import LARGEST_SEED, Recipe
from finetext.report.figures import duration
from finetext.types import Dataset, Splits

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
