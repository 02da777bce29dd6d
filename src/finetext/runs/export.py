"""`export`: a classifier in another format, kept if it predicts the same labels on real rows."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from finetext.core import registry
from finetext.core.budget import within_memory
from finetext.core.contracts import Classifier, Listener
from finetext.core.errors import DataError, ModelError, RecipeError
from finetext.core.settings import ReadSettings, made
from finetext.methods.static import StaticClassifier
from finetext.models.exporters import (
    MOST_ROWS,
    Compared,
    Exporter,
    Made,
    bytes_of,
    compare_export,
    is_export,
)
from finetext.models.files import DESCRIPTION
from finetext.models.folder import (
    load_model,
    provenance,
    read_description,
    record_of,
    save_model,
)
from finetext.models.reference import SAME, carry
from finetext.runs.origin import Origin, open_origin
from finetext.storage.files import check_new_folder
from finetext.storage.unfinished import recover

COMPARISON: Final = "export.json"
_MADE_BY: Final = ("method", "hyperparameters", "seed", "content_hash", "weak_labels")
_LEARNED: Final = ("learned_from", "chosen_on")
_RECORDED: Final = (
    "title", "data", "base", "base_rates", "findings", "folds", "machine", *_LEARNED,
)  # fmt: skip
"""What the record of the original says that holds for an export, too; scores do not."""


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
            default) for that of the format: 0.99 for ONNX, 0 for static
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
        format: "onnx" (the default) for onnxruntime without torch, also of members of a blend or a
            cascade; "static" for static embeddings distilled from the encoder.
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
        _save(new.classifier, place, origin, found)
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
    data, known = origin.data, origin.learned_from_all
    folded = known and origin.run is not None and bool(origin.run.folds)
    where = f"{'rows' if folded else 'validation rows'} of the run"
    if data is not None:
        named = isinstance(data, str | Path)  # by no folder of this machine
        where = f"rows of {Path(data).name}" if named else "rows that were given"
    if new.which:
        where += f" {new.which}"
    if known and data is None:
        where += ", which the original learned from"
    return compare_export(origin.original, new.classifier, rows, sizes, where, new.remark)


def _save(classifier: Classifier, place: Path, origin: Origin, found: Compared | None) -> None:
    """Write the model folder with the comparison, whole or not at all."""
    known, record, beside = dict[str, Any](), dict[str, Any](), dict[str, Any]()
    if origin.model is not None and (origin.model / DESCRIPTION).is_file():
        known, before = provenance(origin.model), record_of(origin.model)
        record = {name: before[name] for name in _RECORDED if name in before}
        if isinstance(cascade := before.get("cascade"), dict) and cascade.get("remark"):
            record["cascade"] = {"remark": cascade["remark"]}  # on the certificate before
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
            beside[COMPARISON] = found.to_json()
    if place.is_dir() and not any(place.iterdir()):
        place.rmdir()
    made_by: dict[str, Any] = {name: known[name] for name in _MADE_BY if name in known}
    save_model(classifier, place, made_by, record, beside)
    if known and found is not None and found.largest_difference < SAME and origin.model is not None:
        carry(origin.model, place, classifier.scheme, with_states=False)
