"""A run as a notebook shows it: the verdict, the leaderboard, and what is behind both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from finetext.core.display import html_text
from finetext.core.types import Score
from finetext.core.wording import duration, number, p_value, part_in_words, rows_of, size
from finetext.evaluation.choice import Choice
from finetext.evaluation.compare import Comparison
from finetext.evaluation.leaderboard import EncoderGain, LeaderboardEntry
from finetext.report.leaderboard import (
    best_in_words,
    gain_sentence,
    learned_line,
    recommended_line,
    seeds_sentence,
)
from finetext.report.rendering import Cell, Table, metric_title, score, table_html
from finetext.report.verdict import Verdict

_UNKNOWN: Final = Score(float("nan"), float("nan"), float("nan"), 0)


@dataclass(frozen=True)
class ShownRun:
    """What a notebook shows of a run; `rows` are those of each split, `place` is its folder.

    The verdict is None where predictions cannot be read.
    """

    place: Path
    entries: Sequence[LeaderboardEntry]
    best: str
    recommended: str
    metric: str
    folds: int
    choice: Choice | None
    verdict: Verdict | None
    rows: Mapping[str, int] = field(default_factory=dict)
    gains: Sequence[EncoderGain] = ()
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)

    def html(self) -> str:
        """Return the verdict, the leaderboard and the sentences below it."""
        verdict = "" if self.verdict is None else self.verdict._repr_html_()
        said = "".join(f"<p>{html_text(line)}</p>" for line in self.sentences())
        return f"{verdict}{table_html(self.table())}{said}"

    def table(self) -> Table:
        """Return the leaderboard: scores, differences from the best, seconds and size."""
        title, part = metric_title(self.metric), part_in_words("test", self.folds)
        also = "accuracy" if self.metric != "accuracy" else "macro_f1"
        has_also = any(also in of.metrics["test"] for of in self.entries)
        header = ["", "method", *([] if self.folds else [f"{title}, validation"])]
        header += [f"{title}, {part} [95%]"]
        header += [f"{metric_title(also)}, {part} [95%]"] if has_also else []
        header += [f"less {self.best} [95%]", "p"] if self.comparisons else []
        rows = [self._cells(of, also if has_also else None) for of in self.entries]
        best = f"* {best_in_words(self.choice, self.folds)}: {self.best}"
        caption = f"{self.place}: {rows_of(part)}; {best}"
        return Table(caption, (*header, "time to train", "size"), rows)

    def _cells(self, of: LeaderboardEntry, also: str | None) -> list[Cell]:
        validation = of.metrics.get("validation", {}).get(self.metric, _UNKNOWN)
        on_test, compared = of.metrics["test"], self.comparisons.get(of.method)
        mark = "*" * (of.method == self.best) + "+" * (of.method == self.recommended)
        difference = [Cell(""), Cell("")]
        if compared is not None:
            difference = [score(compared.difference, "+.3f"), Cell(p_value(compared.p_value))]
        return [
            Cell(mark),
            Cell(of.method),
            *([] if self.folds else [Cell(number(validation.value))]),
            score(on_test.get(self.metric, _UNKNOWN)),
            *([] if also is None else [score(on_test.get(also, _UNKNOWN))]),
            *(difference if self.comparisons else []),
            Cell(duration(of.seconds_to_train)),
            Cell(size(of.bytes)),
        ]

    def sentences(self) -> list[str]:
        """Return what the marks mean, what the choice rests on, and the gain of encoders."""
        is_recommended = self.verdict is None or self.verdict.is_recommended
        is_better = self.verdict is None or self.verdict.is_better
        said = [recommended_line(self.choice, is_recommended)]
        said.append(learned_line(self.entries, self.folds, self.rows))
        if self.choice is not None:
            said += [*self.choice.words(is_better), self.choice.confirmation_words()]
            said += [seeds_sentence(self.choice.grounds)] if self.choice.candidates else []
        said += [gain_sentence(gain) for gain in self.gains]
        report = self.place / "report.html"
        return [line for line in [*said, f"report: {report}" if report.is_file() else ""] if line]
