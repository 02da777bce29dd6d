"""The model folder: everything that prediction needs, without pickle.

`finetext.json` holds classifier, labels, decision rule, format version, and the files with their
hashes. Text classifiers as transformers saves them can be loaded too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetext.core.contracts import Classifier
from finetext.core.decision import AS_LIKELY, decision_in
from finetext.core.errors import DataError, ModelError, RunError, UnknownNameError
from finetext.core.settings import Precision
from finetext.core.types import LabelScheme
from finetext.encoders.config_keys import GLICLASS
from finetext.methods.members import LoadKind, load_kind
from finetext.models import files
from finetext.models.card import is_ours, model_card, without_path
from finetext.models.files import CARD, DESCRIPTION
from finetext.storage.files import check_new_folder, replaced_folder, write_json, write_text
from finetext.storage.received import (
    copy_received,
    names_received,
    private_folder,
    read_received_text,
    received_folder,
    sha256_received,
)
from finetext.storage.unfinished import recover
from finetext.training.precision import precision_of_model

if TYPE_CHECKING:
    from finetext.methods.transformer import TransformerClassifier

FORMAT_VERSION: Final = 2
LEADERBOARD: Final = "leaderboard.json"
VERDICT: Final = "verdict.json"
LARGEST_DESCRIPTION: Final = 64 << 20
LARGEST_CARD: Final = 16 << 20
WEIGHTS: Final = ".safetensors"
NO_WEIGHTS: Final = "has no weights in safetensors, the only format that finetext loads"
FOREIGN: Final = (
    "finetext did not write this transformers model: labels come from its config.json, the most "
    "probable one is predicted, and the probabilities may not be calibrated"
)
_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, AttributeError)
_UNNAMED: Final = {"0": "LABEL_0", "1": "LABEL_1"}
"""What transformers calls two labels without names, which it does not write down."""


def check_model_place(folder: Path, force: bool = False) -> None:
    """Raise an error if a model cannot be written to a folder, or would replace one unforced."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    recover(folder)
    if os.path.lexists(folder) and not (folder / DESCRIPTION).is_file():
        raise ModelError(f"{folder} exists and is not a finetext model; choose another folder")
    check_new_folder(folder, force)


def save_model(
    classifier: Classifier,
    folder: Path,
    made_by: Mapping[str, Any] | None = None,
    record: Mapping[str, Any] | None = None,
    beside: Mapping[str, Any] | None = None,
) -> Path:
    """Write a model folder whole or not at all; a handwritten card stays. Raises a ModelError.

    `beside` has the values of JSON files to write beside the weights, by their names.
    """
    from safetensors import SafetensorError

    from finetext.core import __version__

    recover(folder)
    if folder.exists() and not (folder / DESCRIPTION).is_file():
        raise ModelError(f"{folder} exists and is not a finetext model; choose another folder")
    try:
        with replaced_folder(folder) as unfinished:
            classifier.save_weights(unfinished)
            for name, values in (beside or {}).items():
                write_json(unfinished / name, values)
            described = {
                "format_version": FORMAT_VERSION,
                "finetext_version": __version__,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "classifier": classifier.kind,
                **classifier.scheme.to_json(),
                "decision": classifier.decision.to_json(),
                "precision": classifier.number_format,
                "provenance": {**_without_folders(made_by or {}), **classifier.provenance()},
                **({"record": dict(record)} if record else {}),
            }
            if is_handwritten(folder):
                copy_received(folder, CARD, unfinished / CARD)
            write_description(unfinished, {**described, "files": files.listed(unfinished)})
    except (OSError, SafetensorError) as error:
        raise ModelError(f"the model cannot be written to {folder}: {error}") from None
    return folder


