"""The rows with the highest and lowest losses, and the confusions between labels."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from finetext.core.arrays import Floats, Integers
from finetext.core.display import ShownInNotebook
from finetext.core.errors import DataError
from finetext.core.types import Predicted
from finetext.evaluation.intervals import confusion
from finetext.evaluation.metrics import row_losses
from finetext.storage.codec import Jsonable

if TYPE_CHECKING:
    from pandas import DataFrame

EXAMPLES: Final = 3


@dataclass(frozen=True)
class RowLoss:
    """One row with its text ("" if unknown), prediction and loss.

    Of several labels the lowest probability counts; of none, one minus the highest of any label.
    """

    id: str
    text: str
    truth: tuple[str, ...]
    prediction: tuple[str, ...]
    probability: float
    probability_of_truth: float
    loss: float


@dataclass(frozen=True)
class Confusion:
    """A label that is missed, and the one predicted wrongly for the same rows.

    The share is of the rows that have the missed label; examples have the highest losses.
    """

    truth: str
    prediction: str
    rows: int
    share: float
    examples: tuple[RowLoss, ...]


@dataclass(frozen=True)
class Errors(Jsonable, ShownInNotebook):
    """Where a classifier is wrong, on the rows of a part, "validation" or "test", or of a table.

    Attributes:
        wrong: number of rows that get another label, or not exactly their labels.
        highest: the rows with the highest loss, highest first; `lowest` likewise.
        confusions: the most frequent first.
    """

    method: str
    part: str | None
    rows: int
    wrong: int
    highest: tuple[RowLoss, ...]
    lowest: tuple[RowLoss, ...]
    confusions: tuple[Confusion, ...]

    def to_pandas(self) -> DataFrame:
        """Return the rows with the highest losses as a data frame, highest first."""
        import pandas as pd

        rows = [asdict(row) for row in self.highest]
        several = any(len(row["truth"]) != 1 or len(row["prediction"]) != 1 for row in rows)
        for row in rows if not several else ():
            row |= {name: row[name][0] for name in ("truth", "prediction")}
        return pd.DataFrame(rows)


def find_errors(predicted: Predicted, count: int = 20) -> Errors:
    """Return the rows with the highest and lowest losses, and the most frequent confusions.

    There are at most `count` of each. Raises a DataError if there are no rows, or `count` is below
    1.
    """
    predictions = predicted.predictions
    if not len(predictions) or count < 1:
        raise DataError(
            f"{predicted.name}: cannot show {count} of {len(predictions)} rows; there must be a "
            "row, and the count must be 1 or more"
        )
    losses = row_losses(predictions)
    differs = predictions.decisions != predictions.targets
    wrong = differs.any(axis=1) if differs.ndim == 2 else differs
    return Errors(
        method=predicted.method or predicted.name,
        part=predicted.part,
        rows=len(predictions),
        wrong=int(wrong.sum()),
        highest=_rows(predicted, np.argsort(-losses, kind="stable")[:count], losses),
        lowest=_rows(predicted, np.argsort(losses, kind="stable")[:count], losses),
        confusions=_confusions(predicted, losses, count),
    )


def ranked(predicted: Predicted) -> dict[str, list[Any]]:
    """Return all rows from the highest loss to the lowest, as columns."""
    losses = row_losses(predicted.predictions)
    return _table(predicted, np.argsort(-losses, kind="stable"), losses)


def _rows(predicted: Predicted, rows: Integers, losses: Floats) -> tuple[RowLoss, ...]:
    table = _table(predicted, rows, losses)
    for name in ("truth", "prediction"):
        several = predicted.predictions.scheme.multilabel
        table[name] = [tuple(label) if several else (label,) for label in table[name]]
    return tuple(RowLoss(*values) for values in zip(*table.values(), strict=True))


def _table(predicted: Predicted, rows: Integers, losses: Floats) -> dict[str, list[Any]]:
    predictions, texts = predicted.predictions, predicted.texts
    truths, given = predictions.targets[rows], predictions.decisions[rows]
    probabilities = predictions.probabilities[rows]
    return {
        "id": [predictions.ids[row] for row in rows],
        "text": ["" if texts is None else texts[row] for row in rows],
        "truth": predictions.scheme.decode(truths),
        "prediction": predictions.scheme.decode(given),
        "probability": probability_of(probabilities, given).tolist(),
        "probability_of_truth": probability_of(probabilities, truths).tolist(),
        "loss": losses[rows].tolist(),
    }


def probability_of(probabilities: Floats, labels: Integers) -> Floats:
    """Return the (n,) probabilities of the labels of each row; see `RowLoss.probability`."""
    if labels.ndim == 1:
        return np.asarray(probabilities[np.arange(len(labels)), labels])
    least = np.where(labels == 1, probabilities, np.inf).min(axis=1)
    return np.asarray(np.where(np.isinf(least), 1 - probabilities.max(axis=1), least))


def _confusions(predicted: Predicted, losses: Floats, count: int) -> tuple[Confusion, ...]:
    predictions, names = predicted.predictions, predicted.predictions.scheme.names
    targets, decisions = predictions.targets, predictions.decisions
    support = targets.sum(axis=0) if targets.ndim == 2 else np.bincount(targets)
    pairs = confusion(predictions)
    np.fill_diagonal(pairs, 0)
    order = np.argsort(-pairs, axis=None, kind="stable")[:count]
    found = []
    for truth, given in zip(*np.divmod(order, len(names)), strict=True):
        if not pairs[truth, given]:
            break
        if targets.ndim == 1:
            both = (targets == truth) & (decisions == given)
        else:
            both = (targets[:, truth] == 1) & (decisions[:, truth] == 0)
            both &= (decisions[:, given] == 1) & (targets[:, given] == 0)
        rows = np.flatnonzero(both)
        share = len(rows) / int(support[truth])
        highest = np.argsort(-losses[rows], kind="stable")[:EXAMPLES]
        examples = _rows(predicted, rows[highest], losses)
        found.append(Confusion(names[truth], names[given], len(rows), share, examples))
    return tuple(found)
