"""The Parquet file with the predictions of a method, and the tables of a run folder in general."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from finetext.core.decision import CrossFitted, Decision, decision_in
from finetext.core.errors import DataError, FinetextError, RunError
from finetext.core.types import LabelScheme, Predicted, Predictions, SplitName
from finetext.core.wording import CROSSED
from finetext.evaluation.fold_scores import FoldPredictions
from finetext.storage.files import replaced_file
from finetext.storage.received import open_received

if TYPE_CHECKING:
    import pyarrow

FOLDER: Final = "folds"
"""The folder of a cross-validated method that has the predictions of all folds."""


def write_predictions(
    path: Path, by_split: Mapping[SplitName, Predictions], texts: Mapping[SplitName, list[str]]
) -> None:
    """Write the predictions of several splits into one Parquet file.

    Out-of-fold predictions are of one split, with the fold of each row and the rules of all folds.
    """
    parts = by_split.items()
    first = next(iter(by_split.values()))
    columns: dict[str, Any] = {
        "id": [row for _, part in parts for row in part.ids],
        "split": [name for name, part in parts for _ in part.ids],
        "text": [text for name, _ in parts for text in texts[name]],
        "truth": [label for _, part in parts for label in part.scheme.decode(part.targets)],
        "prediction": [label for _, part in parts for label in part.scheme.decode(part.decisions)],
    }
    if first.groups is not None:
        columns["group"] = [group for _, part in parts for group in part.groups or ()]
    probabilities = np.concatenate([part.probabilities for _, part in parts])
    for column, name in enumerate(first.scheme.names):
        columns[f"probability:{name}"] = probabilities[:, column]
    described = {
        **first.scheme.to_json(),
        "decision": first.decision.to_json(),
    }
    if isinstance(first.decision, CrossFitted):
        columns["fold"] = [number + 1 for number in first.decision.fold]
        described["rules"] = [rule.to_json() for rule in first.decision.rules]
    write_table(path, columns, described)


def kept_as(split: SplitName, folds: int) -> SplitName:
    """Return the split whose predictions a run keeps: with folds, those of all rows are "test"."""
    return "test" if folds and split == "validation" else split


def read_predictions(path: Path, split: SplitName) -> Predictions:
    """Return the predictions of one split out of what `write_predictions` wrote."""
    table = read_rows(path, split)
    described = json.loads(table.schema.metadata[b"finetext"])
    scheme = LabelScheme.from_json(described)
    probabilities = [table[f"probability:{name}"].to_numpy() for name in scheme.names]
    decision = decision_in(described)
    if "rules" in described:
        rules = [Decision.from_json(rule) for rule in described["rules"]]
        decision = CrossFitted.of(decision, rules, table["fold"].to_numpy() - 1)
    return Predictions(
        ids=tuple(table["id"].to_pylist()),
        targets=scheme.encode(table["truth"].to_pylist()),
        probabilities=np.stack(probabilities, axis=1),
        scheme=scheme,
        decision=decision,
        groups=tuple(table["group"].to_pylist()) if "group" in table.column_names else None,
    )


def stored_folds(place: Path) -> FoldPredictions | None:
    """Return the predictions of all folds of a cross-validated method, by its folder in the run.

    None if it was not cross-validated, or they cannot be read.
    """
    import pyarrow

    found = list[tuple[Predictions, ...]]()
    while (path := place / FOLDER / f"repeat-{len(found) + 1}.parquet").is_file():
        try:
            found.append(_folds_in(path, place / "predictions.parquet"))
        except (OSError, ValueError, KeyError, TypeError, FinetextError, pyarrow.ArrowException):
            return None
    return FoldPredictions(tuple(found)) if found else None


def folds_of(predicted: Predicted) -> FoldPredictions | None:
    """Return the predictions of all folds, of which those given are the first repeat.

    None if they are of no cross-validated method.
    """
    if predicted.part != CROSSED or predicted.run is None or predicted.method is None:
        return None
    found = stored_folds(predicted.run / predicted.method)
    return found and found.with_positive(predicted.predictions.scheme.positive)


def _folds_in(path: Path, stored: Path) -> tuple[Predictions, ...]:
    """Return the folds of one repeat, with the positive class and groups of what is stored."""
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(path)
    described, whole = (
        json.loads(table.schema.metadata[b"finetext"]),
        read_predictions(stored, "test"),
    )
    group = None if whole.groups is None else dict(zip(whole.ids, whole.groups, strict=True))
    ids, folds = table["id"].to_pylist(), np.array(table["fold"].to_pylist())
    likely = np.stack([table[f"probability:{of}"].to_numpy() for of in described["labels"]], axis=1)
    every = Predictions(
        tuple(ids), whole.scheme.encode(table["truth"].to_pylist()), likely, whole.scheme,
        groups=None if group is None else tuple(group[of] for of in ids),
    )  # fmt: skip
    return tuple(
        replace(every.select(folds == number), decision=Decision.from_json(decision))
        for number, decision in enumerate(described["decisions"], start=1)
    )


def read_rows(path: Path, split: SplitName) -> pyarrow.Table:
    """Return all columns of one split.

    Raises:
        DataError: there are no rows of that split.
        RunError: the file is missing or damaged.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        with open_received(path.parent, path.name) as file:
            table = pyarrow.parquet.read_table(file, filters=[("split", "=", split)])
    except FileNotFoundError:
        raise RunError(
            f"{path} is missing, which holds the predictions of validation and test rows; train "
            "the method again: finetext train --recipe RUN/recipe.toml"
        ) from None
    except (OSError, pyarrow.ArrowException) as error:
        raise RunError(f"the predictions in {path} cannot be read: {error}") from None
    if not table.num_rows:
        raise DataError(
            f"{path.parent} has no predictions of {split} rows; a run keeps those of validation "
            "and test. Write your own with finetext predict"
        )
    return table


def write_table(
    path: Path, columns: Mapping[str, Any], described: Mapping[str, Any] | None = None
) -> None:
    """Write a Parquet file, whole or not at all, with a description in its metadata."""
    import pyarrow
    import pyarrow.parquet

    metadata = {} if described is None else {b"finetext": json.dumps(described).encode()}
    table = pyarrow.table(dict(columns)).replace_schema_metadata(metadata)
    with replaced_file(path) as beside:
        pyarrow.parquet.write_table(table, beside)
