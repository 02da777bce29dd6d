"""Where an export comes from: a classifier, its run, and rows to choose by and to compare on."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from finetext.core.contracts import Classifier, ProgressEvent, silent
from finetext.core.errors import RunError, UnlabeledError
from finetext.core.settings import ReadSettings
from finetext.core.types import Dataset, Splits
from finetext.core.wording import refitted_in_words
from finetext.data.read import read as read_data
from finetext.models.exporters import MOST_ROWS, HeadRows, Original, RowsApart
from finetext.models.folder import model_in_run
from finetext.runs.load import load
from finetext.runs.predicted import USUAL_METRIC
from finetext.runs.recipe import Recipe, read_toml
from finetext.runs.run import Run
from finetext.runs.stored_splits import stored_splits


@dataclass(frozen=True, eq=False)
class Origin:
    """A classifier to export, on the CPU, with its model folder, run and method where it has some.

    `data` are rows to compare on or to learn from, as a data set or whatever `read` takes; None
    for those of the run.
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
        """The name for people: "reviews/finetune", or the name of the folder."""
        if self.run is not None:
            return f"{self.run.folder.resolve().name}/{self.method}"
        return self.classifier.kind if self.model is None else self.model.resolve().name

    @cached_property
    def recipe(self) -> Recipe:
        """Data, seed and decision rule of the run; the defaults without one."""
        values = {} if self.run is None else read_toml(self.run.folder / "recipe.toml")
        sections = ("data", "decide", "seed")
        return Recipe.from_values({name: values[name] for name in sections if name in values})

    @cached_property
    def rows(self) -> Dataset | None:
        """The rows to compare on: the data given, else the validation rows of the run.

        Data without labels are read without. Labels are those of the model. If the model learned
        from these rows of its run, they are without labels, too: it is not scored on them.
        """
        if self.data is None:
            return None if self.run is None else self._rows_of_run(self.run)
        scheme = self.classifier.scheme
        if isinstance(self.data, Dataset):
            return self.data if self.data.scheme is None else replace(self.data, scheme=scheme)
        how = (self.reading or ReadSettings()).with_texts_of(scheme)
        known = replace(how, classes=scheme.names, multilabel=scheme.multilabel)
        try:
            return read_data(self.data, settings=known)
        except UnlabeledError:
            if how.label is not None:
                raise
            return read_data(self.data, settings=replace(how, labelled=False))

    def _rows_of_run(self, run: Run) -> Dataset:
        if self.learned_from_all:
            return replace(run.rows(self.method), scheme=None)
        return self._stored(run).validation if run.folds else run.rows(self.method)

    @property
    def learned_from_all(self) -> bool:
        """Whether the model learned from all rows but test rows: it can be scored on none."""
        if self.run is None:
            return False
        entry = self.run.entry(self.method)
        if self.run.folds:
            return entry.learned_from is not None and not entry.chosen_on
        return bool(refitted_in_words(entry.learned_from, self.run.shares().rows))

    @property
    def original(self) -> Original:
        """What exporters get."""
        has_rows = self.run is not None or self.data is not None
        metric = USUAL_METRIC if self.run is None else self.run.metric
        return Original(
            self.classifier, self.name, self.seed, metric, self.recipe.decide,
            self.head_rows if has_rows else None, self.say, self.progress, self.apart,
        )  # fmt: skip

    def apart(self) -> RowsApart | None:
        """Return texts to learn from, texts to choose by and rows to compare on; None without any.

        Texts to learn from are training rows of the run if the model is compared on validation
        rows, else a third of the rows; the others are halves of the rest, all in random order.
        Nothing asks for labels. Training rows would not do to choose by: the model is more certain
        of them.
        """
        if self.rows is None:
            return None
        generator = np.random.default_rng(self.seed)
        order = generator.permutation(len(self.rows))
        learn = list[str]()
        if self.run is not None and self.data is None and not self.run.folds:
            with suppress(RunError):
                if not self.learned_from_all:
                    train = self.training_rows()
                    learn = train.select(generator.permutation(len(train))[:MOST_ROWS]).texts
        if not learn:
            third = len(order) // 3
            learn, order = self.rows.select(order[:third]).texts, order[third:]
        half = len(order) // 2
        choose, compare = (self.rows.select(of) for of in (order[:half], order[half:]))
        return RowsApart(learn, choose.texts, compare)

    def head_rows(self) -> HeadRows:
        """Return the rows of the run, or a split of the data, to fit a new head on."""
        from finetext.data.split import split

        if self.run is not None and not self.learned_from_all:
            whose = "the export" if self.run.folds else "both"
            remark = f"temperature and decision rule of {whose} were chosen on these rows"
            validation = self._rows_of_run(self.run)
            return HeadRows(self.training_rows(), validation, None, "" if self.data else remark)
        if self.run is not None:
            if self.run.folds:
                splits = split(self.run.rows(self.method), seed=self.seed)
            else:  # test rows are left alone
                splits = replace(self._stored(self.run), train=self.training_rows())
            if self.data is not None:
                return HeadRows(splits.train, splits.validation)
            unlabeled = replace(splits.validation, scheme=None)
            return HeadRows(
                splits.train, splits.validation, unlabeled,
                "the head was fitted on other rows of the run; neither is scored, as the original "
                "learned from these, too: --data compares their scores on rows of yours",
            )  # fmt: skip
        given = self.rows
        if given is None or given.scheme is None:
            raise UnlabeledError(
                "the head of static embeddings learns from labels, and the data have none; name "
                "their column with --label"
            )
        splits = split(given, seed=self.seed)
        return HeadRows(
            splits.train, splits.validation, splits.validation,
            "these rows were held out of the data, and the head was fitted on the others; if the "
            "original was trained on all of them, the comparison favors it",
        )  # fmt: skip

    def training_rows(self) -> Dataset:
        """Return the training rows of the run; raises a RunError if its data have changed."""
        assert self.run is not None
        train = self._stored(self.run).train
        if train.scheme != self.classifier.scheme:
            raise RunError(
                f"the labels in the data of the run in {self.run.folder} are not those of its "
                "model; give a labeled table with --data"
            )
        return train

    def _stored(self, run: Run) -> Splits:
        try:
            return stored_splits(run.folder)
        except RunError as error:
            raise RunError(f"{error}; or give a labeled table with --data") from None


def open_origin(
    what: Classifier | str | Path,
    data: Any = None,
    reading: ReadSettings | None = None,
    seed: int | None = None,
) -> Origin:
    """Open a model to export it; see `export` and `Origin`."""
    if isinstance(what, Classifier):
        return Origin(what.original, data=data, reading=reading, seed=seed or 0)
    found = place_in_run(Path(what))
    if found is None:
        model = Path(what) if Path(what).is_dir() else None
        return Origin(
            load(what, "cpu", engine="torch"), model, data=data, reading=reading, seed=seed or 0
        )
    run = Run.open(found[0])
    entry = run.entry(found[1])
    classifier = run.classifier(entry.method, "cpu", "torch")
    origin = Origin(
        classifier, model_in_run(run.folder, entry.model), run, entry.method, data, reading
    )
    return replace(origin, seed=origin.recipe.seed if seed is None else seed)


def place_in_run(folder: Path) -> tuple[Path, str | None] | None:
    """Return the run folder and the method of a path, which may be a method's folder or model."""
    folder = Path(os.path.abspath(folder))
    if Run.is_at(folder):
        return folder, None
    place = folder.parent if folder.name == "model" else folder
    if Run.is_at(place.parent) and (place / "model").is_dir():
        return place.parent, place.name
    return None
