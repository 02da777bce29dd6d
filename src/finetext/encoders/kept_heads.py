"""What becomes of the classification head of a folder that training starts from.

A head is kept if it is for the same labels, in any order, with as many of them per text. Anything
else would give a new task the answers of another one: a head for as many other labels fits by its
shape alone. Names that transformers gives, `LABEL_0` and so on, say nothing, so they are never the
same; nor are whole numbers, which stand for other classes in each data set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from finetext.core.types import LabelScheme

_CLASSIFIER: Final = "ForSequenceClassification"
_TASK_HEADS: Final = (
    _CLASSIFIER, "ForTokenClassification", "ForMultipleChoice", "ForQuestionAnswering",
)  # fmt: skip
"""Heads that one task has shaped. That of a language model is part of what was pretrained."""
_UNNAMED: Final = re.compile(r"(LABEL_|-)?\d+")
_SHOWN: Final = 5


def has_task_head(config: Any) -> bool:
    """Return whether the model of a folder with this configuration was trained on a task."""
    return any(str(name).endswith(_TASK_HEADS) for name in config.architectures or ())


def why_new(was: Any, scheme: LabelScheme, model: Any, report: Mapping[str, Any]) -> str | None:
    """Return why the head of a folder cannot be kept for the labels of a scheme; None if it can.

    `was` is the configuration of the folder, `report` that of transformers on loading `model`.
    """
    names = _names(was)
    is_several = was.problem_type == "multi_label_classification"
    if not any(str(name).endswith(_CLASSIFIER) for name in was.architectures):
        return "it does not classify whole texts"
    if was.problem_type == "regression" or len(names) < 2:
        return "it predicts a number"
    if all(_UNNAMED.fullmatch(name) for name in names):
        return f"its labels, {_some(names)}, have no names"
    if sorted(names) != sorted(scheme.names):
        return f"its labels are {_some(names)}, and these are {_some(scheme.names)}"
    if is_several != scheme.multilabel:
        numbers = ("several labels", "one label") if is_several else ("one label", "several labels")
        return f"it gives a text {numbers[0]}, and these texts have {numbers[1]}"
    if _lost(report) & _head_of(model):
        return "some of its weights are missing or have another shape"
    return None


def reorder(model: Any, was: Any, scheme: LabelScheme, inputs: Mapping[str, Any]) -> bool:
    """Put the outputs of a kept head in the order of a scheme; return whether that was possible."""
    import torch

    from finetext.encoders.heads import output_layer

    names = _names(was)
    if names == list(scheme.names):
        return True
    name = output_layer(model, len(names), inputs)
    if name is None:
        return False
    order = [names.index(label) for label in scheme.names]
    with torch.no_grad():
        for parameter in model.get_submodule(name).parameters():
            parameter.copy_(parameter[order].clone())
    return True


def with_new_head(model: Any, report: Mapping[str, Any]) -> Any:
    """Return a model of the same encoder, its head drawn as if the folder had none."""
    import torch

    lost = _lost(report) | _head_of(model)
    kept = {name: weight for name, weight in model.state_dict().items() if name not in lost}
    return type(model).from_pretrained(
        None, config=model.config, state_dict=kept, dtype=torch.float32, trust_remote_code=False
    )


def _names(config: Any) -> list[str]:
    """The labels of a configuration by their number."""
    return [str(name) for _, name in sorted(config.id2label.items())]


def _lost(report: Mapping[str, Any]) -> set[str]:
    """The weights that a folder did not have, or not in the right shape."""
    mismatched = (key if isinstance(key, str) else key[0] for key in report["mismatched_keys"])
    return {*map(str, report["missing_keys"]), *mismatched}


def _head_of(model: Any) -> set[str]:
    """The names of the weights that are no part of the encoder."""
    prefix = f"{model.base_model_prefix}."
    return {name for name in model.state_dict() if not name.startswith(prefix)}


def _some(names: Any) -> str:
    """The first labels in words."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(list(names)[:_SHOWN]) + more
