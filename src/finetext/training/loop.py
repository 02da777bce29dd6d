"""The training loop, the only one: read it from top to bottom.

It knows nothing of texts or labels: a `Task` defines batches, loss and evaluation, and the method
that calls it the hyperparameters. `finetext.training.state` holds and resumes a training's state.
"""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
import torch

from finetext.core.arrays import Integers
from finetext.core.console import STOP_SIGNALS
from finetext.core.contracts import FitContext
from finetext.core.deadline import Deadline
from finetext.training.batches import give_back, is_out_of_memory
from finetext.training.gradients import LostProcessError
from finetext.training.plan import Hyperparameters, Stage, make_plan
from finetext.training.precision import Choice
from finetext.training.ranks import Parts, ranks_here
from finetext.training.record import make_accelerator
from finetext.training.state import Diverged, Training
from finetext.training.task import Task
from finetext.training.timekeeper import Timekeeper

MANY_STEPS: Final = 200
"""Steps after which a model that does not distinguish texts has diverged, not just started."""
REMEDIES: Final = "more epochs, a smaller batch size, a higher learning rate or more rows"
OVERFLOW: Final = "the gradient overflowed in fp16"


class Trained(NamedTuple):
    """How a model was trained, and the step, of how many, that its weights are of."""

    choice: Choice
    step: int
    steps: int


def train_model(
    model: Any,
    task: Task,
    settings: Hyperparameters,
    stages: Sequence[Stage],
    context: FitContext,
    share: float = 1.0,
) -> Trained:
    """Train an fp32 model in place; it ends with the weights that `BestWeights` kept.

    Without validation rows these are the last ones. The training ends after `share` of its steps.

    It resumes from a checkpoint bit-identically on a CPU; some GPU kernels sum in varying order. If
    training diverges, it restarts once, in fp32 and with a tenth of the learning rate.

    Raises:
        ModelError: training diverged twice, or the checkpoint is of another training.
    """
    plan = make_plan(task, stages, settings, context.seed, share)
    with Training.start(model, task, plan, make_accelerator(context), context) as training:
        run_plan(training, task, settings, context.deadline)
        step, steps = training.record.step, len(training.plan.steps)
        if training.best.weights:
            training.optimizer.load_weights(training.best.weights)
            step = training.best.step
        return Trained(training.choice, step, steps)


def run_plan(
    training: Training,
    task: Task,
    settings: Hyperparameters,
    deadline: Deadline | None = None,
) -> None:
    """Make all steps of the plan that are left, in the body of `training.running`.

    With a deadline, those for which there is time, at least one, and the last evaluation after it.
    """
    keeper = Timekeeper(training, task, deadline)
    if task.divided_loss is None and ranks_here() is not None:
        training.record.event("its batches cannot be divided: the first process trains alone")
    try:
        while True:
            try:
                _train(training, task, settings, keeper)
                if keeper.cut:
                    training.warn(keeper.cut)
                return
            except Diverged as reason:
                training.restart(str(reason))
            except KeyboardInterrupt:
                training.stopped()
                raise
            except LostProcessError:
                if threading.current_thread() is threading.main_thread():
                    # A launcher stops all processes now, and this one ends by itself.
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                training.stopped()
                raise
    finally:
        if (ranks := ranks_here()) is not None:
            with uninterrupted():
                ranks.forget_model()


def _train(training: Training, task: Task, settings: Hyperparameters, keeper: Timekeeper) -> None:
    """All remaining steps; raises Diverged if a loss is not finite, or the model collapsed."""
    record = training.record
    _evaluate_if_due(training, task, settings)
    for rows in keeper.steps():
        _refuse_collapse(training)
        if task.is_learned:
            record.event(f"nothing is left to learn at step {record.step} of {record.steps}")
            return
        training.enter_stage()
        is_last_stage = training.plan.stage_of(record.step) == len(training.plan.stages) - 1
        if training.best.is_stale and is_last_stage:
            record.event(f"stopped early at step {record.step} of {record.steps}")
            return
        mean_loss, gradient_norm = make_step(training, task, settings, rows)
        for what, value in (("training loss", mean_loss), ("gradient", gradient_norm)):
            if not math.isfinite(value):
                raise Diverged(f"the {what} became {value} at step {record.step}")
        if record.step == record.steps and training.optimizer.has_only_skipped:
            raise Diverged(f"{OVERFLOW} in all {record.steps} steps")
        _evaluate_if_due(training, task, settings)
        training.save(only_if_due=True)
    if keeper.cut:  # maybe within an epoch
        _evaluate_if_due(training, task, settings)
    _refuse_collapse(training)


