"""What a run stored of its data: its splits, read again, and the agreement of annotators."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from finetext.core.errors import DataError, RunError
from finetext.core.settings import made
from finetext.core.types import SPLIT_NAMES, Dataset, Splits
from finetext.data.read import read
from finetext.data.weak_labels import WeakLabels
from finetext.diagnosis.curve import NestedShares
from finetext.evaluation.agreement import Agreement
from finetext.runs.recipe import Recipe, read_toml
from finetext.storage.received import open_received, read_received_text


def stored_splits(folder: Path) -> Splits:
    """Read the data of a run again, and return its rows in the splits that the run stored.

    Nothing is split anew, so the rows are those the run used, whatever the version of finetext.

    Raises:
        RunError: the data cannot be read or changed since the run started, or the run folder is
            damaged.
    """
    import pyarrow
    import pyarrow.parquet

    try:
        recipe = Recipe.from_values({"data": read_toml(folder / "recipe.toml")["data"]})
        about = json.loads(read_received_text(folder, "data.json"))
        known, labels = about["content_hash"], tuple(about["labels"])
        with open_received(folder, "splits.parquet") as file:
            table = pyarrow.parquet.read_table(file).to_pydict()
        split_of = dict(zip(table["id"], table["split"], strict=True))
    except (OSError, ValueError, KeyError, TypeError, pyarrow.ArrowException) as error:
        raise RunError(f"the run in {folder} is damaged: {error!r}") from None
    try:
        # Labels as the run spells them: earlier versions kept "good " and "1.0" as they were.
        dataset = read(recipe.source, settings=replace(recipe.read, classes=labels))
    except DataError as error:
        raise RunError(
            f"the data of the run in {folder} cannot be read: {error}. Put the data back, or name "
            f"their new place as source in {folder / 'recipe.toml'}"
        ) from None
    if known != dataset.content_hash:
        raise RunError(_changed(folder, recipe.source, dataset, split_of))
    rows = {name: row for row, name in enumerate(dataset.ids)}
    train, validation, test = (
        dataset.select([rows[name] for name, of in split_of.items() if of == split])
        for split in SPLIT_NAMES
    )
    return Splits(train, validation, test)


def training_rows(splits: Splits, learned_from: int | None, seed: int = 0) -> Dataset:
    """Return the rows that a method with so many of them learned from.

    These are train, validation too, or the sample that the seed draws where minutes were few.
    """
    import datasets

    train, validation = splits.train, splits.validation
    if learned_from is not None and learned_from < len(train):
        return NestedShares.of(train, seed).share(learned_from)
    if learned_from != len(train) + len(validation) or not len(validation):
        return train
    return replace(train, table=datasets.concatenate_datasets([train.table, validation.table]))


def stored_agreement(folder: Path) -> Agreement | None:
    """Return how far the annotators of the data of a run agree; None if no text has two.

    Raises a RunError if data.json is damaged.
    """
    path = folder / "data.json"
    try:
        found = dict(json.loads(read_received_text(folder, path.name))).get("agreement")
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"the run in {folder} is damaged: {path.name}: {error!r}") from None
    return None if found is None else Agreement.from_json(found)


def stored_weak_labels(folder: Path) -> WeakLabels | None:
    """Return where the weak labels of a run are from; None if it has none.

    Raises a RecipeError if recipe.toml is damaged.
    """
    values = read_toml(folder / "recipe.toml")
    return made("[weak]", WeakLabels, values["weak"]) if "weak" in values else None


def _changed(folder: Path, source: Any, dataset: Dataset, split_of: Mapping[str, str]) -> str:
    """Return the message about data that are not those of the run."""
    there = set(dataset.ids)
    missing = [name for name in split_of if name not in there]
    what = (
        f"{len(missing):,} of its {len(split_of):,} rows are missing, that with the id "
        f"{missing[0]!r} among them"
        if missing
        else "rows were added, or their texts, labels, groups or splits differ"
    )
    place = ", ".join(map(str, source.values())) if isinstance(source, Mapping) else source
    return (
        f"the data of the run in {folder} have changed since it started: in {place} {what}, so its "
        "splits are unknown. Put the original data back, or train a new run: finetext train "
        f"--recipe {shlex.quote(str(folder / 'recipe.toml'))}"
    )
