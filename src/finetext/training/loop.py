"""The training loop, the only one: read it from top to bottom.

It knows nothing of texts or labels: a `Task` says how rows become batches, what the loss is and
how good the model is. The hyperparameters are those of the method that calls it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from finetext.methods.base import FitContext
from finetext.training.batches import training_batches
from finetext.training.checkpoint import BestWeights
from finetext.training.optimiser import linear_with_warmup, make_optimiser
from finetext.training.precision import Precision, choose_device, choose_precision
from finetext.training.record import Record
from finetext.training.task import Hyperparameters, Task


def train_model(
    model: Any,
    task: Task,
    settings: Hyperparameters,
    epochs: int,
    learning_rate: float,
    context: FitContext,
) -> None:
    """Train a model in place; it ends with the weights that were best on validation.

    Args:
        model: a `torch.nn.Module`.
        task: batches, loss and evaluation.
        settings: batch size, decay, warm-up, clipping, evaluation and precision.
        epochs: passes over the rows.
        learning_rate: highest learning rate, reached after warm-up.
        context: seed, device and listeners.

    Raises:
        ModelError: the loss became infinite or not a number.
    """
    plan = [
        training_batches(task.lengths, settings.batch_size, context.seed, epoch)
        for epoch in range(epochs)
    ]
    record = Record(task.name, [len(batches) for batches in plan], len(task.lengths), context)
    best = BestWeights(settings.patience)
    accelerator = _accelerator(context.device, settings.precision)
    optimiser = make_optimiser(model, learning_rate, settings.weight_decay)
    schedule = linear_with_warmup(optimiser, sum(map(len, plan)), settings.warmup_share)
    bare, model = model, accelerator.prepare(model)
    accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    optimiser, schedule = accelerator.prepare(optimiser, schedule)

    for batch in _batches(task, plan, accelerator):
        model.train()
        with accelerator.autocast():
            loss = task.loss(model, batch)
        accelerator.backward(loss)
        norm = accelerator.clip_grad_norm_(model.parameters(), settings.largest_gradient)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        record.count(len(batch["input_ids"]), loss.item(), schedule.get_last_lr()[0], float(norm))

        if record.is_due(settings.evaluate_every):
            score, figures = task.evaluate(bare)
            record.evaluated(figures)
            best.offer(score, bare)
            if best.is_stale:
                record.stopped_early()
                break

    best.restore(bare)


def _batches(task: Task, plan: list[list[list[int]]], accelerator: Any) -> Iterator[dict[str, Any]]:
    """The batches of all epochs, on the device; each process of several gets its share."""
    from torch.utils.data import DataLoader

    for batches in plan:
        rows: Any = range(len(task.lengths))
        loader: Any = DataLoader(rows, batch_sampler=batches, collate_fn=task.batch)
        yield from accelerator.prepare(loader)


def _accelerator(device_name: str, precision: Precision) -> Any:
    import torch
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    # Device and precision belong to one training, not to the whole process.
    AcceleratorState._reset_state(reset_partial_state=True)
    device = choose_device(device_name)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    mixed = "bf16" if choose_precision(precision, device) == "bf16" else "no"
    return Accelerator(cpu=device.type == "cpu", mixed_precision=mixed)
