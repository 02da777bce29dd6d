"""`export`: a classifier in another format, kept if it predicts the same labels on real rows."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from finetext.core import registry
from finetext.core.budget import within_memory
from finetext.core.contracts import Classifier, Listener, ProgressEvent, silent
from finetext.core.errors import DataError, ModelError, RecipeError, RunError, UnlabeledError
from finetext.core.settings import ReadSettings, made
from finetext.core.types import Dataset, Splits
from finetext.core.wording import refitted_in_words
from finetext.data.read import read as read_data
from finetext.methods.static import StaticClassifier
from finetext.models.exporters import (
    MOST_ROWS,
    Compared,
    Exporter,
    HeadRows,
    Made,
    Original,
    bytes_of,
    compare_export,
    is_export,
)
from finetext.models.files import DESCRIPTION
from finetext.models.folder import (
    load_model,
    model_in_run,
    provenance,
    read_description,
    record_of,
    save_model,
)
from finetext.models.reference import SAME, carry
from finetext.runs.load import load
from finetext.runs.predicted import USUAL_METRIC
from finetext.runs.recipe import Recipe, read_toml
from finetext.runs.run import Run
from finetext.runs.stored_splits import stored_splits
from finetext.storage.files import check_new_folder, write_json
from finetext.storage.unfinished import recover

COMPARISON: Final = "export.json"
_MADE_BY: Final = ("method", "hyperparameters", "seed", "content_hash", "weak_labels")
_LEARNED: Final = ("learned_from", "chosen_on")
_RECORDED: Final = (
    "title", "data", "base", "base_rates", "findings", "folds", "machine", *_LEARNED,
)  # fmt: skip
"""What the record of the original says that holds for an export, too; scores do not."""


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
            self.head_rows if has_rows else None, self.say, self.progress,
        )  # fmt: skip

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
        return Origin(load(what, "cpu"), model, data=data, reading=reading, seed=seed or 0)
    run = Run.open(found[0])
    entry = run.entry(found[1])
    classifier = run.classifier(entry.method, "cpu")
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


@dataclass(frozen=True, eq=False)
class Exported:
    """An export that was written, and its comparison with the original; None without rows."""

    folder: Path
    classifier: Classifier
    compared: Compared | None


@dataclass(frozen=True)
class ExportTerms:
    """When an export is kept.

    Attributes:
        least_agreement: share of the rows on which both must predict the same labels; None (the
            default) for that of the format: 0.99 for ONNX in float32, 0.97 in int8, none for static
            embeddings.
        force: whether to keep it if they do not, and without rows to compare on; and to replace an
            earlier export.
    """

    least_agreement: float | None = None
    force: bool = False

    def __post_init__(self) -> None:
        least = self.least_agreement
        if least is not None and not 0 <= least <= 1:
            raise RecipeError(f"the least agreement is a share from 0 to 1, not {least:g}")


@within_memory
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
        what: a run folder for its best method, the folder of a method, a model folder,
            "hub:owner/name", or a classifier.
        format: "onnx" (the default) for onnxruntime without torch; "static" for static embeddings
            distilled from the encoder.
        folder: where; by default the format's name beside the model's folder, as in
            `runs/reviews/finetune/onnx`. An earlier export is replaced.
        data: rows to compare on, anything that `finetext.read` takes, labeled or not; the
            validation rows of the run by default. A static export of a model that is in no run
            learns from most of them.
        read: how to read them.
        settings: of the format: `{"quantize": "int8"}` of "onnx", `{"dimensions": 128}` of
            "static".
        terms: when the export is kept; `ExportTerms()` by default.
        seed: seed of every random choice; that of the run, or 0, by default.
        listener: receives progress.

    Returns:
        the export, with its comparison with the original.

    Raises:
        ModelError: the model cannot be exported, or agrees too little; nothing is written.
        RecipeError: a setting is invalid, or there is neither a folder nor one of the model.
        DataError: there are no rows to compare on.
        MissingExtraError: a package that the format needs is not installed.
        UnknownNameError: there is no such format or method.
    """
    kind = registry.load("exporters", format)
    exporter: Exporter = made(f"the format {format}", kind, dict(settings or {}))
    terms, hears = terms or ExportTerms(), listener or Listener()
    opened = open_origin(what, data, read, seed)
    origin = replace(opened, say=hears.say, progress=hears.progress)
    place = _place(origin, exporter, folder, terms.force)
    exporter.check(origin.original)
    if origin.rows is None and not terms.force:
        raise DataError(
            f"{origin.name} is in no run, so there are no rows to compare the export with it on; "
            "give some with --data, or --force it without a comparison"
        )
    with tempfile.TemporaryDirectory(prefix="finetext-") as work:
        new = exporter.make(origin.original, Path(work))
        found = _compared(origin, new)
        if found is not None:
            _check_agreement(origin, found, exporter, terms)
        _save(new.classifier, place, origin, found, Path(work))
    return Exported(place, load_model(place, "cpu"), found)


