"""The leaderboard of a run as its JSON files hold it, and the spread of scores over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from finetext.core.arrays import Number
from finetext.core.display import html_table
from finetext.core.registry import load
from finetext.core.types import Score
from finetext.evaluation.compare import Comparison
from finetext.evaluation.estimates import SIGNIFICANT
from finetext.evaluation.intervals import Scores, ScoresBySplit
from finetext.evaluation.out_of_scope import ScopeScores
from finetext.storage.codec import Jsonable, from_json, to_json

if TYPE_CHECKING:
    from pandas import DataFrame

_SHOWN: Final = ("macro_f1", "binary_f1", "accuracy", "subset_accuracy")


@dataclass(frozen=True)
class SeedScores(Jsonable):
    """Scores of a method with one seed: "validation" and "test" to metric name to value."""

    seed: int
    metrics: Mapping[str, Mapping[str, Number]]
    seconds_to_train: float


@dataclass(frozen=True)
class TextsRead:
    """How much of some texts a model reads.

    Attributes:
        texts: number of texts.
        longer: how many of them are longer than the model takes, so that it reads a part.
        share: share of the tokens of a text that it reads, the mean over all texts.
    """

    texts: int
    longer: int
    share: float

    def words(self, noun: str = "text") -> str:
        """Return it as a predicate: "reads 41% of a test text on average; 1,204 of 2,000 ..."."""
        if not self.longer:
            return f"reads every {noun} whole"
        # Rounded down, so that less than all is never called 100%.
        share = math.floor(1000 * self.share) / 10
        return (
            f"reads {share:.1f}% of a {noun} on average; {self.longer:,} of {self.texts:,} are "
            "longer than it takes"
        )


@dataclass(frozen=True)
class Asked(Jsonable):
    """What an endpoint was asked for the scores of a method.

    Attributes:
        url: its address.
        model: the name of the model there.
        texts: validation and test texts that were sent, each with its examples.
        invalid: how many of them had an answer that is no label, or were refused.
        sent: tokens that were sent.
        received: tokens of the answers.
        cost: what they cost, by the prices of the recipe; None without prices.
        rows: number of validation and test rows of the run; the budget may have left some out.
        budget: the budget in words.
    """

    url: str
    model: str
    texts: int
    invalid: int
    sent: int
    received: int
    cost: float | None
    rows: Mapping[str, int]
    budget: str

    def for_thousand(self) -> str:
        """Return what 1,000 texts cost, or how many tokens they take."""
        each = 1_000 / max(1, self.texts)
        if self.cost is not None:
            return f"{each * self.cost:.3g} in your currency"
        return f"{round(each * (self.sent + self.received)):,} tokens"


@dataclass(frozen=True)
class LeaderboardEntry(Jsonable):
    """Scores and cost of one method.

    Attributes:
        metrics: "validation" and "test" to metric name to score, as in
            `metrics["test"]["macro_f1"]`. Another name raises an UnknownNameError.
        seconds_to_train: wall time of fitting, over all attempts if it was resumed.
        rows_per_second: throughput on the test rows.
        bytes: size of `model`, the model folder, relative to the run folder.
        seeds: scores with each seed, the first included, if there were several.
        learned_from: rows that the model learned from; None in runs of earlier versions.
        chosen_on: rows that chose its checkpoint, without which it is not trained.
        reading: how much of the test texts it reads, of all texts in a cross-validated run; None
            for methods without an encoder, and in runs of earlier versions.
        asked: what an endpoint was asked; None for methods that compute by themselves.
        scope: what it makes of texts in scope and out of it; None without a rule for these.
    """

    method: str
    metrics: Mapping[str, Mapping[str, Score]]
    seconds_to_train: float
    rows_per_second: float
    bytes: int
    model: str
    seeds: tuple[SeedScores, ...] = ()
    learned_from: int | None = None
    chosen_on: int = 0
    reading: TextsRead | None = None
    asked: Asked | None = None
    scope: ScopeScores | None = None

    def __post_init__(self) -> None:
        metrics = ScoresBySplit((part, Scores(of)) for part, of in self.metrics.items())
        object.__setattr__(self, "metrics", metrics)

    @property
    def sampled(self) -> dict[str, tuple[int, int]]:
        """Return split to rows scored and rows in all, where a sample of them was scored."""
        if self.asked is None:
            return {}
        scored = {part: max((of.n for of in its.values()), default=0)
                  for part, its in self.metrics.items()}  # fmt: skip
        every = self.asked.rows
        return {part: (n, every[part]) for part, n in scored.items() if n < every.get(part, n)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LeaderboardEntry:
        """Return the inverse of `to_json`; raises a RunError if a value is missing or wrong."""
        return from_json(cls, values, "an entry of leaderboard.json")


class Leaderboard(tuple[LeaderboardEntry, ...]):
    """A tuple of entries that shows itself as a short table in a notebook and with `print`."""

    __slots__ = ()

    def __repr__(self) -> str:
        columns, rows = self._cells()
        cells = [columns, *rows]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in cells
        )

    def _repr_html_(self) -> str:
        return self.html(f"{len(self)} methods")

    def html(self, caption: str) -> str:
        """Return the table for a notebook."""
        return html_table(caption, *self._cells())

    def to_pandas(self, metric: str, best: str, recommended: str) -> DataFrame:
        """See `Run.to_pandas`."""
        import pandas as pd

        rows = []
        for of in self:
            name = of.method
            row = {"method": name, "best": name == best, "recommended": name == recommended}
            for each, score in of.metrics["test"].items():
                row |= {each: score.value, f"{each}_low": score.low, f"{each}_high": score.high}
            if chosen := of.metrics.get("validation", {}).get(metric):
                row[f"validation_{metric}"] = chosen.value
            names = ("seconds_to_train", "rows_per_second", "bytes")
            rows.append(row | {each: getattr(of, each) for each in names})
        return pd.DataFrame(rows)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        entries = handler.generate_schema(tuple[LeaderboardEntry, ...])
        return core_schema.no_info_after_validator_function(cls, entries)

    def _cells(self) -> tuple[list[str], list[list[str]]]:
        names = [name for name in _SHOWN if any(name in of.metrics["test"] for of in self)]
        titles = [load("metrics", name).title for name in names]
        rows = [
            [
                of.method,
                *(str(of.metrics["test"].get(name, "-")) for name in names),
                f"{of.seconds_to_train:.1f}",
                f"{of.bytes / 1e6:.1f}",
            ]
            for of in self
        ]
        return ["method", *titles, "seconds to train", "MB"], rows


@dataclass(frozen=True)
class Flip:
    """How often two methods change places from seed to seed."""

    ahead: str
    behind: str
    share: float


def over_seeds(
    entry: LeaderboardEntry, metric: str, part: str = "test"
) -> tuple[float, float] | None:
    """Return mean and standard deviation over seeds; None for fewer than two seeds."""
    values = [of.metrics[part][metric] for of in entry.seeds]
    return (fmean(values), stdev(values)) if len(values) > 1 else None


def flips(entries: Sequence[LeaderboardEntry], metric: str, higher_is_better: bool) -> list[Flip]:
    """Return pairs of methods whose order on test rows depends on the seed, most often first."""
    found = []
    for one, other in combinations([entry for entry in entries if len(entry.seeds) > 1], 2):
        a, b = (np.array([of.metrics["test"][metric] for of in e.seeds]) for e in (one, other))
        ahead, behind = (one, other) if (a.mean() >= b.mean()) == higher_is_better else (other, one)
        first, second = (a, b) if ahead is one else (b, a)
        lead = (first[:, None] - second) * (1 if higher_is_better else -1)
        share = float((lead < 0).mean() + (lead == 0).mean() / 2)
        if share > 0:
            found.append(Flip(ahead.method, behind.method, share))
    return sorted(found, key=lambda flip: -flip.share)


Kind = Literal["adapted", "pretrained"]
Outcome = Literal["paid", "no difference", "hurt"]
NOUNS: Final[Mapping[str, str]] = {"adapted": "adaptation", "pretrained": "pretraining"}


@dataclass(frozen=True)
class EncoderGain:
    """A method with an adapted or pretrained encoder, compared with its ablation baseline.

    `no_better_than` is "majority in balanced accuracy" if neither of the two is significantly
    better than that on the same rows; "" if one is, or if it was not compared.
    """

    method: str
    beside: str
    kind: Kind
    comparison: Comparison
    seconds: float
    seconds_beside: float
    seconds_before: float
    no_better_than: str = ""

    @property
    def extra_seconds(self) -> float:
        """The cost of the encoder: its own training, and how much longer the method took."""
        return self.seconds_before + self.seconds - self.seconds_beside

    @property
    def outcome(self) -> Outcome:
        """Better or worse with a two-sided p-value below 0.05, or neither."""
        value, p_value = self.comparison.difference.value, self.comparison.p_value
        if not p_value < SIGNIFICANT or not math.isfinite(value) or value == 0:
            return "no difference"
        higher_is_better = bool(load("metrics", self.comparison.metric).higher_is_better)
        return "paid" if (value > 0) == higher_is_better else "hurt"

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, with outcome and extra time."""
        values = dict(to_json(self))
        begin = {name: values.pop(name) for name in ("method", "beside", "kind")}
        return begin | {"outcome": self.outcome} | values | {"extra_seconds": self.extra_seconds}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> EncoderGain:
        """Return the inverse of `to_json`; raises a RunError if a value is missing or wrong."""
        return from_json(cls, values, "verdict.json: an encoder gain")
