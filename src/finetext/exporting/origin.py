"""What is exported, and the rows that are known of it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from finetext.data.settings import ReadSettings
from finetext.errors import RunError, UnlabelledError
from finetext.methods.base import Classifier, ProgressEvent, silent
from finetext.recipe import Recipe
from finetext.recipe_file import read_toml
from finetext.runs.run import Run
from finetext.types import Dataset

USUAL_METRIC: Final = "macro_f1"


@dataclass(frozen=True, eq=False)
class Origin:
    """A classifier that is exported.

    Attributes:
        classifier: it, on the processor.
        model: its folder, or None if it was handed over in Python.
        run: the run it is of, or None.
        method: its rung in the run, or None.
        data: rows to compare on or to learn from, as a data set or whatever `read` takes; None for
            those of the run.
        reading: how to read them.
        seed: seed of every random choice.
        say: called with a line worth reading once.
        progress: called with a `ProgressEvent` now and then.
    """

    classifier: Classifier
    model: Path | None = None
    run: Run | None = None
    method: str | None = None
    data: Any = None
    reading: ReadSettings | None = None
    seed: int = 0
    say: Callable[[str], None] = lambda line: None
    progress: Callable[[ProgressEvent], None] = silent

    @property
    def name(self) -> str:
        """What to call it: "reviews/finetune", or the name of the folder."""
        if self.run is not None:
            return f"{self.run.folder.resolve().name}/{self.method}"
        return self.classifier.kind if self.model is None else self.model.resolve().name

    @property
    def metric(self) -> str:
        """The metric by which the run chose; macro F1 where there is no run."""
        return USUAL_METRIC if self.run is None else self.run.metric

    @cached_property
    def rows(self) -> Dataset | None:
        """What the two are compared on: the data given, else the validation rows of the run.

        Raises:
            DataError: the data cannot be read, or have a label that the model does not know.
            RunError: the predictions of the run are missing or damaged.
        """
        if self.data is not None:
            return self._given()
        return None if self.run is None else self.validation_rows()

    @property
    def where(self) -> str:
        """What the rows are, in words, which the model card has: no folder of this machine."""
        if self.data is None:
            return "validation rows of the run"
        is_named = isinstance(self.data, str | Path)
        return f"rows of {Path(self.data).name}" if is_named else "rows that were given"

    @cached_property
    def recipe(self) -> Recipe:
        """Data, seed and rule of decision of the run; the defaults where there is none."""
        if self.run is None:
            return Recipe.from_values({})
        values = read_toml(self.run.folder / "recipe.toml")
        return Recipe.from_values(
            {name: values[name] for name in ("data", "decide", "seed") if name in values}
        )

    def training_rows(self) -> Dataset:
        """The rows of the run that its models were trained on.

        Raises:
            RunError: its data are not the ones it was begun with, or it is damaged.
            DataError: the data cannot be read.
        """
        import pyarrow
        import pyarrow.parquet

        from finetext.data.read import read

        assert self.run is not None
        folder, scheme = self.run.folder, self.classifier.scheme
        dataset = read(self.recipe.source, settings=self.recipe.read)
        try:
            known = json.loads((folder / "data.json").read_text("utf-8"))["content_hash"]
            table = pyarrow.parquet.read_table(folder / "splits.parquet").to_pydict()
            parts = dict(zip(table["id"], table["split"], strict=True))
        except (OSError, ValueError, KeyError, TypeError, pyarrow.ArrowException) as error:
            raise RunError(f"the run in {folder} is damaged: {error}") from None
        if known != dataset.content_hash or dataset.scheme != scheme:
            raise RunError(
                f"the data of the run in {folder} are not the ones it was begun with, so its "
                "training rows cannot be told; give a labelled table with --data"
            )
        chosen = [row for row, name in enumerate(dataset.ids) if parts.get(name) == "train"]
        return dataset.select(chosen)

    def validation_rows(self) -> Dataset:
        """Texts, labels and groups of the validation rows of the run.

        Raises:
            RunError: the predictions of the run are missing or damaged.
        """
        import datasets

        assert self.run is not None
        predictions = self.run.predictions(self.method, "validation")
        columns: dict[str, Any] = {
            "id": list(predictions.ids),
            "text": self.run.texts(self.method, "validation"),
            "label": predictions.scheme.decode(predictions.targets),
        }
        if predictions.groups is not None:
            columns["group"] = list(predictions.groups)
        return Dataset(datasets.Dataset.from_dict(columns), predictions.scheme)

    def _given(self) -> Dataset:
        """The data with the labels of the model, or without where they have none."""
        from finetext.data.read import read

        scheme = self.classifier.scheme
        if isinstance(self.data, Dataset):
            return self.data if self.data.scheme is None else replace(self.data, scheme=scheme)
        how = self.reading or ReadSettings()
        known = replace(how, classes=scheme.names, multilabel=scheme.multilabel)
        try:
            return read(self.data, settings=known)
        except UnlabelledError:
            if how.label is not None:
                raise
            return read(self.data, settings=replace(how, labelled=False))


def open_origin(
    what: Classifier | str | Path,
    data: Any = None,
    reading: ReadSettings | None = None,
    seed: int | None = None,
) -> Origin:
    """Open a model to export it.

    Args:
        what: a run folder for its best rung, the folder of a rung, a model folder,
            "hub:owner/name", or a classifier.
        data: see `Origin`.
        reading: see `Origin`.
        seed: that of the run, or 0, by default.

    Raises:
        ModelError: there is no such model, or it is damaged.
        RunError: the run is damaged.
        UnknownNameError: the run has no such rung.
    """
    from finetext.arguments import open_model

    if isinstance(what, Classifier):
        return Origin(what, data=data, reading=reading, seed=seed or 0)
    found = place_in_run(Path(what))
    if found is None:
        classifier = open_model(Path(what), "cpu")
        model = Path(what) if Path(what).is_dir() else None
        return Origin(classifier, model, data=data, reading=reading, seed=seed or 0)
    run = Run.open(found[0])
    method = found[1] or run.best
    classifier = run.classifier(method, "cpu")
    model = run.folder / next(of.model for of in run.leaderboard if of.method == method)
    origin = Origin(classifier, model, run, method, data, reading)
    return replace(origin, seed=origin.recipe.seed if seed is None else seed)


def place_in_run(folder: Path) -> tuple[Path, str | None] | None:
    """The run and the rung that a folder is: of the run, of a rung or of its model.

    Args:
        folder: any path.

    Returns:
        None if it is of no run; no rung for the run itself.
    """
    folder = Path(os.path.abspath(folder))
    if Run.is_at(folder):
        return folder, None
    rung = folder.parent if folder.name == "model" else folder
    if Run.is_at(rung.parent) and (rung / "model").is_dir():
        return rung.parent, rung.name
    return None
