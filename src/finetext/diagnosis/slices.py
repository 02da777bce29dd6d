"""The kinds of rows that a classifier is worse at than at the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from finetext.diagnosis.chance import SIGNIFICANT, corrected
from finetext.diagnosis.contrast import Contrast, Contrasted, metric_of_slices
from finetext.diagnosis.languages import Teller, teller
from finetext.diagnosis.slicing import KINDS, Candidate, candidates, usual_kinds
from finetext.errors import RunError, UnknownNameError
from finetext.evaluation.metrics import CountMetric
from finetext.finite import finite
from finetext.types import Predictions, Score

if TYPE_CHECKING:
    from finetext.runs.predicted import Predicted

_FLOATS: Final = ("value", "low", "high")


@dataclass(frozen=True)
class Slice:
    """Rows that have something in common, beside all others.

    Attributes:
        kind: "length", "cut", "group", "label", "language", "token" or "column:NAME".
        name: which one of its kind.
        rows: how many.
        score: the metric on them.
        difference: the metric on them less that on the other rows.
        p_value: two-sided, of the difference; corrected for all slices looked at (Holm).
        worse: whether the slice is significantly worse: p below 0.05, and behind.
    """

    kind: str
    name: str
    rows: int
    score: Score
    difference: Score
    p_value: float
    worse: bool

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Slice:
        """From JSON values; raises a KeyError or TypeError if they are not those of a slice."""
        scores = {name: _score(values[name]) for name in ("score", "difference")}
        return cls(**{**values, **scores})


@dataclass(frozen=True)
class Slices:
    """All slices that were looked at.

    Attributes:
        method: the rung, or the name of a table.
        part: which rows: "validation" or "test"; None of a table that does not say.
        metric: name of the metric.
        looked_at: how many slices were looked at.
        slices: them, from the one that is most surely worse to the one most surely better.
        languages_by: what told the languages, "py3langid" or "script"; None if no slice is of one.
    """

    method: str
    part: str | None
    metric: str
    looked_at: int
    slices: tuple[Slice, ...]
    languages_by: Teller | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values; None for the end of an interval that is not defined."""
        values: dict[str, Any] = finite(asdict(self))
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Slices:
        """The inverse of `to_json`.

        Raises:
            RunError: a key is missing, or a value is not of the kind it should be.
        """
        try:
            return cls(**{**values, "slices": tuple(map(Slice.from_json, values["slices"]))})
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"the slices kept of the run cannot be read: {error!r}") from None


def find_slices(
    predicted: Predicted,
    by: Sequence[str] | None = None,
    metric: str | None = None,
    tokens: Sequence[str] = (),
    columns: Mapping[str, Sequence[Any]] | None = None,
) -> Slices:
    """Compare the rows of many slices with the other rows, and say where they are worse.

    A slice has at least ten rows and at least ten beside it. Lengths and numbers are taken in
    quarters; of tokens, groups and values the 300 most frequent. The language of a text is told
    by py3langid, or by its script alone where that is not installed.

    Args:
        predicted: predictions of the rows of one part, as `open_predicted` gives them.
        by: kinds of slices out of "length", "cut" (texts longer than what the model reads, of
            rungs of a run that have an encoder), "group", "label", "language" and "token"; by
            default all that there can be.
        metric: what to compare. By default that of the run if it is a mean over rows, else
            accuracy, or samples F1 where a row can have several labels: what macro F1 of a slice
            is hangs on which labels happen to be in it.
        tokens: words, signs or phrases to look for besides the frequent ones.
        columns: name of a further column to its values, one for each row; see
            `finetext.data.source.source_columns`.

    Raises:
        UnknownNameError: there is no kind or metric of that name.
        RecipeError: the metric makes no sense for the label scheme, or for parts of the rows.
        DataError: there are no texts or groups that a kind needs, or a token that was named is in
            too few rows.
    """
    predictions = predicted.predictions
    unknown = next((kind for kind in by or () if kind not in KINDS), None)
    if unknown is not None:
        raise UnknownNameError("kind of slice", unknown, KINDS)
    chosen = metric_of_slices(predictions.scheme, metric, predicted.metric)
    kinds = usual_kinds(predicted) if by is None else by
    found = list(candidates(predicted, kinds, tokens, columns))
    seen = _contrasted(predictions, chosen, found)
    return Slices(
        method=predicted.method or predicted.name,
        part=predicted.part,
        metric=chosen.name,
        looked_at=len(found),
        slices=_ranked(found, seen, chosen.higher_is_better),
        languages_by=teller() if any(each.kind == "language" for each in found) else None,
    )


def _contrasted(
    predictions: Predictions, metric: CountMetric, found: Sequence[Candidate]
) -> list[Contrasted]:
    """Each slice beside the rest; of a single group the rows are what chance draws."""
    if not found:
        return []
    clustered = Contrast(predictions, metric).of([s.rows for s in found if s.kind != "group"])
    if predictions.groups is None:
        return clustered
    alone = Contrast(replace(predictions, groups=None), metric)
    groups = iter(alone.of([s.rows for s in found if s.kind == "group"]))
    others = iter(clustered)
    return [next(groups if slice_.kind == "group" else others) for slice_ in found]


def _ranked(
    found: Sequence[Candidate], contrasted: Sequence[Contrasted], higher_is_better: bool
) -> tuple[Slice, ...]:
    """The slices with corrected p-values, from surely worse to surely better."""
    ranked = []
    p_values = corrected(np.array([seen.p_value for seen in contrasted]))
    for slice_, seen, p_value in zip(found, contrasted, map(float, p_values), strict=True):
        gap = seen.difference.value
        behind = gap < 0 if higher_is_better else gap > 0
        scores = (len(slice_.rows), seen.score, seen.difference, p_value)
        said = Slice(slice_.kind, slice_.name, *scores, worse=behind and p_value < SIGNIFICANT)
        evidence = (False, seen.p_value) if behind else (True, -seen.p_value)
        ranked.append((evidence, said))
    return tuple(said for _, said in sorted(ranked, key=lambda pair: pair[0]))


def _score(values: Mapping[str, Any]) -> Score:
    """A score from JSON values, where what is not defined is None."""
    ends = {name: float("nan") if values[name] is None else float(values[name]) for name in _FLOATS}
    return Score(**ends, n=int(values["n"]))
