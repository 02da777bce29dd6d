"""The model folder: everything that prediction needs, without pickle.

`finetext.json` names the kind of classifier, the label scheme, the decision and the format
version, and lists the files with their hashes; the weights lie beside it in the layout of that
kind, and `README.md` is the model card.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from finetext.core import registry
from finetext.core.contracts import Classifier
from finetext.core.decision import decision_in
from finetext.core.errors import DataError, ModelError, UnknownNameError
from finetext.core.types import LabelScheme
from finetext.models.card import is_ours, model_card
from finetext.models.files import CARD, DESCRIPTION, check_sizes, listed, refuse_pickles, sealed
from finetext.models.foreign import is_foreign, load_foreign, looks_like
from finetext.storage.files import replaced_folder, write_json, write_text
from finetext.training.precision import check_precision

FORMAT_VERSION: Final = 2
_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, AttributeError)


def save_model(
    classifier: Classifier,
    folder: Path,
    made_by: Mapping[str, Any] | None = None,
    record: Mapping[str, Any] | None = None,
) -> Path:
    """Write the model folder beside its place and rename it, so that it is never half there.

    Args:
        classifier: what to save.
        folder: where; a model folder that is there already is replaced, but for a model card that
            was written by hand.
        made_by: what is known of how it was trained, for the provenance in `finetext.json`.
        record: what is known of its data and of how good it is; see `finetext.runs.recording`.

    Raises:
        ModelError: something else is there, or the place cannot be written.
    """
    from safetensors import SafetensorError

    if folder.exists() and not (folder / DESCRIPTION).is_file():
        raise ModelError(f"{folder} exists and is not a finetext model; choose another folder")
    try:
        with replaced_folder(folder) as unfinished:
            classifier.save_weights(unfinished)
            described = _describe(classifier, made_by or {})
            if record:
                described["record"] = dict(record)
            if _is_written_by_hand(folder / CARD):
                shutil.copyfile(folder / CARD, unfinished / CARD)
            write_description(unfinished, {**described, "files": listed(unfinished)})
    except (OSError, SafetensorError) as error:
        raise ModelError(f"the model cannot be written to {folder}: {error}") from None
    return folder


def load_model(folder: Path, device: str = "auto") -> Classifier:
    """Read a model folder, or a foreign one: a text classifier as transformers saves it.

    Args:
        folder: what `save_model` wrote.
        device: where a neural model predicts; see `FitContext.device`.

    Raises:
        ModelError: it is no model folder, from a newer version, damaged, or holds a pickle.
    """
    from safetensors import SafetensorError

    if is_foreign(folder):
        return load_foreign(folder, device)
    described = read_description(folder)
    refuse_pickles(folder)
    check_sizes(folder, described)
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
    return dict(read_description(folder).get("provenance", {}))


def record_of(folder: Path) -> dict[str, Any]:
    """What a model folder says of its data and of how good it is; nothing if nobody recorded it.

    Raises:
        ModelError: it is no model folder, or damaged.
    """
    return dict(read_description(folder).get("record", {}))


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Say in a model folder, and on its card, what its data were and how good it is.

    Raises:
        ModelError: it is no model folder, or damaged.
        OSError: it cannot be written.
    """
    write_description(folder, {**read_description(folder), "record": dict(record)})


def write_description(folder: Path, described: Mapping[str, Any], name: str = "") -> None:
    """Write `finetext.json`, and the model card unless there is one that was written by hand.

    What a writing that was killed has left beside them is removed.

    Args:
        folder: that of the model.
        described: what the file is to say.
        name: that of the model on the Hub, for the card; none by default.
    """
    for begun in (DESCRIPTION, CARD):
        for left in folder.glob(f".{begun}.*"):
            left.unlink(missing_ok=True)
    write_json(folder / DESCRIPTION, sealed(described))
    if not _is_written_by_hand(folder / CARD):
        write_text(folder / CARD, model_card(described, name))


def _is_written_by_hand(card: Path) -> bool:
    """Whether there is a model card that finetext did not write, or that was changed since."""
    return card.is_file() and not is_ours(card.read_text(encoding="utf-8", errors="replace"))


def _describe(classifier: Classifier, made_by: Mapping[str, Any]) -> dict[str, Any]:
    from finetext.core import __version__

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


def read_description(folder: Path) -> dict[str, Any]:
    """What `finetext.json` says.

    Raises:
        ModelError: the folder is no model folder, from a newer version, or damaged.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        reason = "has no finetext.json" if folder.is_dir() else "does not exist"
        like = looks_like(folder)
        raise ModelError(
            f"{folder} is not a finetext model: it {reason}" + (f"; it is {like}" if like else "")
        )
    try:
        described: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = int(described["format_version"])
        described["labels"], described["multilabel"]
        described["decision" if version > 1 else "thresholds"]
        for name, kind in (("labels", list), ("provenance", dict), ("record", dict)):
            if not isinstance(described.get(name, kind()), kind):
                raise TypeError(f"{name} is {described[name]!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is damaged: {error}") from None
    if version > FORMAT_VERSION:
        raise ModelError(
            f"{folder} has format version {version}, but this finetext reads up to "
            f"{FORMAT_VERSION}; upgrade finetext"
        )
    return described
