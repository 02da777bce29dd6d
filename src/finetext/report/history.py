"""The evaluations of a training as a table that displays itself."""

from __future__ import annotations

import html
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from finetext.report.rendering import aligned
from finetext.training.plan import Plan


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
            f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in row)}</tr>"
            for tag, row in zip(["th", *["td"] * len(self.rows)], self._cells, strict=True)
        ]
        return f"<table>{''.join(lines)}</table>"
