"""The state of a training: what it consists of, how it is saved, resumed and restarted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from typing import Any, Final, Self

from finetext.core.arrays import Integers
from finetext.core.contracts import Evaluated, FitContext
from finetext.core.errors import ModelError
from finetext.core.types import Finding
from finetext.training.batches import SHARE_TO_USE, activation_bytes, free_bytes, give_back
from finetext.training.checkpoint import (
    BestWeights,
    CheckpointFile,
    DamagedCheckpointError,
    KeptWeights,
    Snapshot,
    device_type_of,
    fingerprint,
    random_states,
    set_random_states,
)
from finetext.training.optimizer import Optimizer, layer_groups
from finetext.training.plan import Plan
from finetext.training.precision import (
    FLASH,
    Choice,
    applied,
    fastest_choice,
    precision_warning,
    use,
    with_cheap_dropout,
)
from finetext.training.record import Record, end_trackers
from finetext.training.task import Evaluation, Task

RESTART_FACTOR: Final = 0.1
"""Of the learning rate, after a training has diverged."""
CARRIED, BUFFER = "carried/", "buffer/"
"""Prefixes of the tensors of the task and of the model's buffers in a checkpoint."""
BYTES_OF_A_TRAINED_WEIGHT: Final = 28
"""In fp32: gradient, two moments, the first weights, the best, and a copy of these while they
change; in bf16 and fp16 weights and gradients once more."""


class Diverged(Exception):
    """Training failed in a way that a smaller learning rate may fix."""


