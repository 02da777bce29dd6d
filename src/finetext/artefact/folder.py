"""The model folder: everything that prediction needs, without pickle.

`finetext.json` names the kind of classifier, the label scheme, the decision and the format
version; the weights lie beside it in the layout of that kind.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from finetext import registry
from finetext.decisions import decision_in
from finetext.durable import finish_folder, put_in_place, sync_names
from finetext.errors import DataError, ModelError, UnknownNameError
from finetext.methods.base import Classifier
from finetext.training.precision import check_precision
from finetext.types import LabelScheme

FORMAT_VERSION: Final = 2
DESCRIPTION: Final = "finetext.json"
_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, AttributeError)


def save_model(
    classifier: Classifier, folder: Path, made_by: Mapping[str, Any] | None = None
) -> Path:
    """Write the model folder beside its place and rename it, so that it is never half there.

    Args:
        classifier: what to save.
        folder: where; a model folder that is there already is replaced.
        made_by: what is known of how it was trained, for the provenance in `finetext.json`.

    Raises:
        ModelError: something else is there, or the place cannot be written.
    """
    from safetensors import SafetensorError

    if folder.exists() and not (folder / DESCRIPTION).is_file():
        raise ModelError(f"{folder} exists and is not a finetext model; choose another folder")
    try:
        with replaced_folder(folder) as unfinished:
            classifier.save_weights(unfinished)
            write_json(unfinished / DESCRIPTION, _describe(classifier, made_by or {}))
    except (OSError, SafetensorError) as error:
        raise ModelError(f"the model cannot be written to {folder}: {error}") from None
    return folder


def load_model(folder: Path, device: str = "auto") -> Classifier:
    """Read a model folder.

    Args:
        folder: what `save_model` wrote.
        device: where a neural model predicts; see `FitContext.device`.

    Raises:
        ModelError: it is no model folder, from a newer version, or damaged.
    """
    from safetensors import SafetensorError

    described = _read_description(folder)
    try:
        scheme = LabelScheme(tuple(described["labels"]), described["multilabel"])
        decision = decision_in(described)
        decision.check(len(scheme))
        kind = registry.load("classifiers", str(described["classifier"]))
        loaded: Classifier = kind.load_weights(folder.absolute(), scheme, decision, device)
    except UnknownNameError as error:
        raise ModelError(f"{folder}: {error}") from None
    except (*_UNREADABLE, DataError, SafetensorError) as error:
        raise ModelError(f"the model in {folder} is damaged: {error}") from None
    precision = described.get("precision")
    return loaded if precision is None else loaded.with_precision(check_precision(precision))


def provenance(folder: Path) -> dict[str, Any]:
    """What a model folder says of how it was trained.

    Raises:
        ModelError: it is no model folder, or damaged.
    """
    return dict(_read_description(folder).get("provenance", {}))


def _describe(classifier: Classifier, made_by: Mapping[str, Any]) -> dict[str, Any]:
    from finetext import __version__

    return {
        "format_version": FORMAT_VERSION,
        "finetext_version": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "classifier": classifier.kind,
        "labels": list(classifier.scheme.names),
        "multilabel": classifier.scheme.multilabel,
        "decision": classifier.decision.to_json(),
        "precision": classifier.number_format,
        "provenance": {**made_by, **classifier.provenance()},
    }


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    if not path.is_file():
        reason = "has no finetext.json" if folder.is_dir() else "does not exist"
        raise ModelError(f"{folder} is not a finetext model: it {reason}")
    try:
        described: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = int(described["format_version"])
        described["labels"], described["multilabel"]
        described["decision" if version > 1 else "thresholds"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is damaged: {error}") from None
    if version > FORMAT_VERSION:
        raise ModelError(
            f"{folder} has format version {version}, but this finetext reads up to "
            f"{FORMAT_VERSION}; upgrade finetext"
        )
    return described


def write_json(path: Path, value: Any) -> None:
    """Write JSON as `write_text` does."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text beside its place, down to the disk, and rename it, or leave nothing."""
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        os.chmod(beside, 0o644)
        put_in_place(Path(beside), path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to fill; when all went well it is on the disk, in the place of `folder`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield unfinished
        unfinished.chmod(0o755)
        finish_folder(unfinished)
        if folder.exists():
            old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
            os.replace(folder, old / "old")
            try:
                os.replace(unfinished, folder)
            except BaseException:
                os.replace(old / "old", folder)
                old.rmdir()
                raise
            shutil.rmtree(old)
        else:
            os.replace(unfinished, folder)
        sync_names(folder.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
