"""`export`: a trained classifier in another form, compared with the original before it is kept."""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from finetext.core import registry
from finetext.core.contracts import Classifier, Listener, ProgressEvent, silent
from finetext.core.errors import DataError, ModelError, RecipeError, RunError, UnlabelledError
from finetext.core.settings import ReadSettings
from finetext.core.types import Dataset
from finetext.models.exporters import (
    EXPORTS,
    MOST_ROWS,
    Compared,
    Exporter,
    HeadRows,
    Made,
    Original,
    bytes_of,
    compare_export,
)
from finetext.models.files import DESCRIPTION
from finetext.models.folder import load_model, provenance, read_description, record_of, save_model
from finetext.models.static import StaticClassifier
from finetext.runs.recipe import Recipe, read_toml
from finetext.runs.run import USUAL_METRIC, Run, load, place_in_run
from finetext.storage.files import write_json


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
        return None if self.run is None else self.run.rows(self.method)

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

    @property
    def original(self) -> Original:
        """What exporters get."""
        has_rows = self.run is not None or self.data is not None
        return Original(
            self.classifier, self.name, self.seed, self.metric, self.recipe.decide,
            self.head_rows if has_rows else None, self.say, self.progress,
        )  # fmt: skip

    def head_rows(self) -> HeadRows:
        """Return the rows of the run, or a split of the data, to fit a new head on.

        Raises:
            UnlabelledError: the data have no labels.
            RunError: the training rows of the run cannot be told.
        """
        from finetext.data.split import split

        if self.run is not None:
            remark = "temperature and decision rule of both were chosen on these rows"
            return HeadRows(
                self.training_rows(), self.run.rows(self.method), None, "" if self.data else remark
            )
        given = self.rows
        if given is None or given.scheme is None:
            raise UnlabelledError(
                "the head of static embeddings learns from labels, and the data have none; name "
                "their column with --label"
            )
        splits = split(given, seed=self.seed)
        return HeadRows(
            splits.train, splits.validation, splits.validation,
            "these rows were held out of the data, and the head was fitted on the others; if the "
            "original was trained on all of them, the comparison favors it",
        )  # fmt: skip

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
    if isinstance(what, Classifier):
        return Origin(what, data=data, reading=reading, seed=seed or 0)
    found = place_in_run(Path(what))
    if found is None:
        classifier = load(what, "cpu")
        model = Path(what) if Path(what).is_dir() else None
        return Origin(classifier, model, data=data, reading=reading, seed=seed or 0)
    run = Run.open(found[0])
    method = found[1] or run.best
    classifier = run.classifier(method, "cpu")
    model = run.folder / next(of.model for of in run.leaderboard if of.method == method)
    origin = Origin(classifier, model, run, method, data, reading)
    return replace(origin, seed=origin.recipe.seed if seed is None else seed)


COMPARISON: Final = "export.json"
_MADE_BY: Final = ("method", "hyperparameters", "seed", "content_hash")
_SAID_OF_THE_ORIGINAL: Final = ("title", "data", "base", "findings", "machine")
"""What its record says that holds for an export, too; scores were not measured on that."""


@dataclass(frozen=True, eq=False)
class Exported:
    """An export that was written.

    Attributes:
        folder: where it is.
        classifier: it.
        compared: how it compares with the original; None without rows.
    """

    folder: Path
    classifier: Classifier
    compared: Compared | None


@dataclass(frozen=True)
class ExportTerms:
    """When an export is kept.

    Attributes:
        least_agreement: share of the rows on which both must give the same labels; None (the
            default) for that of the format: 0.99 for ONNX in float32, 0.97 in int8, none for static
            embeddings.
        force: whether it is kept if they do not, and without rows to compare on.
    """

    least_agreement: float | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if self.least_agreement is not None and not 0 <= self.least_agreement <= 1:
            raise RecipeError(
                f"the least agreement is a share from 0 to 1, not {self.least_agreement:g}"
            )


def export(
    what: Classifier | str | Path,
    format: str = "onnx",
    folder: str | Path | None = None,
    *,
    data: Any = None,
    read: ReadSettings | None = None,
    settings: Mapping[str, Any] | None = None,
    terms: ExportTerms | None = None,
    seed: int | None = None,
    listener: Listener | None = None,
) -> Exported:
    """Export a classifier, and compare the export with it on real rows.

    Args:
        what: a run folder for its best rung, the folder of a rung, a model folder,
            "hub:owner/name", or a classifier.
        format: "onnx" (the default) for onnxruntime without torch; "static" for static embeddings
            distilled from the encoder.
        folder: where; by default the format's name beside the model's folder, as in
            `runs/reviews/finetune/onnx`. An export that is there already is replaced.
        data: rows to compare on, anything that `finetext.read` takes, labelled or not; the
            validation rows of the run by default. A static export of a model that is in no run
            learns from most of them.
        read: how to read them.
        settings: of the format: `{"quantize": "int8"}` of "onnx", `{"dimensions": 128}` of
            "static".
        terms: how far the two must agree.
        seed: seed of every random choice; that of the run, or 0, by default.
        listener: who hears of progress.

    Returns:
        the export, with how it compares with the original.

    Raises:
        ModelError: the model cannot be exported, or agrees too little; nothing is left behind.
        RecipeError: a setting is not fit, or there is neither a folder nor one of the model.
        DataError: there are no rows to compare on.
        MissingExtraError: a package that it takes is not installed.
        UnknownNameError: there is no such format or rung.
    """
    exporter = made_exporter(format, settings or {})
    terms, hears = terms or ExportTerms(), listener or Listener()
    origin = dataclasses.replace(
        open_origin(what, data, read, seed), say=hears.say, progress=hears.progress
    )
    place = _place(origin, exporter, folder)
    _check(origin, exporter, terms)
    with tempfile.TemporaryDirectory(prefix="finetext-") as temporary:
        work = Path(temporary)
        made = exporter.make(origin.original, work)
        found = _compared(origin, made)
        _judge(found, exporter, terms, origin)
        classifier = _with_comparison(made.classifier, found, work)
        _save(classifier, place, origin, found)
    return Exported(place, load_model(place, "cpu"), found)


