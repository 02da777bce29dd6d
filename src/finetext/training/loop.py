"""The training loop, the only one: read it from top to bottom.

It knows nothing of texts or labels: a `Task` says how rows become batches, what the loss is and
how good the model is. The hyperparameters are those of the method that calls it. What a training
has at hand, and how it is kept and found again, is in `finetext.training.state`.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.contracts import FitContext
from finetext.training.batches import give_back, is_out_of_memory
from finetext.training.plan import Hyperparameters, Plan, Stage, Task, schedule
from finetext.training.precision import Choice
from finetext.training.state import Diverged, Training, floats, make_accelerator


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C and a request to terminate back until the body has ended, then let them through.

    Outside the main thread, where no signal arrives, nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[tuple[int, Any]] = []
    usual = {
        name: signal.signal(name, lambda number, frame: held.append((number, frame)))
        for name in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(name) is not None
    }
    try:
        yield
    finally:
        for name, handler in usual.items():
            signal.signal(name, handler)
        for number, _ in held[:1]:
            signal.raise_signal(number)


MANY_STEPS: Final = 200
"""Steps after which a model that tells nothing apart has diverged, rather than just begun."""


def train_model(
    model: Any,
    task: Task,
    settings: Hyperparameters,
    stages: Sequence[Stage],
    context: FitContext,
) -> Choice:
    """Train a model in place; it ends with the weights that were best on validation.

    A state that a killed training left in `context.checkpoints` is gone on from, on the processor
    to the last bit; on a GPU some kernels add up in an order of their own.
    A training that diverges is tried once more, from the best weights so far, in fp32 and with a
    tenth of the learning rate.

    Args:
        model: a `torch.nn.Module` in fp32.
        task: batches, loss and evaluation.
        settings: batch size, schedule, decay, clipping, evaluation and precision.
        stages: one after the other; each has a cycle of the schedule of its own.
        context: seed, device, checkpoints and listeners.

    Returns:
        in which number format, with which attention and on how many threads it was trained.

    Raises:
        ModelError: the loss became infinite or not a number twice, or the state in
            `context.checkpoints` is of another training.
    """
    accelerator = make_accelerator(context)
    shape = schedule(settings.schedule, settings.warmup_share)
    plan = Plan.made(task, stages, shape, settings, context.seed)
    with Training.begun(model, task, plan, accelerator, context) as training:
        while True:
            try:
                _train(training, task, settings)
                break
            except Diverged as reason:
                training.start_again(str(reason))
            except KeyboardInterrupt:
                if context.checkpoints is not None:
                    context.say("stopping; the state of training is written")
                training.save()
                raise
        training.take_best_weights()
        return training.choice


def _train(training: Training, task: Task, settings: Hyperparameters) -> None:
    """All steps that are still to be made.

    Raises:
        Diverged: the loss became infinite or not a number, or the model tells nothing apart.
    """
    record = training.record
    _evaluate_if_due(training, task, settings)
    for rows in training.remaining_batches():
        _refuse_collapse(training)
        training.enter_stage()
        if training.best.is_stale and training.is_last_stage:
            record.happened(f"stopped early at step {record.step} of {record.steps}")
            return
        mean_loss, gradient_norm = make_step(training, task, settings, rows)
        if not math.isfinite(mean_loss):
            raise Diverged(f"the training loss became {mean_loss} at step {record.step}")
        if not math.isfinite(gradient_norm):
            raise Diverged(f"the gradient became {gradient_norm} at step {record.step}")
        _evaluate_if_due(training, task, settings)
        training.save_if_due()
    _refuse_collapse(training)


def make_step(
    training: Training, task: Task, settings: Hyperparameters, rows: Integers
) -> tuple[float, float]:
    """One step of the optimizer: the mean loss of the batch and the norm of its gradient."""
    training.model.train()
    loss = _gradients(training, task, rows)
    with uninterrupted():
        training.set_pace()
        norm = training.optimizer.step(settings.largest_gradient)
        # One look at the device a step, when all of its work has been handed over.
        mean_loss, gradient_norm = floats(loss, norm)
        training.count(len(rows), mean_loss, gradient_norm)
    return mean_loss, gradient_norm


def _gradients(training: Training, task: Task, rows: Integers) -> Any:
    """The mean loss of a batch, with its gradients; in smaller parts where memory runs out."""
    while True:
        parts = np.array_split(rows, min(training.parts, len(rows)))
        try:
            return sum(_gradients_of_part(training, task, part, rows) for part in parts)
        except (RuntimeError, MemoryError) as error:
            if len(parts) == len(rows) or not is_out_of_memory(error):
                raise
        training.optimizer.forget_gradients()
        give_back()
        training.use_smaller_parts()


def _gradients_of_part(training: Training, task: Task, part: Integers, rows: Integers) -> Any:
    """The share of a part in the mean loss of a batch, with its gradients."""
    share = 1.0 if len(part) == len(rows) else task.weight(part) / task.weight(rows)
    batch = {name: of.to(training.device) for name, of in task.batch(part).items()}
    loss = task.loss(training.model, batch) * share
    training.accelerator.backward(loss)
    return loss.detach()


def _evaluate_if_due(training: Training, task: Task, settings: Hyperparameters) -> None:
    """Measure on validation rows, and keep the weights if they are the best so far."""
    record = training.record
    if not record.is_due(settings.evaluate_every):
        return
    found = task.evaluate(training.bare)
    score = -math.inf if found.collapse else found.score
    with uninterrupted():
        record.evaluated(found.figures, found.collapse)
        training.best.offer(score, record.step, training.optimizer.weights)


def _refuse_collapse(training: Training) -> None:
    """Refuse to go on with a model that tells nothing apart.

    Raises:
        Diverged: it did before, or has not learnt to in many steps.
    """
    record = training.record
    is_last = record.step == record.steps
    if not record.collapse or not (training.best.is_good or is_last):
        return
    if training.best.is_good or record.steps >= MANY_STEPS:
        raise Diverged(f"{record.collapse} at step {record.step}")
    training.tell(f"{record.collapse}: {record.steps} steps were too few to learn anything")
