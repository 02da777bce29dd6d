"""What happens during training: counted, logged, shown."""

from __future__ import annotations

import json
import math
import time
from typing import Any, Final

from finetext.errors import ModelError
from finetext.methods.base import FitContext, ProgressEvent

SECONDS_BETWEEN_LINES: Final = 5.0
MEMORY: Final = 0.98


class Record:
    """Where training stands.

    `log.jsonl` gets a line every five seconds and one for each evaluation; the listener to
    progress hears of every step.
    """

    def __init__(self, name: str, plan: list[int], rows: int, context: FitContext) -> None:
        """Start at step 0.

        Args:
            name: what to call the training in messages.
            plan: steps of each epoch.
            rows: rows of one epoch.
            context: the log file and the listeners.
        """
        self.step = 0
        self._name = name
        self._plan = plan
        self._rows_in_all = rows * len(plan)
        self._context = context
        self._rows = 0
        self._loss = math.nan
        self._shown: dict[str, float] = {}
        self._start = self._last_line = time.monotonic()

    def count(self, rows: int, loss: float, learning_rate: float, gradient_norm: float) -> None:
        """Take one step into account.

        Args:
            rows: rows of the batch.
            loss: mean loss of the batch.
            learning_rate: rate after the step.
            gradient_norm: norm of the gradient before clipping.

        Raises:
            ModelError: the loss is infinite or not a number.
        """
        self.step += 1
        self._rows += rows
        if not math.isfinite(loss):
            raise ModelError(
                f"{self._name}: the training loss became {loss} at step {self.step} of "
                f"{sum(self._plan)}; try a lower learning rate, or precision fp32"
            )
        self._loss = loss if math.isnan(self._loss) else MEMORY * self._loss + (1 - MEMORY) * loss
        figures = {"loss": self._loss} | self._shown
        stage = f"{self._name}: epoch {self._epoch} of {len(self._plan)}"
        self._context.progress(ProgressEvent(stage, self._rows, self._rows_in_all, figures))
        now = time.monotonic()
        if now - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = now
            self._write(
                {
                    "step": self.step,
                    "loss": self._loss,
                    "learning_rate": learning_rate,
                    "gradient_norm": gradient_norm,
                    "rows_per_second": self._rows / (now - self._start),
                }
            )

    def evaluated(self, figures: dict[str, float]) -> None:
        """Log an evaluation and show its figures from now on."""
        self._shown = figures
        self._write({"step": self.step, "loss": self._loss, "evaluation": figures})

    def is_due(self, every: int | None) -> bool:
        """Whether to evaluate now: every so many steps or after each epoch; always at the end."""
        ends = [sum(self._plan[: epoch + 1]) for epoch in range(len(self._plan))]
        return self.step in ends[-1:] or (
            self.step in ends if every is None else self.step % every == 0
        )

    def stopped_early(self) -> None:
        """Say that patience ran out."""
        self._context.say(f"{self._name}: stopped early at step {self.step} of {sum(self._plan)}")

    @property
    def _epoch(self) -> int:
        """The number of the epoch that the last step belongs to, from 1."""
        ends = [sum(self._plan[: epoch + 1]) for epoch in range(len(self._plan))]
        return next(number for number, end in enumerate(ends, 1) if self.step <= end)

    def _write(self, line: dict[str, Any]) -> None:
        if self._context.log is not None:
            with self._context.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
