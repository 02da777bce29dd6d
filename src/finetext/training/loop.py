"""The training loop, the only one: read it from top to bottom.

It knows nothing of texts or labels: a `Task` says how rows become batches, what the loss is and
how good the model is. The hyperparameters are those of the method that calls it. What a training
has at hand, and how it is kept and found again, is in `finetext.training.progress`.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from finetext.methods.base import FitContext
from finetext.training.batches import shared_out, training_batches
from finetext.training.interrupts import uninterrupted
from finetext.training.memory import give_back, is_out_of_memory
from finetext.training.progress import Diverged, Plan, Training, make_accelerator
from finetext.training.task import Hyperparameters, Task
from finetext.types import Integers

MANY_STEPS: Final = 200
"""Steps after which a model that tells nothing apart has diverged, rather than just begun."""


def train_model(
    model: Any,
    task: Task,
    settings: Hyperparameters,
    epochs: int,
    learning_rate: float,
    context: FitContext,
) -> None:
    """Train a model in place; it ends with the weights that were best on validation.

    A state that a killed training left in `context.checkpoints` is gone on from, to the last bit.
    A training that diverges is tried once more, from the best weights so far, in fp32 and with a
    tenth of the learning rate.

    Args:
        model: a `torch.nn.Module` in fp32.
        task: batches, loss and evaluation.
        settings: batch size, decay, warm-up, clipping, evaluation and precision.
        epochs: passes over the rows.
        learning_rate: highest learning rate, reached after warm-up.
        context: seed, device, checkpoints and listeners.

    Raises:
        ModelError: the loss became infinite or not a number twice, or the state in
            `context.checkpoints` is of another training.
    """
    accelerator = make_accelerator(context)
    batches = [
        shared_out(
            training_batches(task.lengths, settings.batch_size, context.seed, epoch),
            accelerator.num_processes,
            accelerator.process_index,
        )
        for epoch in range(epochs)
    ]
    plan = Plan(task.name, batches, len(task.lengths), learning_rate, settings)
    with Training.begun(model, task, plan, accelerator, context) as training:
        while True:
            try:
                _train(training, task, settings)
                break
            except Diverged as reason:
                training.start_again(str(reason))
            except KeyboardInterrupt:
                training.save()
                raise
        training.take_best_weights()


def _train(training: Training, task: Task, settings: Hyperparameters) -> None:
    """All steps that are still to be made.

    Raises:
        Diverged: the loss became infinite or not a number, or the model tells nothing apart.
    """
    _evaluate_if_due(training, task, settings)
    for rows in training.remaining_batches():
        if training.best.is_stale:
            training.record.happened(
                f"stopped early at step {training.record.step} of {training.record.steps}"
            )
            return
        training.model.train()
        loss = _gradients(training, task, rows)
        with uninterrupted():
            norm = float(training.optimiser.step(settings.largest_gradient))
            training.schedule.step()
            training.count(len(rows), loss, norm)
        if not math.isfinite(loss):
            raise Diverged(f"the training loss became {loss} at step {training.record.step}")
        if not math.isfinite(norm):
            raise Diverged(f"the gradient became {norm} at step {training.record.step}")
        _evaluate_if_due(training, task, settings)
        training.save_if_due()


def _gradients(training: Training, task: Task, rows: Integers) -> float:
    """The mean loss of a batch, with its gradients; in smaller parts where memory runs out."""
    while True:
        parts = np.array_split(rows, min(training.parts, len(rows)))
        try:
            return sum(_gradients_of_part(training, task, part, len(rows)) for part in parts)
        except (RuntimeError, MemoryError) as error:
            if len(parts) == len(rows) or not is_out_of_memory(error):
                raise
        training.optimiser.forget_gradients()
        give_back()
        training.halve_parts()


def _gradients_of_part(training: Training, task: Task, rows: Integers, of: int) -> float:
    """The share of a part in the mean loss of a batch of so many rows, with its gradients."""
    batch = {name: part.to(training.device) for name, part in task.batch(rows).items()}
    loss = task.loss(training.model, batch)
    training.accelerator.backward(loss * (len(rows) / of))
    return float(loss.detach()) * len(rows) / of


def _evaluate_if_due(training: Training, task: Task, settings: Hyperparameters) -> None:
    """Measure on validation rows, and keep the weights if they are the best so far.

    Raises:
        Diverged: the model tells nothing apart, though it did before, or after many steps.
    """
    record = training.record
    if not record.is_due(settings.evaluate_every):
        return
    found = task.evaluate(training.bare)
    score = -math.inf if found.collapse else found.score
    with uninterrupted():
        record.evaluated(found.figures)
        training.best.offer(score, record.step, training.optimiser.weights)
    if not found.collapse:
        return
    is_last = record.step == record.steps
    if training.best.is_good or (is_last and record.steps >= MANY_STEPS):
        raise Diverged(f"{found.collapse} at step {record.step}")
    if is_last:
        training.tell(f"{found.collapse}: {record.steps} steps were too few to learn anything")
