"""Temperature scaling inside a classification model, so that all who load it get the same."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any


def with_temperature(
    model: Any, labels: int, temperature: float, inputs: Mapping[str, Any]
) -> Any | None:
    """The model with the weights of its last layer divided by a temperature, and so its logits.

    Args:
        model: a `PreTrainedModel` with a classification head; it stays as it is, and shares all
            other weights with the one returned.
        labels: number of its outputs.
        temperature: a positive number.
        inputs: what the tokenizer makes of a text, to run the model with: some models ask for
            their own special tokens, or for a few tokens at least.

    Returns:
        a model of the same class, or None where its outputs do not come from one linear layer.
    """
    name = _last_layer(model, labels, inputs)
    if name is None:
        return None
    return _with_module(model, name.split("."), _scaled(model.get_submodule(name), temperature))


def _last_layer(model: Any, labels: int, inputs: Mapping[str, Any]) -> str | None:
    """The name of the linear layer whose outputs are the logits, found by running the model."""
    import torch

    outputs: dict[str, Any] = {}
    hooks = [
        module.register_forward_hook(lambda _, __, out, name=name: outputs.update({name: out}))
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module.out_features == labels
    ]
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            logits = model(**{name: of.to(model.device) for name, of in inputs.items()}).logits
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return next((name for name, out in outputs.items() if _is(out, logits)), None)


def _is(out: Any, logits: Any) -> bool:
    """Whether logits are the outputs of a layer, perhaps those at one of its positions."""
    import torch

    if out.dim() == 3:
        return any(torch.equal(out[:, i], logits) for i in range(out.shape[1]))
    return bool(torch.equal(out, logits))


def _scaled(layer: Any, temperature: float) -> Any:
    import torch

    scaled = copy.deepcopy(layer)
    with torch.no_grad():
        for parameter in scaled.parameters():
            parameter.div_(temperature)
    return scaled


def _with_module(module: Any, path: list[str], new: Any) -> Any:
    """A copy of a module with another part at a path, sharing all other parts."""
    if not path:
        return new
    copied = copy.copy(module)
    part = _with_module(module.get_submodule(path[0]), path[1:], new)
    object.__setattr__(copied, "_modules", {**module._modules, path[0]: part})
    return copied