class Training:
    """A running training: model, optimizer, record and best weights; `start` makes it."""

    def __init__(
        self, model: Any, plan: Plan, accelerator: Any, choice: Choice, context: FitContext
    ) -> None:
        """Take a model in fp32 on the device of the accelerator, before the first step."""
        self.bare = model
        self.model = accelerator.prepare(model)
        self.plan = plan
        self.accelerator = accelerator
        self.device = accelerator.device
        self.choice = self._asked = choice
        self.held: Snapshot | None = None
        self.parts = 1
        self.best = BestWeights(plan.settings.patience)
        total = plan.total_rows
        self.record = Record(plan.name, plan.steps_of_epochs, total, context, accelerator.log)
        self.groups = self._groups_of(plan)
        self.optimizer = self._new_optimizer()
        self._task: Task
        self.kept: KeptWeights
        self._carried: Mapping[str, Any] = {}
        self._stage = -1
        self.seed = context.seed
        self._context = context
        self._file: CheckpointFile | None = None
        self._reported_failure = False
        self._factor = 1.0
        self._random = random_states(self.device)
        self._first_weights = {name: of.clone() for name, of in self.optimizer.weights.items()}

    @classmethod
    @contextmanager
    def start(
        cls, model: Any, task: Task, plan: Plan, accelerator: Any, context: FitContext
    ) -> Iterator[Self]:
        """Yield a training that is ready for its first step, or resumed from a checkpoint."""
        training = cls.begin(model, task, plan, accelerator, context)
        try:
            with training.running():
                yield training
        finally:
            training.optimizer.release()
            end_trackers(accelerator)

    @classmethod
    def begin(
        cls, model: Any, task: Task, plan: Plan, accelerator: Any, context: FitContext,
        snapshot: Snapshot | None = None,
    ) -> Self:  # fmt: skip
        """Return a training whose steps are made in the body of `running`; maybe at a snapshot."""
        model.to(accelerator.device)
        file = None
        if context.checkpoints is not None:
            rest = {"seed": context.seed, "metric": context.metric, "encoder": fingerprint(model)}
            file = CheckpointFile(context.checkpoints, plan.identity() | rest)
            try:
                snapshot = file.read()
            except DamagedCheckpointError as error:
                message = f"{plan.name}: {error}; training starts from the beginning"
                context.find(Finding("warning", "damaged-checkpoint", message))
        precision = plan.settings.precision
        where = context.cache, context.deadline
        measure = partial(fastest_choice, model, task, plan.steps, precision, *where)
        if snapshot is not None:
            choice = Choice(**snapshot.facts["choice"])
        else:
            choice = measure() if file is None else file.choice(measure)
        with applied(choice, model), with_cheap_dropout(model):
            training = cls(model, plan, accelerator, choice, context)
            training._task, training._file = task, file
            if snapshot is None:
                training.parts = parts_that_fit(model.train(), task, plan.steps)
                task.load_state({})
            else:
                training.load(snapshot)
            if training._factor == 1.0:  # a restart, which was reported, is in fp32
                began = "" if snapshot is None else device_type_of(snapshot)
                if told := precision_warning(training.choice, precision, training.device, began):
                    training.warn(told)
            training.kept = KeptWeights(context.checkpoints, training.record.step)
        return training

    @contextmanager
    def running(self) -> Iterator[None]:
        """Use the kernels, threads and the cheap dropout of this training in the body."""
        with applied(self.choice, self.bare), with_cheap_dropout(self.bare):
            yield

    def extend(self, plan: Plan) -> None:
        """Go on with a longer plan, in the precision and with the rates before a restart."""
        groups = self._groups_of(plan)
        self.plan = plan
        self.record.set_plan(plan.steps_of_epochs, plan.total_rows)
        if groups != self.groups or self._factor < 1.0:
            self._factor, self.choice = 1.0, self._asked
            state = self.optimizer.state()
            self.optimizer.release()
            self.groups = groups
            self.optimizer = self._new_optimizer()
            self.optimizer.load_state(state)
        self._stage = -1

    def begin_stage(self, facts: Mapping[str, Any]) -> None:
        """Copy the state, with facts, as `held`: the earliest to restart from, into memory."""
        held = self.snapshot()
        tensors = {name: of.detach().to("cpu", copy=True) for name, of in held.tensors.items()}
        self.held = replace(held, tensors=tensors, facts={**held.facts, **facts})

    def _groups_of(self, plan: Plan) -> list[list[str]]:
        """Return the layer groups of a plan, one of all weights if they learn alike."""
        groups = layer_groups(self.bare)
        for stage in plan.stages:
            stage.check(len(groups))
        everything = [name for name, _ in self.bare.named_parameters()]
        return [everything] if plan.is_flat else groups

    def leave(self) -> None:
        """Give the model back as it was before the first step."""
        self.optimizer.load_weights(self._first_weights)
        self.optimizer.release()
        end_trackers(self.accelerator)

    def set_pace(self) -> None:
        """Set learning rates and momentum for the next step."""
        self.optimizer.set_pace(self._rates(), self.plan.pace(self.record.step).momentum)

    def count(self, rows: int, loss: float, gradient_norm: float) -> None:
        """Record a finished step; see `Record.count`."""
        self._random = random_states(self.device)
        self._carried = self._task.state()
        self.record.count(rows, loss, self._rates(), gradient_norm)

    def enter_stage(self) -> None:
        """Freeze and unfreeze layer groups if the next step is in another stage."""
        plan, number = self.plan, self.plan.stage_of(self.record.step)
        if number == self._stage:
            return
        self._stage = number
        if plan.is_first_of_stage(self.record.step):
            self.best.since = 0
        stage, total = plan.stages[number], len(self.groups)
        trained = total if stage.groups is None else min(stage.groups, total)
        self.optimizer.freeze_below(total - trained)
        if len(plan.stages) > 1:
            self.record.event(
                f"stage {number + 1} of {len(plan.stages)}: {trained} of {total} layer groups "
                f"learn, learning rate {stage.slowed(self._factor).rate_in_words}"
            )

    def use_smaller_parts(self) -> None:
        """Split batches into twice as many parts from now on; the mean loss is the same."""
        self.parts *= 2
        self._task.load_state(self._carried)
        self.record.event(f"memory ran out: batches are processed in {self.parts} parts")

    def restart(self, reason: str) -> None:
        """Continue from the best weights, in fp32 and with a smaller learning rate; once only."""
        best, record = self.best, self.record
        if self._factor < 1.0:
            if not best.weights or (self.held is not None and not best.is_good):
                raise ModelError(
                    f"{self.plan.name}: {reason}, again after a restart in fp32 with a tenth of "
                    "the learning rate; check the data, and try a lower learning rate or another "
                    "encoder"
                )
            which = "best weights, those" if best.is_good else "weights"
            self.warn(f"{reason}, again; the {which} of step {best.step} are kept")
            self.optimizer.load_weights(best.weights)
            record.go_back(record.steps, self.plan.total_rows)
            return
        self._carried, self._stage = {}, -1
        self._task.load_state({})
        step, weights = (best.step, best.weights) if best.is_good else (0, self._first_weights)
        if self.held is not None and (begun := self.held.facts["record"]["step"]) > step:
            step = begun
            weights = {name: self.held.tensors[f"weight/{name}"] for name in weights}
        best.since = 0
        self._factor = RESTART_FACTOR
        attention = "sdpa" if self.choice.attention == FLASH else self.choice.attention
        self.choice = replace(self.choice, precision="fp32", attention=attention)
        use(self.choice, self.bare)
        self.optimizer.release()
        self.optimizer = self._new_optimizer()
        self.optimizer.load_weights(weights)
        record.go_back(step, sum(map(len, self.plan.steps[:step])))
        self.kept.forget_after(step)
        self.warn(f"{reason}; restarted from step {step} in fp32 with a tenth of the learning rate")

    def stopped(self) -> None:
        """Go to the end of the last finished step, and write a checkpoint."""
        self.optimizer.forget_gradients()
        self._task.load_state(self._carried)
        set_random_states(self._random, self.device)
        self._stage = -1
        if self._file is not None:
            self._context.say("stopping; a checkpoint is written")
        self.save()

    def save(self, only_if_due: bool = False) -> None:
        """Write a checkpoint after the first step of a sound training; warn if that fails."""
        record = self.record
        if self._file is None or record.step == 0 or not record.is_sound:
            return
        if only_if_due and not self._file.is_due(record.step):
            return
        try:
            self._file.write(self.snapshot(), record.step)
            self.kept.settle()
            self._reported_failure = False
        except OSError as error:
            if not self._reported_failure:
                self.warn(
                    f"no checkpoint could be written at step {record.step}: {error}; training "
                    "continues, and an earlier checkpoint, if there is one, is kept"
                )
            self._reported_failure = True

    def evaluated(self, found: Evaluation) -> None:
        """Record an evaluation; keep the weights if they are the best, or among the best."""
        score = -math.inf if found.collapse else found.score
        self.record.evaluated(found.figures, found.collapse, self.best.is_ahead_of(found))
        weights, step = self.optimizer.weights, self.record.step
        # With patience the end is where it is no longer better, with the learning rate still high.
        self.best.offer(score, step, weights, None if self.best.patience else found.error)
        try:
            self.kept.offer(Evaluated(step, found.figures), score, weights)
        except OSError as error:
            self.warn(f"the weights of step {step} could not be kept: {error}")

    def snapshot(self) -> Snapshot:
        """Return the state of the training, of which nothing is copied."""
        return Snapshot(
            tensors=self.optimizer.state()
            | self._random
            | {f"{CARRIED}{name}": of for name, of in self._carried.items()}
            | {f"{BUFFER}{name}": of for name, of in _buffers(self.bare).items()},
            facts={
                "record": self.record.state(),
                "choice": asdict(self.choice),
                "asked": asdict(self._asked),
                "parts": self.parts,
                "factor": self._factor,
                "best": {"score": self.best.score, "since": self.best.since},
            },
            best=self.best.weights,
            best_step=self.best.step,
        )

    def load(self, snapshot: Snapshot) -> None:
        """Go to the state of a snapshot of the same plan."""
        facts, tensors = snapshot.facts, snapshot.tensors
        self._factor, self.parts = facts["factor"], facts["parts"]
        self._asked = Choice(**facts.get("asked", facts["choice"]))
        self.record.load_state(facts["record"])
        self.optimizer.release()
        self.optimizer = self._new_optimizer()
        self.optimizer.load_state(tensors)
        for name, buffer in _buffers(self.bare).items():
            buffer.copy_(tensors[f"{BUFFER}{name}"])
        self._carried = {
            name.removeprefix(CARRIED): of.to(self.device)
            for name, of in tensors.items()
            if name.startswith(CARRIED)
        }
        self._task.load_state(self._carried)
        if snapshot.best:
            self.best.weights = {name: of.to(self.device) for name, of in snapshot.best.items()}
            self.best.score, self.best.since = facts["best"]["score"], facts["best"]["since"]
            self.best.step = snapshot.best_step
        set_random_states(tensors, self.device)
        self._random = random_states(self.device)
        self.record.event(f"resumed at step {self.record.step} of {self.record.steps}")

    def _new_optimizer(self) -> Optimizer:
        decay = self.plan.settings.weight_decay
        return Optimizer(self.bare, 0.0, decay, self.choice.precision, self.groups)

    def _rates(self) -> list[float]:
        """The learning rates of the next step, bottom layer group first."""
        rates = self.plan.rates(self.record.step, len(self.groups))
        return [self._factor * rate for rate in rates]

    def warn(self, message: str) -> None:
        """Log a message, and report it as a finding."""
        self.record.log(message)
        self._context.find(Finding("warning", "training", f"{self.plan.name}: {message}"))


