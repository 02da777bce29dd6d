"""The evaluations of a training as a table that displays itself, and its curves as a picture."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetext.core.display import html_text
from finetext.core.errors import RunError
from finetext.report.rendering import aligned
from finetext.training.plan import Plan

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class History(Sequence[Mapping[str, Any]]):
    """The evaluations of a training, one row each; it displays itself as a table.

    A row has `stage` and `epoch` (from 1), `step`, `training loss` (a running mean), and the
    figures on validation rows by name.
    """

    rows: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of(cls, lines: Sequence[Mapping[str, Any]], plan: Plan) -> History:
        """Return the evaluations in the lines of a log; the later line of a step counts."""
        ends = list(accumulate(len(epoch) for epoch in plan.batches))
        evaluations: dict[int, Mapping[str, Any]] = {}
        for line in lines:
            step = int(line["step"])
            evaluations = {at: of for at, of in evaluations.items() if at <= step}
            if "evaluation" in line:
                evaluations[step] = line
        return cls(
            tuple(
                {
                    "stage": plan.stage_of(step - 1) + 1,
                    "epoch": bisect_left(ends, step) + 1,
                    "step": step,
                    "training loss": line["loss"],
                    **line["evaluation"],
                }
                for step, line in sorted(evaluations.items())
            )
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    @property
    def _cells(self) -> list[list[str]]:
        """The cells as text, the names first."""
        names = list(self.rows[-1]) if self.rows else ["nothing is evaluated yet"]

        def cell(value: Any) -> str:
            if value is None:
                return ""
            return f"{value:.4f}" if isinstance(value, float) else f"{value:,}"

        return [names, *([cell(row.get(name)) for name in names] for row in self.rows)]

    def __repr__(self) -> str:
        return "\n".join(aligned(self._cells, left=0))

    def _repr_html_(self) -> str:
        lines = [
            f"<tr>{''.join(f'<{tag}>{html_text(cell)}</{tag}>' for cell in row)}</tr>"
            for tag, row in zip(["th", *["td"] * len(self.rows)], self._cells, strict=True)
        ]
        return f"<table>{''.join(lines)}</table>"


def plot_history(
    lines: Sequence[Mapping[str, Any]], plan: Plan, out: str | Path | None = None
) -> Figure:
    """Return the curves in the lines of a log, with dotted lines where stages begin.

    Raises:
        RunError: no step was made yet.
        DataError: `out` cannot be written, or ends in neither .png nor .svg.
    """
    from finetext.report.curves import curves_of
    from finetext.report.plots import LIGHT_INK, LIGHT_SERIES, picture

    curves = curves_of(plan.name, lines)
    if curves is None:
        raise RunError("there is nothing to draw: no step was made; train a stage with fit_stage")
    steps = range(1, len(plan.steps))
    starts = [step for step in steps if plan.is_first_of_stage(step)]
    curves = replace(curves, events=[(step, "") for step in starts])

    def draw(figure: Figure) -> None:
        curves.draw(figure, LIGHT_INK, LIGHT_SERIES)
        for panel in figure.axes[: len(curves.panels)]:
            for number, step in enumerate(starts, 2):
                panel.annotate(
                    str(number), (step, 1), (2, -1), xycoords=panel.get_xaxis_transform(),
                    textcoords="offset points", va="top", fontsize=8,
                )  # fmt: skip
        if starts:
            figure.supxlabel("dotted lines mark where a stage begins", fontsize=8)

    return picture(draw, curves.inches, out)
