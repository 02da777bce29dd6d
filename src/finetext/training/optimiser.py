"""AdamW and the learning rate over time."""

from __future__ import annotations

from typing import Any


def make_optimiser(model: Any, learning_rate: float, weight_decay: float) -> Any:
    """AdamW (Loshchilov and Hutter 2019) without decay on biases and normalisation weights.

    Args:
        model: its parameters that require a gradient are updated.
        learning_rate: highest learning rate.
        weight_decay: decoupled decay of the matrices.
    """
    from torch.optim import AdamW

    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim <= 1], "weight_decay": 0.0},
    ]
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in trainable)
    return AdamW(groups, lr=learning_rate, fused=fused)


def linear_with_warmup(optimiser: Any, steps: int, warmup_share: float) -> Any:
    """A schedule that rises linearly over the first share of the steps, then falls to zero."""
    from transformers import get_linear_schedule_with_warmup

    return get_linear_schedule_with_warmup(optimiser, round(steps * warmup_share), steps)
