"""A layer that standardises what a head reads, by what training texts give before the first step.

What a small recurrent language model says of two texts is nearly the same: the difference is a
fraction of what they have in common, and a head with few rows to learn from sees the latter first.
ULMFiT takes it off by normalising over each batch (Howard and Ruder 2018). Here mean and deviation
are measured once, before training, as in the data-dependent initialisation of Salimans and Kingma
2016 ("Weight Normalization", section 3), and stay: the logits of a text do not depend on its batch,
and there are no running averages that differ between training and prediction.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn

SAME: Final = 1e-5
"""Deviation up to which a value is the same in all texts, and is not scaled."""
SMALL: Final = 0.01
"""The same, as a share of the mean: what differs less is rounded away in bf16."""


class Standardised(nn.Module):
    """Values less their mean, in units of their deviation; unchanged until `standardise` is called.

    Attributes:
        mean: (width,) over training texts.
        deviation: (width,) standard deviation over training texts.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int) -> None:
        """Begin with a mean of 0 and a deviation of 1.

        Args:
            width: number of values of a text.
        """
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))

    def forward(self, values: Tensor) -> Tensor:
        """(n, width) values in, as many out, in the same number format."""
        return ((values - self.mean) / self.deviation).to(values.dtype)

    @property
    def is_measured(self) -> bool:
        """Whether it was measured, now or before the model was saved."""
        return bool(self.mean.any())

    @torch.no_grad()
    def measure(self, values: Tensor) -> None:
        """Take mean and deviation from (n, width) values of n texts, at least two."""
        mean, deviation = values.float().mean(dim=0), values.float().std(dim=0)
        differs = deviation > torch.clamp(SMALL * mean.abs(), min=SAME)
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(differs, deviation, 1.0))


def standardise(model: nn.Module, read: Callable[[], Any]) -> None:
    """Measure what the `Standardised` layers of a model are given, those that are not measured yet.

    Args:
        model: a model with any number of such layers; without one nothing is done.
        read: puts training texts through the model.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, Standardised)]
    for layer in (layer for layer in layers if not layer.is_measured):
        given: list[Tensor] = []
        hook = layer.register_forward_pre_hook(lambda _, values, to=given: to.append(values[0]))
        try:
            read()
        finally:
            hook.remove()
        if sum(map(len, given)) > 1:
            layer.measure(torch.cat(given))


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
