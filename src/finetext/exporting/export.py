"""`export`: a trained classifier in another form, compared with the original before it is kept."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from finetext import registry
from finetext.artefact.files import DESCRIPTION
from finetext.artefact.folder import (
    load_model,
    provenance,
    read_description,
    record_of,
    save_model,
    write_json,
)
from finetext.artefact.static import StaticClassifier
from finetext.data.settings import ReadSettings
from finetext.errors import DataError, ModelError, RecipeError
from finetext.exporting.comparing import MOST_ROWS, Compared, Judging, bytes_of, compared
from finetext.exporting.exporter import EXPORTS, Exporter, Made
from finetext.exporting.origin import Origin, open_origin
from finetext.methods.base import Classifier
from finetext.pipeline import Listener

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
        made = exporter.make(origin, work)
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
    from finetext.recipe import made

    exporter: Exporter = made(
        f"the format {format}", registry.load("exporters", format), dict(settings)
    )
    return exporter


def _check(origin: Origin, exporter: Exporter, terms: ExportTerms) -> None:
    """Refuse what cannot be exported or compared, before the work.

    Raises:
        FinetextError: see `export`.
    """
    exporter.check(origin)
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
    how = Judging(origin.where, origin.metric, origin.seed, made.remark, origin.progress)
    with tempfile.TemporaryDirectory(prefix="finetext-") as temporary:
        models = [origin.model or save_model(origin.classifier, Path(temporary) / "original")]
        models.append(save_model(made.classifier, Path(temporary) / "export"))
        sizes = bytes_of(models[0]), bytes_of(models[1])
    return compared(origin.classifier, made.classifier, sizes, rows, how)


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
