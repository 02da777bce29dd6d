"""The predictions of folds in a run folder: a file for each finished repeat of a method."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Floats
from finetext.core.contracts import Method, hyperparameters
from finetext.core.decision import Decision
from finetext.core.errors import FinetextError, RunError
from finetext.core.types import Dataset, Finding, LabelScheme, Predictions
from finetext.evaluation.fold_scores import FoldPredictions
from finetext.runs.cross_validation import FoldPlan, seed_of_repeat
from finetext.runs.predictions import write_table
from finetext.storage.codec import from_json, to_json
from finetext.training.plan import ADDED_LATER

_RULES: Final = "cross-fitted"
"""How the decision rules of folds are chosen; folds of earlier versions are fitted again."""


def read_repeats(
    method: Method, plan: FoldPlan, folder: Path, repeats: int | None = None
) -> FoldPredictions | None:
    """Return what `cross_validate` wrote into a folder; None if not all of it is there.

    `repeats` says how many there are to be; by default as many as it makes.
    """
    found = []
    for repeat in range(plan.repeats(method) if repeats is None else repeats):
        described = described_repeat(method, plan, repeat)
        known = read_folds(path_of_repeat(folder, repeat), described, plan, repeat)
        if known is None:
            return None
        found.append(known[0])
    return FoldPredictions(tuple(found))


def write_repeats(
    method: Method, plan: FoldPlan, folder: Path, repeats: Sequence[Sequence[Predictions]]
) -> None:
    """Write the predictions of each repeat as `cross_validate` does."""
    for repeat, folds in enumerate(repeats):
        described = described_repeat(method, plan, repeat)
        write_folds(path_of_repeat(folder, repeat), folds, (), described)


def path_of_repeat(folder: Path, repeat: int) -> Path:
    """Return the file of a repeat, which is counted from 0."""
    return folder / f"repeat-{repeat + 1}.parquet"


def described_repeat(method: Method, plan: FoldPlan, repeat: int) -> dict[str, Any]:
    """Return what the predictions of a repeat depend on, beside the data and the recipe."""
    settings = {  # folds of earlier versions lack some
        name: str(of)
        for name, of in hyperparameters(method).items()
        if of not in ADDED_LATER.get(name, ())
    }
    return {
        "method": method.name, "hyperparameters": settings,
        "seed": seed_of_repeat(plan.seed, repeat), "rows": plan.dataset.content_hash,
        "rules": _RULES,
    }  # fmt: skip


def write_folds(
    path: Path,
    folds: Sequence[Predictions],
    findings: Sequence[Finding],
    described: dict[str, Any],
) -> None:
    """Write the predictions of one repeat into a Parquet file, whole or not at all."""
    scheme = folds[0].scheme
    columns: dict[str, Any] = {
        "id": [row for fold in folds for row in fold.ids],
        "fold": [number for number, fold in enumerate(folds, start=1) for _ in fold.ids],
        "truth": [label for fold in folds for label in scheme.decode(fold.targets)],
        "prediction": [label for fold in folds for label in scheme.decode(fold.decisions)],
    }
    likely = np.concatenate([fold.probabilities for fold in folds])
    columns |= {f"probability:{of}": likely[:, at] for at, of in enumerate(scheme.names)}
    decisions = [fold.decision.to_json() for fold in folds]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_table(path, columns, {
            **scheme.to_json(), **described, "decisions": decisions,
            "findings": to_json(list(findings)),
        })  # fmt: skip
    except OSError as error:
        raise RunError(f"{path} cannot be written: {error}") from None


def read_folds(
    path: Path, described: dict[str, Any], plan: FoldPlan, repeat: int
) -> tuple[tuple[Predictions, ...], tuple[Finding, ...]] | None:
    """Return what `write_folds` wrote; None if it is missing, damaged, or of other settings."""
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(path)
        known = json.loads(table.schema.metadata[b"finetext"])
        if {name: known[name] for name in described} != json.loads(json.dumps(described)):
            return None
        held = [plan.dataset.select(rows) for rows in plan.held[repeat]]
        if table["id"].to_pylist() != [row for part in held for row in part.ids]:
            return None
        names = LabelScheme.from_json(known).names
        likely = np.stack([table[f"probability:{of}"].to_numpy() for of in names], axis=1)
        ends = np.cumsum([len(part) for part in held])[:-1]
        folds = [
            _predictions(part, probabilities, Decision.from_json(decision))
            for part, probabilities, decision in zip(
                held, np.split(likely, ends), known["decisions"], strict=True
            )
        ]
        findings = from_json(tuple[Finding, ...], known["findings"], str(path))
    except (OSError, ValueError, KeyError, TypeError, FinetextError, pyarrow.ArrowException):
        return None
    return tuple(folds), findings


def _predictions(part: Dataset, probabilities: Floats, decision: Decision) -> Predictions:
    assert part.scheme is not None
    groups = None if part.groups is None else tuple(part.groups)
    return Predictions(tuple(part.ids), part.targets, probabilities, part.scheme, decision, groups)
