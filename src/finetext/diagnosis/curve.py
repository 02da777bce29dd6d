"""What a learning curve says: scores on growing shares of the labels, and what more would bring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from finetext.errors import RunError
from finetext.evaluation.compare import Comparison
from finetext.finite import finite
from finetext.types import Score

Outlook = Literal["told", "perfect", "steepening", "too few"]
_MAY_BE_UNDEFINED = {"value", "low", "high", "p_value"}


@dataclass(frozen=True)
class Point:
    """How good a rung is when it has learnt from a share of the training rows.

    Attributes:
        labels: rows asked for.
        rows: rows there were, on average over the trainings; others where groups stay whole.
        score: mean over the trainings, with an interval for the chance in validation rows, in
            the choice of the share, and in training.
        scores: of each training.
        seconds: mean time to train.
    """

    labels: int
    rows: float
    score: Score
    scores: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class Law:
    """The power law score(n) = limit - gap * n ** -rate; `gap` is negative if lower is better.

    Attributes:
        limit: the score that is neared.
        gap: see above.
        rate: see above.
        labels_from: the smallest share that it was fitted on.
    """

    limit: float
    gap: float
    rate: float
    labels_from: int


@dataclass(frozen=True)
class Expectation:
    """What a rung is expected to reach with more labels.

    Attributes:
        times: how many times as many as now.
        labels: how many that is.
        score: the score expected, with its 95% interval.
        gain: what that is more than now, with its 95% interval.
        shown: whether the whole interval of the gain is on the side of the better.
    """

    times: float
    labels: int
    score: Score
    gain: Score
    shown: bool


@dataclass(frozen=True)
class Drawn:
    """A place of the fitted line, for the picture."""

    labels: float
    score: Score


@dataclass(frozen=True)
class RungCurve:
    """The learning curve of one rung.

    Attributes:
        method: its name.
        points: one a share, the smallest first.
        outlook: "told"; or why nothing is said of more labels: "perfect", no row is left to gain;
            "steepening", each doubling still brings more than the one before; "too few" sizes or
            trainings.
        law: the power law that fits best, or None.
        expected: at 1.5, 2 and 4 times the labels; none unless told.
        line: the law with its 95% interval, from the labels there are to four times as many.
    """

    method: str
    points: tuple[Point, ...]
    outlook: Outlook
    law: Law | None = None
    expected: tuple[Expectation, ...] = ()
    line: tuple[Drawn, ...] = ()


@dataclass(frozen=True)
class Choice:
    """Which rung is right with so many labels.

    Attributes:
        labels: how many.
        best: the rung with the best mean score.
        cheapest: the one that trains fastest among those not significantly worse.
        comparisons: rung to its difference from the best, paired over trainings and rows.
    """

    labels: int
    best: str
    cheapest: str
    comparisons: dict[str, Comparison]


@dataclass(frozen=True)
class Crossing:
    """Where one rung, significantly ahead with fewer labels, falls behind another with more.

    Attributes:
        before: the rung that is ahead with fewer labels.
        after: the rung that is ahead with more.
        labels: about how many labels make them equal.
    """

    before: str
    after: str
    labels: int


@dataclass(frozen=True)
class Curve:
    """The learning curves of several rungs on the same shares.

    Attributes:
        metric: name of the metric.
        part: the rows it was measured on, "validation".
        measured_rows: how many these are.
        training_rows: how many there are to learn from in all.
        sizes: labels in each share.
        trainings: how many times each rung learnt from each size, each time from another share.
        rungs: one curve each.
        choices: one for each size.
        crossings: in the order of their labels.
    """

    metric: str
    part: str
    measured_rows: int
    training_rows: int
    sizes: tuple[int, ...]
    trainings: int
    rungs: tuple[RungCurve, ...]
    choices: tuple[Choice, ...]
    crossings: tuple[Crossing, ...]

    def rung(self, method: str) -> RungCurve:
        """The curve of a rung by its name."""
        return next(rung for rung in self.rungs if rung.method == method)

    @property
    def best(self) -> RungCurve:
        """The curve of the rung that is best with the most labels."""
        return self.rung(self.choices[-1].best)

    def to_json(self) -> dict[str, Any]:
        """The curve as JSON values; a figure that is not defined is null."""
        values: dict[str, Any] = finite(asdict(self))
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Curve:
        """The inverse of `to_json`.

        Raises:
            RunError: a value is missing or not of the kind it should be.
        """
        from pydantic import TypeAdapter, ValidationError

        try:
            return TypeAdapter(cls).validate_python(_with_nan(values))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise RunError(f"the learning curve cannot be read: {place}: {first['msg']}") from None


def _with_nan(value: Any) -> Any:
    """Nested values with nan again where a score is not defined."""
    if isinstance(value, Mapping):
        return {
            key: float("nan") if of is None and key in _MAY_BE_UNDEFINED else _with_nan(of)
            for key, of in value.items()
        }
    return [_with_nan(of) for of in value] if isinstance(value, list | tuple) else value