def made_exporter(format: str, settings: Mapping[str, Any]) -> Exporter:
    """The exporter of a format.

    Raises:
        UnknownNameError: there is none of that name.
        RecipeError: it has no such setting, or not with such a value.
    """
    from finetext.core.settings import made

    exporter: Exporter = made(
        f"the format {format}", registry.load("exporters", format), dict(settings)
    )
    return exporter


def _check(origin: Origin, exporter: Exporter, terms: ExportTerms) -> None:
    """Refuse what cannot be exported or compared, before the work.

    Raises:
        FinetextError: see `export`.
    """
    exporter.check(origin.original)
    if origin.rows is None and not terms.force:
        raise DataError(
            f"{origin.name} is in no run, so there are no rows to compare the export with it on; "
            "give some with --data, or --force it without a comparison"
        )


def _place(origin: Origin, exporter: Exporter, folder: str | Path | None) -> Path:
    """Where the export goes.

    Raises:
        RecipeError: nobody said where, and there is no folder of the model to put it beside.
        ModelError: something else is there.
    """
    if folder is None and origin.model is None:
        raise RecipeError("say in which folder the export is to be written (--out)")
    if folder is None:
        assert origin.model is not None
        place = Path(os.path.abspath(origin.model)).parent / exporter.folder_name
    else:
        place = Path(folder)
    if not place.exists():
        return place
    is_export = (place / DESCRIPTION).is_file() and read_description(place)["classifier"] in EXPORTS
    if not is_export and (not place.is_dir() or any(place.iterdir())):
        raise ModelError(f"{place} is no export that could be replaced; choose another folder")
    return place


def _compared(origin: Origin, made: Made) -> Compared | None:
    """Both on the rows of the export, or else of the origin; None without any."""
    rows = made.rows or origin.rows
    if rows is None:
        return None
    origin.say(f"comparing both on {min(len(rows), MOST_ROWS):,} rows")
    with tempfile.TemporaryDirectory(prefix="finetext-") as temporary:
        models = [origin.model or save_model(origin.classifier, Path(temporary) / "original")]
        models.append(save_model(made.classifier, Path(temporary) / "export"))
        sizes = bytes_of(models[0]), bytes_of(models[1])
    return compare_export(origin.original, made.classifier, rows, sizes, origin.where, made.remark)


def _judge(found: Compared | None, exporter: Exporter, terms: ExportTerms, origin: Origin) -> None:
    """Refuse an export that agrees too little, or say so if it is forced.

    Raises:
        ModelError: it is not forced.
    """
    given = terms.least_agreement
    least = exporter.least_agreement if given is None else given
    if found is None:
        origin.say("not compared with the original, as there are no rows")
        return
    if found.agreement >= least:
        return
    said = (
        f"the export gives the same labels as {origin.name} on {found.agreement:.2%} of "
        f"{found.rows:,} {found.where}, less than the {least:.2%} that is asked for"
    )
    if not terms.force:
        raise ModelError(
            f"{said}; nothing was written: --force keeps it, --least-agreement asks for less"
        )
    origin.say(f"{said}; it is kept, as you force it")


def _with_comparison(made: Classifier, found: Compared | None, work: Path) -> Classifier:
    """The classifier with the comparison among its files."""
    if found is None:
        return made
    if isinstance(made, StaticClassifier):
        return dataclasses.replace(made, compared=found.to_json())
    write_json(work / COMPARISON, found.to_json())
    return made


def _save(classifier: Classifier, place: Path, origin: Origin, found: Compared | None) -> None:
    """Write the model folder, whole or not at all."""
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()
    known: dict[str, Any] = {}
    record: dict[str, Any] = {}
    if origin.model is not None and (origin.model / DESCRIPTION).is_file():
        known = provenance(origin.model)
        before = record_of(origin.model)
        record = {name: before[name] for name in _SAID_OF_THE_ORIGINAL if name in before}
    if found is not None:
        record["export"] = found.to_json()
    made_by: dict[str, Any] = {name: known[name] for name in _MADE_BY if name in known}
    save_model(classifier, place, made_by, record)
