"""The `Accelerator` of accelerate: the device and the trackers of one training."""

from __future__ import annotations

from typing import Any

import torch

from finetext.core.contracts import FitContext
from finetext.training.launch import refuse_launchers
from finetext.training.precision import choose_device


def make_accelerator(context: FitContext) -> Any:
    """Return an `Accelerator` with the device and the trackers of one training.

    Raises:
        RecipeError: this is one of several processes that do not train together.
    """
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    refuse_launchers()
    # The device belongs to one training, not to the whole process.
    AcceleratorState._reset_state(reset_partial_state=True)
    device = choose_device(context.device)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    options: dict[str, Any] = {}
    if context.log is not None and context.trackers:
        options = {"log_with": list(context.trackers), "project_dir": context.log.parent}
    accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="no", **options)
    if options:
        accelerator.init_trackers("tracked")
    return accelerator


def end_trackers(accelerator: Any) -> None:
    """Let trackers write the rest; `end_training` would part processes that train together."""
    for tracker in accelerator.trackers:
        tracker.finish()
