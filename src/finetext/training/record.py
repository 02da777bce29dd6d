"""The record of a training: steps counted, logged, tracked and shown."""

from __future__ import annotations

import json
import math
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

from finetext.core.arrays import finite
from finetext.core.contracts import FitContext, ProgressEvent
from finetext.core.errors import MissingExtraError, RecipeError, RunError, UnknownNameError
from finetext.core.installation import package_command
from finetext.storage.files import append_text
from finetext.training.launch import refuse_launchers
from finetext.training.plan import Stage
from finetext.training.precision import choose_device

TRACKERS: Final = (
    "tensorboard", "wandb", "trackio", "comet_ml", "aim", "mlflow", "clearml", "dvclive",
    "swanlab",
)  # fmt: skip
"""The trackers that accelerate knows, each the name of the module that it needs."""
SECONDS_BETWEEN_LINES: Final = 5.0
LINES: Final = 200
MEMORY: Final = 0.98
"""Share of the running mean loss in the next one."""
SAVED: Final = {
    "step": "step", "evaluated_at": "evaluated_at", "collapse": "collapse", "is_lost": "is_lost",
    "rows": "_rows", "loss": "_loss", "shown": "_shown",
}  # fmt: skip
"""Attributes of a record by their name in a checkpoint."""


def check_names(trackers: Iterable[str]) -> None:
    """Raise an UnknownNameError for a tracker that does not exist, a RecipeError for a text."""
    if isinstance(trackers, str):
        raise RecipeError(f"track = {trackers!r}: give a list of names: [{trackers!r}]")
    for name in trackers:
        if name not in TRACKERS:
            raise UnknownNameError("tracker", name, TRACKERS)


def check_installed(trackers: Iterable[str]) -> None:
    """Raise an error for a tracker whose package is missing, before any work is done."""
    for name in trackers:
        if find_spec(name) is not None:
            continue
        if name == "tensorboard":
            raise MissingExtraError("tracking with TensorBoard", name, "tensorboard")
        raise RecipeError(
            f"tracking with {name} needs its package, which is not installed; "
            f"run: {package_command(name.replace('_', '-'))}"
        )


def tracked(context: FitContext, folder: Path, trackers: tuple[str, ...]) -> FitContext:
    """Return a context whose trackers, if there are any, and log write in a folder.

    Raises a RunError if the folder cannot be made.
    """
    if not trackers:
        return context
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder} cannot be written: {error}") from None
    return replace(context, log=folder / "log.jsonl", trackers=trackers)