def _without_folders(made_by: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a model was made, with an encoder in a local folder by its name and hash."""
    settings = made_by.get("hyperparameters")
    if not isinstance(settings, Mapping):
        return dict(made_by)
    made = {**made_by, "hyperparameters": without_path(settings)}
    with suppress(OSError):
        encoder = Path(str(settings.get("encoder")))
        made["encoder_sha256"] = sha256_received(encoder, "model.safetensors")
    return made


def load_model(
    folder: Path,
    device: str = "auto",
    load: LoadKind = load_kind,
    precision: Precision | None = None,
) -> Classifier:
    """Return the classifier in a model folder or one of transformers; raises a ModelError.

    Args:
        folder: the model folder.
        device: where a neural model predicts: "auto" (the default), "cpu", "cuda", ...
        load: loads it, and its members, by their kinds.
        precision: that of its predictions; None (the default) for the one it was saved with.
    """
    recover(folder)
    if is_foreign(folder):
        foreign = load_foreign(folder, device)
        return foreign if precision is None else foreign.with_precision(precision)
    described = read_description(folder)
    files.refuse_pickles(folder)
    known, saved = files.names_of(described), described.get("precision")
    if precision is None and saved is not None:
        precision = precision_of_model(saved, device)
    try:  # only what `finetext.json` lists is read
        with private_folder(folder, names_received(folder)[0] if known is None else known) as place:
            files.check_sizes(folder, place, described)
            return _load(folder, place, described, device, precision, load)
    except FileNotFoundError as error:
        missing = str(error.filename or error)
        raise ModelError(f"the model in {folder} is damaged: {missing} is missing") from None
    except OSError as error:
        raise ModelError(f"the model in {folder} cannot be read: {error}") from None


def _load(
    folder: Path,
    place: Path,
    described: Mapping[str, Any],
    device: str,
    precision: Precision | None,
    load: LoadKind,
) -> Classifier:
    """Return the classifier whose files are in `place`; messages name the folder of the user."""
    from safetensors import SafetensorError

    try:
        scheme = LabelScheme.from_json(described)
        decision = decision_in(described)
        decision.check(len(scheme))
        return load(str(described["classifier"]), place, scheme, decision, device, precision)
    except (UnknownNameError, ModelError) as error:
        text = str(error).replace(str(place), str(folder))
        raise ModelError(text if str(folder) in text else f"{folder}: {text}") from None
    except (*_UNREADABLE, DataError, SafetensorError) as error:
        reason = str(error).replace(str(place), str(folder))
        raise ModelError(f"the model in {folder} is damaged: {reason}") from None


def provenance(folder: Path) -> dict[str, Any]:
    """Return how a model was trained, as its folder says; raises a ModelError."""
    return dict(read_description(folder).get("provenance", {}))


def record_of(folder: Path) -> dict[str, Any]:
    """Return the data and the scores of a model, as its folder says; raises a ModelError."""
    return dict(read_description(folder).get("record", {}))


def write_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Write data and scores into folder and model card; raises a ModelError or an OSError."""
    write_description(folder, {**read_description(folder), "record": dict(record)})


def write_description(folder: Path, described: Mapping[str, Any], name: str = "") -> None:
    """Write `finetext.json`, and the model card unless there is a handwritten one.

    Raises a ModelError if the description is damaged, an OSError if it cannot be written.
    """
    write_json(folder / DESCRIPTION, files.sealed(described))
    if not is_handwritten(folder):
        write_text(folder / CARD, _card(folder, described, name))


def _card(folder: Path, described: Mapping[str, Any], name: str) -> str:
    from jinja2 import TemplateError

    try:
        return model_card(described, name)
    except (*_UNREADABLE, ArithmeticError, LookupError, TemplateError) as error:
        raise ModelError(
            f"no model card can be made of {folder / DESCRIPTION}: its provenance or its record is "
            f"damaged ({type(error).__name__}: {error})"
        ) from error


def is_handwritten(folder: Path) -> bool:
    """Return whether a folder has a card that finetext did not write, or changed since."""
    return (card := card_of(folder)) is not None and not is_ours(card)


def card_of(folder: Path) -> str | None:
    """Return the model card of a folder; None without one, or if it is a link out of it."""
    try:
        return read_received_text(folder, CARD, LARGEST_CARD, "replace")
    except OSError:
        return None


def is_described(folder: Path) -> bool:
    """Return whether a folder has a `finetext.json`, though it be damaged or a link."""
    return os.path.lexists(folder / DESCRIPTION)


def read_description(folder: Path) -> dict[str, Any]:
    """Return the content of `finetext.json`; raises a ModelError."""
    path = folder / DESCRIPTION
    if not is_described(folder):
        recover(folder)
    if not is_described(folder):
        reason = f"has no {DESCRIPTION}" if folder.is_dir() else "does not exist"
        reason += f"; it is {like}" if (like := looks_like(folder)) else ""
        raise ModelError(f"{folder} is not a finetext model: it {reason}")
    try:
        text = read_received_text(folder, DESCRIPTION, LARGEST_DESCRIPTION)
        described: dict[str, Any] = json.loads(text)
        version = int(described["format_version"])
        described["labels"], described["multilabel"]
        described["decision" if version > 1 else "thresholds"]
        for name, kind in (("labels", list), ("provenance", dict), ("record", dict)):
            if not isinstance(described.get(name, kind()), kind):
                raise TypeError(f"{name} is {described[name]!r}")
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise ModelError(f"{path} is damaged: {error}") from None
    if version > FORMAT_VERSION:
        known = f"this finetext reads up to {FORMAT_VERSION}; upgrade finetext"
        raise ModelError(f"{folder} has format version {version}, but {known}")
    return described


def best_model(folder: Path) -> Path:
    """Return the folder itself, or of a run folder that of its best model; raises a RunError."""
    recover(folder)
    if not os.path.lexists(folder / LEADERBOARD):
        return folder
    try:
        best = json.loads(read_received_text(folder, VERDICT))["best"]
        entries = json.loads(read_received_text(folder, LEADERBOARD))
        return received_folder(folder, str({of["method"]: of["model"] for of in entries}[best]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise RunError(f"the run in {folder} is damaged: {error}") from None


def model_in_run(folder: Path, name: str) -> Path:
    """Return the folder of a model inside a run folder; raises a RunError."""
    try:
        return received_folder(folder, name)
    except OSError as error:
        raise RunError(f"the run in {folder} has no model {name}: {error}") from None


def warning_of(folder: Path) -> str:
    """Return a warning about a model, or best model of a run, that is not as finetext wrote it."""
    folder = best_model(folder)
    if is_foreign(folder):
        return FOREIGN
    if files.is_changed(read_description(folder)):
        holds = "which holds the labels and the decision rule"
        return f"{folder / DESCRIPTION}, {holds}, was changed since finetext wrote it"
    return ""


def looks_like(folder: Path) -> str:
    """Return what a folder without `finetext.json` seems to be, to follow "it is"; or ""."""
    if (folder / LEADERBOARD).is_file():
        return "a run folder"
    if (folder / "recipe.toml").is_file() and (folder / "splits.parquet").is_file():
        return "the folder of a run that is not finished"
    if (folder / "origin.json").is_file():
        return "an encoder that finetext adapted or pretrained: train on it with --encoder"
    if is_foreign(folder):
        return "a text classifier of transformers"
    if (config := _config(folder)) is None:
        return ""
    if config.get("model_type") == GLICLASS:
        return "a GLiClass model: name the labels with finetext classify --labels --encoder"
    return "a transformers model but no text classifier; train on it with --encoder"


def is_foreign(folder: Path) -> bool:
    """Return whether a folder holds a text classifier of transformers, not written by finetext."""
    config = None if is_described(folder) else _config(folder)
    architectures = (config or {}).get("architectures") or ()
    return any(str(name).endswith("ForSequenceClassification") for name in architectures)


def load_foreign(folder: Path, device: str) -> TransformerClassifier:
    """Return a text classifier of transformers; raises a ModelError, also for any pickle."""
    from finetext.encoders.auto import context_of
    from finetext.encoders.load import load_classifier, load_tokenizer
    from finetext.encoders.vocabulary import extend_embedding
    from finetext.methods.transformer import TransformerClassifier
    from finetext.training.precision import choose_device

    files.refuse_pickles(folder)
    if not any(folder.glob(f"*{WEIGHTS}")):
        raise ModelError(f"{folder} {NO_WEIGHTS}")
    scheme = scheme_of(folder)
    place = str(folder.absolute())
    model, tokenizer = load_classifier(place, scheme).eval(), load_tokenizer(place)
    extend_embedding(place, model, tokenizer)
    model = model.to(choose_device(device))
    return TransformerClassifier(scheme, AS_LIKELY, model, tokenizer, context_of(place))


def scheme_of(folder: Path) -> LabelScheme:
    """Return the labels in a configuration of transformers; raises a ModelError."""
    config = _config(folder) or {}
    try:
        names = {int(key): str(name) for key, name in (config.get("id2label") or _UNNAMED).items()}
        if sorted(names) != list(range(len(names))):
            raise ValueError(f"its labels have the numbers {sorted(names)}")
        if len(names) < 2 or config.get("problem_type") == "regression":
            raise ValueError("it predicts a number, not labels")
        multilabel = config.get("problem_type") == "multi_label_classification"
        return LabelScheme(tuple(names[key] for key in sorted(names)), multilabel)
    except (AttributeError, TypeError, ValueError, DataError) as error:
        raise ModelError(f"the labels of {folder / 'config.json'} are unusable: {error}") from None


def _config(folder: Path) -> dict[str, Any] | None:
    try:
        config = json.loads(read_received_text(folder, "config.json", LARGEST_DESCRIPTION))
    except (OSError, ValueError, RecursionError):
        return None
    return config if isinstance(config, dict) and "model_type" in config else None
