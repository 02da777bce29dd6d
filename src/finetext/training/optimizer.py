"""AdamW over layer groups, with fp32 masters of weights in bf16 or fp16, and loss scaling."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch

from finetext.core.settings import NumberFormat

FORMATS: Final = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
FIRST_SCALE: Final = 2.0**12
"""Low enough that few steps of a short training are skipped before the right scale is found."""
STEPS_TO_DOUBLE: Final = 2_000
LOSS_SCALE: Final = "loss_scale"
"""Name of the tensor of a checkpoint with the loss scale and the steps since its last change."""


def layer_groups(model: Any) -> list[list[str]]:
    """Return the names of all parameters in layer groups, as ULMFiT unfreezes them."""
    find = getattr(model, "get_output_embeddings", None)
    output_layer = find() if find is not None else None
    output = set() if output_layer is None else {id(of) for of in output_layer.parameters()}
    embeddings = [of for of in model.modules() if isinstance(of, torch.nn.Embedding)]
    embedded = {id(weight) for table in embeddings for weight in table.parameters()}
    layers = _layer_prefixes(model)
    groups: list[list[str]] = [[] for _ in range(len(layers) + 2)]
    above = not layers
    for name, weight in model.named_parameters():
        inside = next((k for k, prefix in enumerate(layers, 1) if name.startswith(prefix)), 0)
        above = above or inside > 0
        if inside:
            groups[inside].append(name)
        elif id(weight) in output or (above and id(weight) not in embedded):
            groups[-1].append(name)
        else:
            groups[0].append(name)
    return [group for group in groups if group]


def _layer_prefixes(model: Any) -> list[str]:
    """Prefixes of the layers' parameters, in order; empty if the model has no layers."""
    base = getattr(model, "base_model", model)
    prefix = next((f"{name}." for name, of in model.named_modules() if of is base and name), "")
    lists = [
        (name, of)
        for name, of in base.named_modules()
        if isinstance(of, torch.nn.ModuleList) and any(True for _ in of.parameters())
    ]
    if not lists:
        return []
    name, longest = max(lists, key=lambda pair: len(pair[1]))
    return [f"{prefix}{name}.{number}." for number in range(len(longest))]


class LossScale:
    """The factor of the loss in fp16, without which small gradients would round to zero.

    An overflow drops the gradients of the step and halves the factor, down to 1; 2,000 steps
    without one double it (Micikevicius et al. 2018, "Mixed Precision Training", section 3.2).
    """

    def __init__(self) -> None:
        """Start at the first factor."""
        self.factor = FIRST_SCALE
        self._since = 0

    def accepts(self, norm: float) -> bool:
        """Return whether to make a step with gradients of this norm, and adapt to it.

        At a factor of 1 every norm is accepted: then it is the training that failed.
        """
        is_overflow = not math.isfinite(norm)
        if is_overflow and self.factor > 1:
            self.factor, self._since = self.factor / 2, 0
            return False
        self._since += 1
        if self._since == STEPS_TO_DOUBLE:
            self.factor, self._since = self.factor * 2, 0
        return True

    def state(self) -> Any:
        """Return a tensor of the factor and the steps since it changed."""
        return torch.tensor([self.factor, self._since], dtype=torch.float64)

    def load_state(self, tensor: Any) -> None:
        """Restore what `state` returned."""
        self.factor, self._since = float(tensor[0]), int(tensor[1])


