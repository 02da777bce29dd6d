"""The rows that a classifier is most and least wrong about, and which labels it takes for which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from finetext.core.arrays import Floats, Integers, finite
from finetext.core.errors import DataError, RunError
from finetext.core.types import LabelScheme, Predictions
from finetext.evaluation.intervals import confusion
from finetext.evaluation.metrics import row_losses

if TYPE_CHECKING:
    from finetext.core.types import Predicted


EXAMPLES: Final = 3


@dataclass(frozen=True)
class JudgedRow:
    """One row, with what was said of it.

    Attributes:
        id: its name.
        text: its text; "" where it is not known.
        truth: its true label, or labels, or none.
        prediction: the label or labels given.
        probability: that of the prediction. Of several labels it is that of the least likely,
            of none what the likeliest of all labels leaves.
        probability_of_truth: likewise that of the truth.
        loss: -log of the probability of the truth, natural; with several labels a row the mean
            over all labels.
    """

    id: str
    text: str
    truth: tuple[str, ...]
    prediction: tuple[str, ...]
    probability: float
    probability_of_truth: float
    loss: float

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> JudgedRow:
        """From JSON values; raises a KeyError or TypeError if they are not those of a row."""
        labels = {name: tuple(map(str, values[name])) for name in ("truth", "prediction")}
        return cls(**{**values, **labels})


@dataclass(frozen=True)
class Confusion:
    """A label that is missed, and the one given in its place.

    Attributes:
        truth: the label missed.
        prediction: the label given wrongly to the same rows.
        rows: how many.
        share: of the rows that have the label missed.
        examples: those of the highest loss, three at most.
    """

    truth: str
    prediction: str
    rows: int
    share: float
    examples: tuple[JudgedRow, ...]

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Confusion:
        """From JSON values; raises a KeyError or TypeError if they are not those of one."""
        return cls(**{**values, "examples": tuple(map(JudgedRow.from_json, values["examples"]))})


@dataclass(frozen=True)
class Errors:
    """Where a classifier is wrong.

    Attributes:
        method: the rung, or the name of a table.
        part: which rows: "validation" or "test"; None of a table that does not say.
        rows: how many there are.
        wrong: how many of them are given another label, or not exactly their labels.
        highest: the rows of the highest loss, highest first.
        lowest: the rows of the lowest loss, lowest first.
        confusions: the most frequent first.
    """

    method: str
    part: str | None
    rows: int
    wrong: int
    highest: tuple[JudgedRow, ...]
    lowest: tuple[JudgedRow, ...]
    confusions: tuple[Confusion, ...]

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        values: dict[str, Any] = finite(asdict(self))
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Errors:
        """The inverse of `to_json`.

        Raises:
            RunError: a key is missing, or a value is not of the kind it should be.
        """
        try:
            rows = {
                name: tuple(map(JudgedRow.from_json, values[name]))
                for name in ("highest", "lowest")
            }
            confusions = tuple(map(Confusion.from_json, values["confusions"]))
            return cls(**{**values, **rows, "confusions": confusions})
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(f"the errors kept of the run cannot be read: {error!r}") from None


def find_errors(predicted: Predicted, count: int = 20) -> Errors:
    """The rows of the highest and lowest losses, and the most frequent confusions.

    Args:
        predicted: predictions of the rows of one part, as `open_predicted` gives them.
        count: rows of either kind, and confusions, at most.

    Raises:
        DataError: there are no rows, or `count` is below 1.
    """
    predictions = predicted.predictions
    if not len(predictions) or count < 1:
        raise DataError(
            f"{predicted.name}: {len(predictions)} rows, of which {count} are asked for: there is "
            "nothing to look at"
        )
    losses = row_losses(predictions)
    differs = predictions.decisions != predictions.targets
    wrong = differs.any(axis=1) if differs.ndim == 2 else differs
    return Errors(
        method=predicted.method or predicted.name,
        part=predicted.part,
        rows=len(predictions),
        wrong=int(wrong.sum()),
        highest=_judge(predicted, _lowest(-losses, count), losses),
        lowest=_judge(predicted, _lowest(losses, count), losses),
        confusions=_confusions(predicted, losses, count),
    )


def ranked(predicted: Predicted) -> dict[str, list[Any]]:
    """All rows from the highest loss to the lowest, as columns.

    Returns:
        the columns `id`, `text`, `truth` and `prediction` (a label, or a list of labels),
        `probability`, `probability_of_truth` and `loss`; see `JudgedRow`.
    """
    losses = row_losses(predicted.predictions)
    return _table(predicted, np.argsort(-losses, kind="stable"), losses)


def _lowest(values: Floats, count: int) -> Integers:
    """The rows of the `count` lowest values, lowest first, in row order where they are equal."""
    if count >= len(values):
        return np.argsort(values, kind="stable")
    limit = np.partition(values, count - 1)[count - 1]
    rows = np.flatnonzero(values <= limit)
    return rows[np.argsort(values[rows], kind="stable")][:count]


def _judge(predicted: Predicted, rows: Integers, losses: Floats) -> tuple[JudgedRow, ...]:
    several = predicted.predictions.scheme.multilabel
    table = _table(predicted, rows, losses)
    for name in ("truth", "prediction"):
        table[name] = [tuple(label) if several else (label,) for label in table[name]]
    return tuple(JudgedRow(*values) for values in zip(*table.values(), strict=True))


def _table(predicted: Predicted, rows: Integers, losses: Floats) -> dict[str, list[Any]]:
    """The given rows, in the columns and order of the attributes of `JudgedRow`."""
    predictions, texts = predicted.predictions, predicted.texts
    truths, given = predictions.targets[rows], predictions.decisions[rows]
    probabilities = predictions.probabilities[rows]
    return {
        "id": [predictions.ids[row] for row in rows],
        "text": ["" if texts is None else texts[row] for row in rows],
        "truth": predictions.scheme.decode(truths),
        "prediction": predictions.scheme.decode(given),
        "probability": _probability(probabilities, given).tolist(),
        "probability_of_truth": _probability(probabilities, truths).tolist(),
        "loss": losses[rows].tolist(),
    }


def _probability(probabilities: Floats, labels: Integers) -> Floats:
    """That of the labels of each row, (n,); see `JudgedRow.probability`."""
    if labels.ndim == 1:
        return np.asarray(probabilities[np.arange(len(labels)), labels])
    least = np.where(labels == 1, probabilities, np.inf).min(axis=1)
    return np.asarray(np.where(np.isinf(least), 1 - probabilities.max(axis=1), least))


def _confusions(predicted: Predicted, losses: Floats, count: int) -> tuple[Confusion, ...]:
    predictions = predicted.predictions
    scheme, k = predictions.scheme, len(predictions.scheme)
    pairs = confusion(predictions)
    np.fill_diagonal(pairs, 0)
    order = np.argsort(-pairs, axis=None, kind="stable")[:count]
    true = _rows_of_labels(predictions.targets, scheme)
    found = []
    for truth, given in zip(*np.divmod(order, k), strict=True):
        if not pairs[truth, given]:
            break
        rows = _confused(predictions, truth, given)
        found.append(
            Confusion(
                truth=scheme.names[truth],
                prediction=scheme.names[given],
                rows=len(rows),
                share=len(rows) / int(true[truth]),
                examples=_judge(predicted, rows[_lowest(-losses[rows], EXAMPLES)], losses),
            )
        )
    return tuple(found)


def _rows_of_labels(targets: Integers, scheme: LabelScheme) -> Integers:
    """How many rows have each label, (k,)."""
    if scheme.multilabel:
        return np.asarray(targets.sum(axis=0))
    return np.bincount(targets, minlength=len(scheme))


def _confused(predictions: Predictions, truth: int, given: int) -> Integers:
    """The rows where the label `truth` is missed and `given` is given wrongly."""
    targets, decisions = predictions.targets, predictions.decisions
    if not predictions.scheme.multilabel:
        return np.flatnonzero((targets == truth) & (decisions == given))
    missed = (targets[:, truth] == 1) & (decisions[:, truth] == 0)
    return np.flatnonzero(missed & (decisions[:, given] == 1) & (targets[:, given] == 0))
