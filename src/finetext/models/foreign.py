"""Folders that finetext did not write: what they look like, and which it can predict with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from finetext.core.decision import AS_LIKELY
from finetext.core.errors import DataError, ModelError
from finetext.core.types import LabelScheme
from finetext.models.files import DESCRIPTION, refuse_pickles

if TYPE_CHECKING:
    from finetext.methods.finetune import TransformerClassifier


_CLASSIFIER: Final = "ForSequenceClassification"
_SEVERAL: Final = "multi_label_classification"
_UNNAMED: Final = {"0": "LABEL_0", "1": "LABEL_1"}
"""What transformers calls two labels without names, which it does not write down."""
WEIGHTS: Final = ".safetensors"
NO_WEIGHTS: Final = "has no weights in safetensors, which are the only ones we load"
FOREIGN: Final = (
    "this is a model of transformers that finetext did not write: the labels are those of its "
    "config.json, the likeliest is given, and whether the probabilities are calibrated is not known"
)


def looks_like(folder: Path) -> str:
    """What a folder without `finetext.json` seems to be, after "it is"; nothing if that is unknown.

    Args:
        folder: any path.
    """
    if (folder / "leaderboard.json").is_file():
        return "the folder of a run"
    if (folder / "recipe.toml").is_file() and (folder / "splits.parquet").is_file():
        return "the folder of a run that is not finished"
    if (folder / "origin.json").is_file():
        return "an encoder that finetext adapted or pretrained: train on it with --encoder"
    config = _config(folder)
    if config is None:
        return ""
    if _is_classifier(config):
        return "a text classifier of transformers"
    return "a model of transformers that is no text classifier; as an encoder, train on it"


def is_foreign(folder: Path) -> bool:
    """Whether a folder holds a text classifier of transformers that finetext did not write."""
    config = None if (folder / DESCRIPTION).is_file() else _config(folder)
    return config is not None and _is_classifier(config)


def load_foreign(folder: Path, device: str) -> TransformerClassifier:
    """A text classifier of transformers, with the labels of its configuration.

    It gives the likeliest label, or each from a probability of 0.5 where there can be several.
    Nothing is known of its temperature, so its probabilities are as they come.

    Args:
        folder: with `config.json`, a tokenizer and weights in safetensors.
        device: where it predicts; see `FitContext.device`.

    Raises:
        ModelError: it holds a pickle, has no safetensors or no labels, or cannot be loaded.
    """
    from finetext.encoders.auto import context_of
    from finetext.encoders.load import load_classifier, load_tokenizer
    from finetext.methods.finetune import TransformerClassifier
    from finetext.training.precision import choose_device

    refuse_pickles(folder)
    if not any(folder.glob(f"*{WEIGHTS}")):
        raise ModelError(f"{folder} {NO_WEIGHTS}")
    scheme = scheme_of(folder)
    place = str(folder.absolute())
    model = load_classifier(place, scheme).to(choose_device(device)).eval()
    return TransformerClassifier(scheme, AS_LIKELY, model, load_tokenizer(place), context_of(place))


def scheme_of(folder: Path) -> LabelScheme:
    """The labels that the configuration of a classifier of transformers names.

    Raises:
        ModelError: it gives a number, or its labels are not unique.
    """
    config = _config(folder) or {}
    try:
        names = {int(key): str(name) for key, name in (config.get("id2label") or _UNNAMED).items()}
        several = config.get("problem_type") == _SEVERAL
        if sorted(names) != list(range(len(names))):
            raise ValueError(f"its labels have the numbers {sorted(names)}")
        if len(names) < 2 or config.get("problem_type") == "regression":
            raise ValueError("it gives a number, not labels")
        return LabelScheme(tuple(names[key] for key in sorted(names)), several)
    except (AttributeError, TypeError, ValueError, DataError) as error:
        raise ModelError(f"the labels of {folder / 'config.json'} do not suit: {error}") from None


def _config(folder: Path) -> dict[str, Any] | None:
    """The configuration of transformers; None if there is none that can be read."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return config if isinstance(config, dict) and "model_type" in config else None


def _is_classifier(config: dict[str, Any]) -> bool:
    architectures = config.get("architectures") or ()
    return any(str(name).endswith(_CLASSIFIER) for name in architectures)