class Optimizer:
    """AdamW (Loshchilov and Hutter 2019) without decay on biases and normalization weights.

    Weights in bf16 or fp16 have a master copy in fp32, which is what is updated: with 8 or 11 bits
    of precision, most updates of a small learning rate would round to nothing (Micikevicius et al.
    2018, section 3.1). In fp16 the loss is scaled, too; see `LossScale`.
    """

    def __init__(
        self,
        model: Any,
        learning_rate: float,
        weight_decay: float,
        precision: NumberFormat = "fp32",
        groups: Sequence[Sequence[str]] | None = None,
    ) -> None:
        """Take over the weights of a model."""
        self._weights = dict(model.named_parameters())
        self._masters = dict(self._weights)
        self.loss_scale = LossScale() if precision == "fp16" else None
        if precision != "fp32":
            self._masters = {
                name: torch.nn.Parameter(weight.detach().clone(), weight.requires_grad)
                for name, weight in self._weights.items()
            }
            cast_weights(model, precision)
        names = [list(self._weights)] if groups is None else groups
        self._groups = [[name for name in of if self._weights[name].requires_grad] for of in names]
        parts: list[dict[str, Any]] = []
        for group in self._groups:
            weights = [self._masters[name] for name in group]
            for is_matrix, decay in ((True, weight_decay), (False, 0.0)):
                params = [weight for weight in weights if (weight.ndim > 1) == is_matrix]
                parts.append({"params": params, "weight_decay": decay})
        trained = [weight for part in parts for weight in part["params"]]
        self._fused = all(weight.device.type in ("cpu", "cuda") for weight in trained)
        self.adamw = torch.optim.AdamW(parts, lr=learning_rate, fused=self._fused)
        self.skipped = False

    def set_pace(self, rates: Sequence[float], momentum: float) -> None:
        """Set the learning rate of each group and the first beta, for the next step."""
        for number, part in enumerate(self.adamw.param_groups):
            part["lr"] = rates[number // 2]
            part["betas"] = (momentum, part["betas"][1])

    def freeze_below(self, first: int) -> None:
        """Train only the groups from this number on; the others get no gradients."""
        for number, names in enumerate(self._groups):
            for name in names:
                self._weights[name].requires_grad_(number >= first)

    def scaled(self, loss: Any) -> Any:
        """Return the loss to differentiate: in fp16 times the loss scale."""
        return loss if self.loss_scale is None else loss * self.loss_scale.factor

    def step(self, largest_gradient: float) -> Any:
        """Clip the gradients to a norm, update the weights and drop the gradients.

        Returns the norm of the gradients before clipping; 0 if they overflowed in fp16 and the
        step was skipped.
        """
        scale = self.loss_scale
        for weight, master in self._copied():
            master.grad = None if weight.grad is None else weight.grad.float()
            if scale is not None and master.grad is not None:
                master.grad /= scale.factor
        norm = torch.nn.utils.clip_grad_norm_(self._masters.values(), largest_gradient)
        self.skipped = scale is not None and not scale.accepts(float(norm))
        if self.skipped:
            norm = torch.zeros_like(norm)
        else:
            self.adamw.step()
            self._copy_back()
        self.forget_gradients()
        return norm

    @property
    def has_only_skipped(self) -> bool:
        """Whether no step was made yet, since all gradients overflowed in fp16."""
        return self.loss_scale is not None and not self.adamw.state

    def release(self) -> None:
        """Give the model its weights back in fp32, unfrozen; this ends the training."""
        self.freeze_below(0)
        for weight, master in self._copied():
            weight.data = master.data
        self.forget_gradients()

    def forget_gradients(self) -> None:
        """Drop all gradients."""
        for parameter in (*self._weights.values(), *self._masters.values()):
            parameter.grad = None

    @property
    def weights(self) -> dict[str, Any]:
        """The weights in fp32, by name; they change with the next step."""
        return {name: master.detach() for name, master in self._masters.items()}

    def state(self) -> dict[str, Any]:
        """Return tensors by name: fp32 weights, moments, number of steps, and in fp16 the scale."""
        tensors = {f"weight/{name}": weight for name, weight in self.weights.items()}
        if self.loss_scale is not None:
            tensors[LOSS_SCALE] = self.loss_scale.state()
        for name, master in self._masters.items():
            for key, value in self.adamw.state.get(master, {}).items():
                tensors[f"{key}/{name}"] = value
        return tensors

    def load_weights(self, weights: Mapping[str, Any]) -> None:
        """Replace the weights, by name, and forget the moments."""
        with torch.no_grad():
            for name, master in self._masters.items():
                master.copy_(weights[name])
        self._copy_back()
        self.adamw.state.clear()

    def load_state(self, tensors: Mapping[str, Any]) -> None:
        """Restore what `state` returned; that of another number format has no loss scale."""
        self.load_weights({name: tensors[f"weight/{name}"] for name in self._masters})
        if self.loss_scale is not None and LOSS_SCALE in tensors:
            self.loss_scale.load_state(tensors[LOSS_SCALE])
        for name, master in self._masters.items():
            for key in ("step", "exp_avg", "exp_avg_sq"):
                if (value := tensors.get(f"{key}/{name}")) is not None:
                    on_device = key != "step" or self._fused
                    value = value.to(master.device if on_device else "cpu")
                    self.adamw.state[master][key] = value

    def _copied(self) -> list[tuple[Any, Any]]:
        """The weights that are not in fp32, each with its master copy."""
        pairs = [(weight, self._masters[name]) for name, weight in self._weights.items()]
        return [(weight, master) for weight, master in pairs if weight is not master]

    def _copy_back(self) -> None:
        with torch.no_grad():
            for weight, master in self._copied():
                weight.copy_(master)


def cast_weights(model: Any, precision: NumberFormat) -> None:
    """Convert the weights of a model; buffers stay, as positions lose too much in 16 bits."""
    wanted = FORMATS[precision]
    for weight in model.parameters():
        if weight.dtype != wanted and weight.is_floating_point():
            weight.data = weight.data.to(wanted)