def _check_agreement(
    origin: Origin, found: Compared, exporter: Exporter, terms: ExportTerms
) -> None:
    """Raise a `ModelError` if the export agrees too little with the original; say it with force."""
    least = terms.least_agreement
    least = exporter.least_agreement if least is None else least
    if found.agreement >= least:
        return
    message = (
        f"the export predicts the same labels as {origin.name} on {found.agreement:.2%} of "
        f"{found.rows:,} {found.where}, less than the required {least:.2%}"
    )
    if not terms.force:
        raise ModelError(
            f"{message}; nothing was written: --force keeps it, --least-agreement requires less"
        )
    origin.say(f"{message}; it is kept because of --force")


def _place(origin: Origin, exporter: Exporter, folder: str | Path | None, force: bool) -> Path:
    """Return where the export goes; raises an error if that is unknown, or holds something else."""
    if folder is not None:
        place = Path(folder)
    elif origin.model is not None:
        place = Path(os.path.abspath(origin.model)).parent / exporter.folder_name
    else:
        raise RecipeError("name the folder for the export with --out")
    recover(place)
    if not place.exists():
        return place
    is_model = (place / DESCRIPTION).is_file()
    is_older = is_model and is_export(read_description(place)["classifier"], provenance(place))
    if not is_older and (not place.is_dir() or any(place.iterdir())):
        raise ModelError(f"{place} holds something other than an export; choose another folder")
    check_new_folder(place, force)
    return place


def _compared(origin: Origin, new: Made) -> Compared | None:
    """Compare both on the rows of the export, or else of the origin; None without any."""
    rows = new.rows or origin.rows
    if rows is None:
        origin.say("not compared with the original, as there are no rows")
        return None
    origin.say(f"comparing both on {min(len(rows), MOST_ROWS):,} rows")
    with tempfile.TemporaryDirectory(prefix="finetext-") as temporary:
        models = [origin.model or save_model(origin.classifier, Path(temporary) / "original")]
        models.append(save_model(new.classifier, Path(temporary) / "export"))
        sizes = bytes_of(models[0]), bytes_of(models[1])
    where, data = "validation rows of the run", origin.data  # no folder of this machine
    if origin.learned_from_all:
        kind = "rows" if origin.run is not None and origin.run.folds else "validation rows"
        where = f"{kind} of the run, which the original learned from"
    if data is not None:
        named = isinstance(data, str | Path)
        where = f"rows of {Path(data).name}" if named else "rows that were given"
    return compare_export(origin.original, new.classifier, rows, sizes, where, new.remark)


def _save(
    classifier: Classifier, place: Path, origin: Origin, found: Compared | None, work: Path
) -> None:
    """Write the model folder with the comparison, whole or not at all."""
    known, record = dict[str, Any](), dict[str, Any]()
    if origin.model is not None and (origin.model / DESCRIPTION).is_file():
        known, before = provenance(origin.model), record_of(origin.model)
        record = {name: before[name] for name in _RECORDED if name in before}
        if isinstance(classifier, StaticClassifier):
            for name in ("base_rates", "folds", *_LEARNED):  # those of its new head are others
                record.pop(name, None)
            if origin.learned_from_all and "data" in record:
                record["data"] = {of: it for of, it in record["data"].items() if of != "rows"}
    if found is not None:
        record["export"] = found.to_json()
        if isinstance(classifier, StaticClassifier):
            classifier = replace(classifier, compared=found.to_json())
        else:
            write_json(work / COMPARISON, found.to_json())
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()
    save_model(classifier, place, {name: known[name] for name in _MADE_BY if name in known}, record)
    if known and found is not None and found.largest_difference < SAME and origin.model is not None:
        carry(origin.model, place, classifier.scheme, with_states=False)