def make_step(
    training: Training, task: Task, settings: Hyperparameters, rows: Integers
) -> tuple[float, float]:
    """One step of the optimizer: the mean loss of the batch and the norm of its gradient.

    The norm of a gradient that overflowed in fp16 is 0: it is dropped, and no failure.
    """
    training.model.train()
    loss = _gradients(training, task, rows)
    with uninterrupted():
        training.set_pace()
        norm = training.optimizer.step(settings.largest_gradient)
        # Reading from a GPU waits for all its work, so both are read at once.
        mean_loss, gradient_norm = torch.stack([loss.float(), norm.float()]).tolist()
        training.count(len(rows), mean_loss, gradient_norm)
        scale = training.optimizer.loss_scale
        if scale is not None and training.optimizer.skipped:
            halved = f"loss scale halved to {scale.factor:,.0f}"
            training.record.log(f"{OVERFLOW}: no update, {halved}")
    return mean_loss, gradient_norm


def _gradients(training: Training, task: Task, rows: Integers) -> Any:
    """The mean loss of a batch, with its gradients; in smaller parts if memory runs out."""
    ranks = None if task.divided_loss is None else ranks_here()
    while True:
        if ranks is None:
            parts: Parts = [np.array_split(rows, min(training.parts, len(rows)))]
        else:
            parts = ranks.parts(rows, training.parts)
        own = partial(_own_gradients, training, task, parts[0], rows)
        try:
            if ranks is None:
                return own()
            with uninterrupted():  # or the others would wait for this process in vain
                return ranks.gradients(training, task, parts, own)
        except (RuntimeError, MemoryError) as error:
            if max(map(len, parts[0])) == 1 or not is_out_of_memory(error):
                raise
        training.optimizer.forget_gradients()
        give_back()
        training.use_smaller_parts()


def _own_gradients(
    training: Training, task: Task, parts: Sequence[Integers], rows: Integers
) -> Any:
    """The part of the mean loss of a batch, with its gradients, that some parts of it have."""
    losses = []
    for part in parts:
        share = 1.0 if len(part) == len(rows) else task.weight(part) / task.weight(rows)
        batch = {name: of.to(training.device) for name, of in task.batch(part).items()}
        loss = task.loss(training.model, batch) * share
        training.accelerator.backward(training.optimizer.scaled(loss))
        losses.append(loss.detach())
    return sum(losses)


def _evaluate_if_due(training: Training, task: Task, settings: Hyperparameters) -> None:
    """Evaluate on validation rows, and keep the weights if they are the best so far."""
    record = training.record
    if not record.is_due(settings.evaluate_every):
        return
    if (found := task.evaluate(training.bare)) is not None:
        with uninterrupted():
            training.evaluated(found)


def _refuse_collapse(training: Training) -> None:
    """Raise Diverged if the model stopped distinguishing texts, or has not started to.

    A few rows can be one class by chance at first; it stopped if it was clearly better before.
    """
    record = training.record
    is_waiting = training.best.is_good or record.step < record.steps
    if not record.collapse or (is_waiting and not record.is_lost):
        return
    is_open = training.held is not None  # a head that is trained alone may just need the rest
    if record.is_lost or (record.steps >= MANY_STEPS and not is_open):
        raise Diverged(f"{record.collapse} at step {record.step}")
    few = f"{record.collapse}: {record.steps} steps were too few to learn anything"
    if is_open:
        training.warn(f"{few}; train more layer groups in the next stage, or try {REMEDIES}")
        return
    unkept = "; no checkpoint is kept of such a model" if training.kept.most else ""
    training.warn(f"{few}; try {REMEDIES}{unkept}")


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay what stops a command until the body has ended; only the main thread receives it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    usual = {
        name: signal.signal(name, lambda number, frame: held.append(number))
        for name in STOP_SIGNALS
        if signal.getsignal(name) is not None
    }
    try:
        yield
    except LostProcessError:
        held.clear()  # sent by the launcher for the same reason, which the error tells
        raise
    finally:
        for name, handler in usual.items():
            signal.signal(name, handler)
        for number in held[:1]:
            signal.raise_signal(number)