class Record:
    """Where a training stands, and its log: a line at least every 5 seconds, and for each event.

    `lines` are those logged in this process, as dictionaries.
    """

    def __init__(
        self,
        name: str,
        steps: Sequence[int],
        total_rows: int,
        context: FitContext,
        track: Callable[[Mapping[str, float], int], None] = lambda values, step: None,
    ) -> None:
        """Start at step 0."""
        self.step = 0
        self.evaluated_at = 0
        self.collapse, self.is_lost = "", False
        self.lines: list[dict[str, Any]] = []
        self._reported_failure = False
        self._name = name
        self.set_plan(steps, total_rows)
        self._context = context
        self._track = track
        self._rows = 0
        self._loss = math.nan
        self._norm = 0.0
        self._shown: dict[str, float] = {}
        self._rows_since_line, self._seconds_since_line = 0, 0.0
        self._last_line = self._last_step = time.monotonic()

    def set_plan(self, steps: Sequence[int], total_rows: int) -> None:
        """Set the steps of each epoch, and the rows of all."""
        self._ends, self._total_rows = list(accumulate(steps)), total_rows

    @property
    def steps(self) -> int:
        """Steps of all epochs."""
        return self._ends[-1]

    def count(self, rows: int, loss: float, rates: Sequence[float], gradient_norm: float) -> None:
        """Record one step."""
        self.step += 1
        self._rows += rows
        self._norm = gradient_norm
        self._loss = loss if math.isnan(self._loss) else MEMORY * self._loss + (1 - MEMORY) * loss
        figures = {"loss": self._loss} | self._shown
        stage = f"{self._name}: {self._epoch}"
        self._context.progress(ProgressEvent(stage, self._rows, self._total_rows, figures))
        now = time.monotonic()
        self._rows_since_line += rows
        self._seconds_since_line += now - self._last_step
        self._last_step = now
        is_on_grid = self.step % max(1, self.steps // LINES) == 0
        if now - self._last_line >= SECONDS_BETWEEN_LINES or is_on_grid:
            self._last_line = now
            speed = self._rows_since_line / max(self._seconds_since_line, 1e-9)
            self._rows_since_line, self._seconds_since_line = 0, 0.0
            line = {"loss": self._loss, "gradient_norm": gradient_norm, "rows_per_second": speed}
            self._write(line | {"learning_rate": list(rates)})
            named = {f"learning_rate/{group}": rate for group, rate in enumerate(rates)}
            self._track(line | named, self.step)

    def evaluated(
        self, figures: Mapping[str, float], collapse: str = "", was_better: bool = False
    ) -> None:
        """Log and say an evaluation, and show its figures from now on.

        `collapse` is that of `Evaluation`, `was_better` whether an earlier score is clearly higher.
        """
        self.evaluated_at, self.collapse = self.step, collapse
        self.is_lost = bool(collapse) and was_better
        self._shown = dict(figures)
        self._write({"loss": self._loss, "evaluation": dict(figures)})
        self._track(dict(figures), self.step)
        shown = ", ".join(
            f"{name} {value:,.3f}"
            for name, value in {"training loss": self._loss, **figures}.items()
        )
        step = f"step {self.step:,} of {self.steps:,}"
        self._context.say(f"{self._name}: {self._epoch}, {step}: {shown}")
        self._last_step = time.monotonic()

    @property
    def _epoch(self) -> str:
        return f"epoch {bisect_left(self._ends, self.step) + 1} of {len(self._ends)}"

    def log(self, event: str) -> None:
        """Log an event."""
        self._write({"event": event})

    def event(self, event: str) -> None:
        """Log an event, such as that training was resumed, and say it."""
        self.log(event)
        self._context.say(f"{self._name}: {event}")

    def is_due(self, every: int | None) -> bool:
        """Return whether to evaluate now: every so many steps or after each epoch, and at the end.

        At step 0 and where it was just done, it is not due.
        """
        if self.step in (0, self.evaluated_at):
            return False
        if every is None or self.step == self.steps:
            return self.step in self._ends
        return self.step % every == 0

    @property
    def is_sound(self) -> bool:
        """Whether the losses so far and the last gradient were finite."""
        return math.isfinite(self._loss) and math.isfinite(self._norm)

    def go_back(self, step: int, rows: int) -> None:
        """Go to the state after `step` steps and `rows` rows, whose evaluation is done."""
        self.step = self.evaluated_at = step
        self.collapse, self.is_lost = "", False
        self._rows, self._loss = rows, math.nan
        self._restart_clock()

    def go_to_end(self) -> None:
        """Skip the steps that are left, as after stopping early."""
        if self.step < self.steps:
            self.go_back(self.steps, self._total_rows)

    def state(self) -> dict[str, Any]:
        """Return what `load_state` needs, as JSON values."""
        return {name: getattr(self, attribute) for name, attribute in SAVED.items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned."""
        for name, attribute in SAVED.items():
            if name in state:  # earlier versions lack some
                setattr(self, attribute, state[name])
        self._last_line = time.monotonic()
        self._restart_clock()

    def _restart_clock(self) -> None:
        """Measure the speed from now on, without the time of evaluations."""
        self._rows_since_line, self._seconds_since_line = 0, 0.0
        self._last_step = time.monotonic()

    def _write(self, line: Mapping[str, Any]) -> None:
        kept: dict[str, Any] = finite({"step": self.step, **line})
        self.lines.append(kept)
        if self._context.log is None:
            return
        try:
            text = json.dumps(kept, allow_nan=False)
            append_text(self._context.log, f"{text}\n", lasting=False)
        except OSError as error:
            if not self._reported_failure:
                self._context.say(f"{self._context.log} cannot be written: {error}")
            self._reported_failure = True


def summary(method: str, encoder: str, model: Any, max_length: int, stages: Sequence[Stage]) -> str:
    """Return one line on the model that is about to be trained."""
    sizes = [(p.numel(), p.requires_grad, p.element_size()) for p in model.parameters()]
    total = sum(count for count, _, _ in sizes)
    trainable = sum(count for count, needs_gradient, _ in sizes if needs_gradient)
    megabytes = sum(count * width for count, _, width in sizes) / 1e6
    epochs = sum(stage.epochs for stage in stages)
    rates = ", ".join(stage.rate_in_words for stage in stages)
    return (
        f"{method}: {encoder} ({type(model).__name__}), {total / 1e6:.1f} M parameters, "
        f"{trainable / 1e6:.1f} M trainable, {megabytes:.0f} MB; up to {max_length} tokens, "
        f"{epochs} epoch{'' if epochs == 1 else 's'}, learning rate {rates}, "
        f"{model.device.type}"
    )


def make_accelerator(context: FitContext) -> Any:
    """Return an `Accelerator` with the device and the trackers of one training.

    Raises:
        RecipeError: this is one of several processes that do not train together.
    """
    import torch
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    refuse_launchers()
    # The device belongs to one training, not to the whole process.
    AcceleratorState._reset_state(reset_partial_state=True)
    device = choose_device(context.device)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    options: dict[str, Any] = {}
    if context.log is not None and context.trackers:
        options = {"log_with": list(context.trackers), "project_dir": context.log.parent}
    accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="no", **options)
    if options:
        accelerator.init_trackers("tracked")
    return accelerator


def end_trackers(accelerator: Any) -> None:
    """Let trackers write the rest; `end_training` would part processes that train together."""
    for tracker in accelerator.trackers:
        tracker.finish()