def parts_that_fit(model: Any, task: Task, steps: Sequence[Integers]) -> int:
    """Return an estimate of the number of parts in which the largest batch fits into memory."""
    lengths = task.lengths
    a_token = bytes_a_token(model, task)
    most = max(len(rows) * int(lengths[rows].max()) for rows in steps)
    free = bytes_to_use(model)
    parts = 1
    while a_token * most / parts > free and parts < max(map(len, steps)):
        parts *= 2
    return parts


def bytes_a_token(model: Any, task: Task) -> float:
    """Return what the longest text keeps for the backward pass, for each of its tokens."""
    device = next(model.parameters()).device
    longest = int(task.lengths.argmax())
    batch = {name: of.to(device) for name, of in task.batch([longest]).items()}
    before = random_states(device)
    a_row = activation_bytes(model, lambda: task.loss(model, batch))
    set_random_states(before, device)
    return a_row / max(1, int(task.lengths[longest]))


def bytes_to_use(model: Any) -> float:
    """Return the memory for activations that the training of a loaded model leaves."""
    weights: int = sum(of.numel() * BYTES_OF_A_TRAINED_WEIGHT for of in model.parameters())
    give_back()
    return max(1.0, SHARE_TO_USE * free_bytes(next(model.parameters()).device) - weights)


def _buffers(model: Any) -> dict[str, Any]:
    """What a model saves beside its weights, such as the statistics of `Standardized`."""
    weights = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    return {name: of for name, of in model.state_dict().items() if name not in weights}
