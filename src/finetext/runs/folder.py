"""Writing the run folder: what is known before training, then rung by rung, then the verdict."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import numpy as np

from finetext.core.environment import processor_name
from finetext.core.errors import RunError
from finetext.core.settings import ReadSettings
from finetext.core.types import Dataset, Finding, Splits
from finetext.diagnosis.explore import Lengths
from finetext.evaluation.leaderboard import LeaderboardEntry
from finetext.runs.predictions import write_table
from finetext.runs.recipe import Recipe
from finetext.storage.codec import finding_to_json
from finetext.storage.files import sync_names, write_json, write_text

PACKAGES: Final = (
    "finetext", "torch", "transformers", "tokenizers", "accelerate", "datasets", "scikit-learn",
    "numpy", "scipy",
)  # fmt: skip


def describe_environment(recipe: Recipe) -> dict[str, Any]:
    """Versions, processor, number of cores, what the arithmetic is done on, and seed."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "processor": processor_name(),
        "cores": os.cpu_count(),
        **_arithmetic(recipe),
        "seed": recipe.seed,
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _arithmetic(recipe: Recipe) -> dict[str, Any]:
    """The device that is used and the threads; how a rung was trained says its model folder.

    Without a rung that has an encoder all is done on the processor, and torch is not loaded.
    """
    if not any(hasattr(method, "encoder") for method in recipe.methods.values()):
        return {"device": "cpu"}
    import torch

    from finetext.training.precision import choose_device

    return {"device": str(choose_device(recipe.device)), "threads": torch.get_num_threads()}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def write_splits(path: Path, splits: Splits) -> None:
    """Write which row is in which part: the columns `id` and `split`."""
    write_table(path, split_columns(splits))


def split_columns(splits: Splits) -> dict[str, list[str]]:
    """What `splits.parquet` says: the `id` of each row and its `split`."""
    return {
        "id": [row for _, part in splits.items() for row in part.ids],
        "split": [name for name, part in splits.items() for _ in range(len(part))],
    }


def start_run(
    folder: Path,
    recipe: Recipe,
    dataset: Dataset,
    splits: Splits,
    findings: Sequence[Finding],
    lengths: Sequence[Lengths] = (),
) -> Recipe:
    """Fill the run folder with all that is known before training, the recipe last.

    Returns:
        the recipe as written: with the content hash of the data, and with a copy of them in the
        run folder as its source, relative to it, if they were handed over in Python.

    Raises:
        RunError: the folder cannot be written.
    """
    try:
        recipe = replace(recipe, content_hash=dataset.content_hash)
        if recipe.source is None:
            recipe = _with_copy(folder / "data.parquet", recipe, dataset)
        write_splits(folder / "splits.parquet", splits)
        write_json(folder / "environment.json", describe_environment(recipe))
        write_json(folder / "data.json", _described(recipe, dataset, splits, findings, lengths))
        write_text(folder / "recipe.toml", recipe.to_toml())
        sync_names(folder.parent)
    except OSError as error:
        raise RunError(f"the run folder {folder} cannot be written: {error}") from None
    return recipe


def _with_copy(path: Path, recipe: Recipe, dataset: Dataset) -> Recipe:
    """Write the data into the run folder; the recipe then says how to read them from there."""
    names = dataset.table.column_names
    write_table(path, {name: dataset.column(name) for name in names})
    scheme = dataset.scheme
    read = ReadSettings(
        text="text",
        label="label",
        group="group" if "group" in names else None,
        id="id",
        label_names=None if scheme is None else {name: name for name in scheme.names},
        multilabel=None if scheme is None else scheme.multilabel,
    )
    return replace(recipe, source=path.name, read=read)


def _described(
    recipe: Recipe,
    dataset: Dataset,
    splits: Splits,
    findings: Sequence[Finding],
    lengths: Sequence[Lengths],
) -> dict[str, Any]:
    """What `data.json` says."""
    return {
        "source": recipe.source,
        "description": splits.train.description,
        "content_hash": dataset.content_hash,
        "labels": list(splits.scheme.names),
        "multilabel": splits.scheme.multilabel,
        "rows": {name: len(part) for name, part in splits.items()},
        "labels_by_split": class_counts(splits),
        "findings": list(map(finding_to_json, findings)),
        "lengths": list(map(asdict, lengths)),
    }


def class_counts(splits: Splits) -> dict[str, dict[str, int]]:
    """Split to label to number of rows that have it."""
    k = len(splits.scheme)
    counts: dict[str, dict[str, int]] = {}
    for name, part in splits.items():
        targets = part.targets
        of_label = targets.sum(axis=0) if targets.ndim == 2 else np.bincount(targets, minlength=k)
        counts[name] = dict(zip(splits.scheme.names, map(int, of_label), strict=True))
    return counts


def write_leaderboard(
    folder: Path, entries: Sequence[LeaderboardEntry], verdict: Mapping[str, Any]
) -> None:
    """Write `leaderboard.json`, then `verdict.json`; with the verdict the run can be opened."""
    write_json(folder / "leaderboard.json", [entry.to_json() for entry in entries])
    write_json(folder / "verdict.json", dict(verdict))
