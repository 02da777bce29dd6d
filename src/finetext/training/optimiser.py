"""AdamW and the learning rate over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from finetext.training.precision import cast_weights


class Optimiser:
    """AdamW (Loshchilov and Hutter 2019) without decay on biases and normalisation weights.

    Weights that are kept in bf16 have a master copy in fp32, which is what the optimiser updates:
    in bf16, with its 8 bits of precision, most updates of a small learning rate would round to
    nothing (Micikevicius et al. 2018, "Mixed Precision Training").
    """

    def __init__(
        self, model: Any, learning_rate: float, weight_decay: float, precision: str = "fp32"
    ) -> None:
        """Take over the weights of a model.

        Args:
            model: in fp32; its parameters that require a gradient are updated.
            learning_rate: highest learning rate.
            weight_decay: decoupled decay of the matrices.
            precision: "bf16" keeps the weights of the model in bf16 until `release`.
        """
        import torch

        self._weights = dict(model.named_parameters())
        self._masters = dict(self._weights)
        if precision == "bf16":
            self._masters = {
                name: torch.nn.Parameter(weight.detach().clone(), weight.requires_grad)
                for name, weight in self._weights.items()
            }
            cast_weights(model, "bf16")
        learning = [weight for weight in self._masters.values() if weight.requires_grad]
        groups = [
            {"params": [p for p in learning if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self._fused = all(weight.device.type in ("cpu", "cuda") for weight in learning)
        self.adamw = torch.optim.AdamW(groups, lr=learning_rate, fused=self._fused)

    def step(self, largest_gradient: float) -> Any:
        """Clip the gradients, update the weights and forget the gradients.

        Args:
            largest_gradient: norm to which the gradients are clipped.

        Returns:
            their norm before, a scalar tensor.
        """
        import torch

        for weight, master in self._copied():
            master.grad = None if weight.grad is None else weight.grad.float()
        norm = torch.nn.utils.clip_grad_norm_(self._masters.values(), largest_gradient)
        self.adamw.step()
        self._copy_back()
        self.forget_gradients()
        return norm

    def release(self) -> None:
        """Give the model its weights back in fp32; nothing can be updated from then on."""
        for weight, master in self._copied():
            weight.data = master.data
        self.forget_gradients()

    def forget_gradients(self) -> None:
        """Begin a step anew."""
        for parameter in (*self._weights.values(), *self._masters.values()):
            parameter.grad = None

    @property
    def weights(self) -> dict[str, Any]:
        """The weights in fp32, by name; they change with the next step."""
        return {name: master.detach() for name, master in self._masters.items()}

    def state(self) -> dict[str, Any]:
        """Tensors by name: the weights in fp32, the moments and the number of steps."""
        tensors = {f"weight/{name}": weight for name, weight in self.weights.items()}
        for name, master in self._masters.items():
            for key, value in self.adamw.state.get(master, {}).items():
                tensors[f"{key}/{name}"] = value
        return tensors

    def load_weights(self, weights: Mapping[str, Any]) -> None:
        """Take other weights, by name, and forget the moments."""
        import torch

        with torch.no_grad():
            for name, master in self._masters.items():
                master.copy_(weights[name])
        self._copy_back()
        self.adamw.state.clear()

    def load_state(self, tensors: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.load_weights({name: tensors[f"weight/{name}"] for name in self._masters})
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
        import torch

        with torch.no_grad():
            for weight, master in self._copied():
                weight.copy_(master)


def linear_with_warmup(optimiser: Any, steps: int, warmup_share: float, done: int = 0) -> Any:
    """A schedule that rises linearly over the first share of the steps, then falls to zero.

    Args:
        optimiser: a torch optimiser; its learning rates are the highest.
        steps: steps in all.
        warmup_share: share of the steps in which the rate rises.
        done: steps that were made before.
    """
    from transformers import get_linear_schedule_with_warmup

    for group in optimiser.param_groups:
        group.setdefault("initial_lr", group["lr"])
    return get_linear_schedule_with_warmup(
        optimiser, round(steps * warmup_share), steps, last_epoch=done - 1
    )
