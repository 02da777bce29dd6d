"""The search for the largest batch that fits into memory, for `batch_size = "auto"`."""

from __future__ import annotations

import copy
import json
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from finetext.core.arrays import Integers
from finetext.core.contracts import FitContext
from finetext.storage.files import write_json
from finetext.training.batches import give_back, is_out_of_memory
from finetext.training.checkpoint import random_states, set_random_states
from finetext.training.classification import ClassificationTask
from finetext.training.optimizer import Optimizer
from finetext.training.plan import AUTO, Hyperparameters
from finetext.training.precision import choose_precision
from finetext.training.record import Record
from finetext.training.state import bytes_a_token, bytes_to_use
from finetext.training.task import Task
from finetext.training.tokens import vocabulary_in_use

LARGEST: Final = 512
LARGEST_ON_A_CPU: Final = 32
FEWEST_STEPS_AN_EPOCH: Final = 20
"""Above a batch of 32: with ten epochs they make the 200 steps that fine-tuning takes."""
FILE: Final = "batch-size.json"
Method = TypeVar("Method", bound=Hyperparameters)


def with_batch_size(method: Method, model: Any, task: Task, context: FitContext) -> Method:
    """Return a method, of a classifier or a language model, with a number in the place of "auto".

    A resumed training has the number that it began with. Model, random generators and task are
    afterward as they were.
    """
    if method.batch_size != AUTO:
        return method
    place = None if context.checkpoints is None else context.checkpoints.folder / FILE
    size = _remembered(place)
    if size is None:
        with ExitStack() as reduced:
            if isinstance(task, ClassificationTask):
                tables = reduced.enter_context(vocabulary_in_use(model, task.tables))
                task = task.with_tables(tables)
            size = largest_batch(model, task, method, context)
        if place is not None:
            with suppress(OSError):
                place.parent.mkdir(parents=True, exist_ok=True)
                write_json(place, {"batch_size": size})
    return replace(method, batch_size=size)  # type: ignore[type-var]


def most_rows(rows: int, device_type: str) -> int:
    """Return the largest batch to try, a power of two.

    It is 32 on a CPU, and otherwise the largest up to 512 with 20 steps an epoch, at least 32.
    """
    most = LARGEST_ON_A_CPU
    if device_type != "cpu":
        most = min(LARGEST, max(most, rows // FEWEST_STEPS_AN_EPOCH))
    return int(2 ** (max(1, min(most, rows)).bit_length() - 1))


def largest_batch(model: Any, task: Task, settings: Hyperparameters, context: FitContext) -> int:
    """Return the largest power of two of rows, the longest ones, with which a step fits.

    A task whose batches have fewer rows than were asked for sets a limit by that.
    """
    device = next(model.parameters()).device
    longest = np.argsort(-task.lengths, kind="stable")
    most = most_rows(len(longest), device.type)
    in_a_batch = max(map(len, task.batches(most, context.seed, 0)))
    most = 2 ** (min(most, in_a_batch).bit_length() - 1)
    random, size = random_states(device), 1
    try:
        a_token = bytes_a_token(copy.deepcopy(model).train(), task)
        a_row = a_token * max(1, int(task.lengths[longest[0]]))
        while size < most:
            tried = 2 * size
            if a_row * tried > bytes_to_use(model) or not _fits(
                model, task, settings, longest[:tried]
            ):
                found = f"batch size {tried} does not fit; using {size}"
                break
            size = tried
            if size < most:
                context.say(f"{task.name}: batch size {size} fits, trying {2 * size}")
        else:
            limit = f"the most for {len(longest):,} training rows on {device.type}"
            found = f"using batch size {size}, {limit}"
    finally:
        set_random_states(random, device)
        task.load_state({})
    Record(task.name, [1], 1, context).event(found)
    return size


def _fits(model: Any, task: Task, settings: Hyperparameters, rows: Integers) -> bool:
    """Make a step on a copy of the model, beside as many weights as a training holds."""
    try:
        _try_step(model, task, settings, rows)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    finally:
        give_back()
    return True


def _try_step(model: Any, task: Task, settings: Hyperparameters, rows: Integers) -> None:
    device = next(model.parameters()).device
    trial = copy.deepcopy(model).train()
    held = [of.detach().clone() for of in model.parameters() for _ in ("best", "its copy")]
    # In fp16 the first steps may be dropped, without moments; bf16 takes as much memory.
    is_fp32 = choose_precision(settings.precision, device) == "fp32"
    optimizer = Optimizer(trial, 0.0, settings.weight_decay, "fp32" if is_fp32 else "bf16")
    batch = {name: of.to(device) for name, of in task.batch(rows).items()}
    task.loss(trial, batch).backward()
    float(optimizer.step(settings.largest_gradient))
    held.clear()


def _remembered(place: Path | None) -> int | None:
    with suppress(OSError, ValueError, TypeError, KeyError):
        size = json.loads(place.read_text("utf-8"))["batch_size"] if place is not None else None
        return size if isinstance(size, int) and size > 0 else None
    return None
