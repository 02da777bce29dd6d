"""The state of a training: what it has at hand, how that is kept, found again and begun anew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Final, Self

from finetext.core.arrays import Integers
from finetext.core.contracts import FitContext
from finetext.core.errors import ModelError, RecipeError
from finetext.core.types import Finding
from finetext.training.batches import SHARE_TO_USE, activation_bytes, free_bytes, give_back
from finetext.training.checkpoint import (
    BestWeights,
    CheckpointFile,
    DamagedCheckpointError,
    Snapshot,
    fingerprint,
    random_states,
    same_random_states,
    set_random_states,
)
from finetext.training.optimizer import Optimizer, layer_groups
from finetext.training.plan import Plan, Task
from finetext.training.precision import (
    Choice,
    applied,
    choose_device,
    fastest_choice,
    in_fp32,
    use,
    with_cheap_dropout,
)
from finetext.training.record import Record

FACTOR_OF_SECOND_TRY: Final = 0.1
CARRIED: Final = "carried/"
"""Before the names of the task's own tensors in a checkpoint."""
BUFFER: Final = "buffer/"
"""Before the names of what the model keeps beside its weights."""
BYTES_OF_A_LEARNT_WEIGHT: Final = 28
"""In fp32: gradient, two moments, the first weights, the best, and a copy of these while they
change; in bf16 weights and gradients once more."""


class Diverged(Exception):
    """Training went wrong in a way that a smaller learning rate may mend."""


class Training:
    """A training that goes on: model, optimizer, schedule, record and best weights."""

    def __init__(
        self,
        model: Any,
        task: Task,
        plan: Plan,
        accelerator: Any,
        choice: Choice,
        context: FitContext,
    ) -> None:
        """Before its first step; see `begun`.

        Args:
            model: in fp32, on the device of the accelerator.
            task: what is learned.
            plan: what is to be done.
            accelerator: an `accelerate.Accelerator`.
            choice: how the arithmetic is done.
            context: checkpoints and listeners.
        """
        self.bare = model
        self.model = accelerator.prepare(model)
        self.plan = plan
        self.accelerator = accelerator
        self.device = accelerator.device
        self.choice = choice
        self.parts = 1
        self.best = BestWeights(plan.settings.patience)
        self.record = Record(
            plan.name,
            [len(epoch) for epoch in plan.batches],
            plan.rows_in_all,
            context,
            self._track,
        )
        self.groups = _groups(model, plan)
        self.optimizer = self._made_optimiser()
        self._task = task
        self._carried: Mapping[str, Any] = {}
        self._stage = -1
        self._context = context
        self._file: CheckpointFile | None = None
        self._failure_was_told = False
        self._factor = 1.0
        self._random = random_states(self.device)
        self._first_weights = {name: of.clone() for name, of in self.optimizer.weights.items()}

    @classmethod
    @contextmanager
    def begun(
        cls, model: Any, task: Task, plan: Plan, accelerator: Any, context: FitContext
    ) -> Iterator[Self]:
        """A training that is ready for its next step, the first one or that of a killed training.

        Args:
            model: a `torch.nn.Module` in fp32; it is in fp32 again in the end.
            task: what is learned.
            plan: what is to be done.
            accelerator: an `accelerate.Accelerator`.
            context: checkpoints and listeners.

        Raises:
            ModelError: the state of a killed training is of other data, settings or versions.
        """
        model.to(accelerator.device)
        file = _checkpoint_file(model, plan, context)
        state = _found(file, plan, context)

        def measured() -> Choice:
            precision = plan.settings.precision
            return fastest_choice(model, task, plan.steps, precision, context.cache)

        if state is not None:
            choice = Choice(**state.facts["choice"])
        else:
            choice = measured() if file is None else file.choice(measured)
        with applied(choice, model), with_cheap_dropout(model):
            training = cls(model, task, plan, accelerator, choice, context)
            training._file = file
            try:
                if state is None:
                    training.parts = parts_that_fit(model.train(), task, plan.steps)
                    task.load_state({})
                else:
                    training._load(state)
                yield training
            finally:
                training.optimizer.release()
                accelerator.end_training()

    def remaining_batches(self) -> Iterator[Integers]:
        """The rows of the steps that are still to be made."""
        yield from self.plan.steps[self.record.step :]

    def count(self, rows: int, loss: float, gradient_norm: float) -> None:
        """Take a finished step into account; see `Record.count`."""
        self._random = random_states(self.device)
        self._carried = self._task.state()
        self.record.count(rows, loss, self._rates(), gradient_norm)

    def set_pace(self) -> None:
        """Set learning rates and momentum for the next step."""
        self.optimizer.set_pace(self._rates(), self.plan.pace(self.record.step).momentum)

    def enter_stage(self) -> None:
        """Freeze and unfreeze what the stage of the next step asks for, if it is another one."""
        plan, number = self.plan, self.plan.stage_of(self.record.step)
        if number == self._stage:
            return
        self._stage = number
        if plan.is_first_of_stage(self.record.step):
            self.best.since = 0
        stage = plan.stages[number]
        there = len(self.groups)
        learning = there if stage.groups is None else min(stage.groups, there)
        self.optimizer.freeze_below(there - learning)
        if len(plan.stages) > 1:
            self.record.happened(
                f"stage {number + 1} of {len(plan.stages)}: {learning} of {there} layer groups "
                f"learn, learning rate {stage.learning_rate * self._factor:.2g}"
            )

    @property
    def is_last_stage(self) -> bool:
        """Whether the next step belongs to the last stage."""
        return self.plan.stage_of(self.record.step) == len(self.plan.stages) - 1

    def use_smaller_parts(self) -> None:
        """From now on go through a batch in twice as many parts; the mean loss is the same."""
        self.parts *= 2
        self._task.load_state(self._carried)
        self.record.happened(f"memory ran out, so a batch is done in {self.parts} parts")

    def start_again(self, reason: str) -> None:
        """Go back to the best weights, in fp32 and with a smaller learning rate; once only.

        Args:
            reason: what went wrong, a clause.

        Raises:
            ModelError: it is the second time, and there are no weights worth keeping.
        """
        name, best = self.plan.name, self.best
        if self._factor < 1.0:
            if not best.weights:
                raise ModelError(
                    f"{name}: {reason}, and again in fp32 with a tenth of the learning rate; look "
                    "at the data, and try a lower learning rate or another encoder"
                )
            which = "best weights, those" if best.is_good else "weights"
            self.tell(f"{reason}, again; the {which} of step {best.step} are kept")
            self.record.go_back(self.record.steps, self.plan.rows_in_all)
            return
        self._carried, self._stage = {}, -1
        self._task.load_state({})
        step = best.step if best.is_good else 0
        best.since = 0
        self._factor = FACTOR_OF_SECOND_TRY
        self.choice = in_fp32(self.choice)
        use(self.choice, self.bare)
        self.optimizer.release()
        self.optimizer = self._made_optimiser()
        self.optimizer.load_weights(best.weights if best.is_good else self._first_weights)
        self.record.go_back(step, sum(map(len, self.plan.steps[:step])))
        self.tell(
            f"{reason}; tried again from step {step} in fp32 with a tenth of the learning rate"
        )

    def take_best_weights(self) -> None:
        """Put the weights that were best on validation into the model, if there are any."""
        if self.best.weights:
            self.optimizer.load_weights(self.best.weights)

    def save_if_due(self) -> None:
        """Write a checkpoint, if it is time."""
        if self._file is not None and self._file.is_due(self.record.step):
            self.save()

    def save(self) -> None:
        """Write a checkpoint; where that fails, say so and go on without.

        A state before the first step, or one that is not sound, is not worth keeping.
        """
        worth_it = self.record.step > 0 and self.record.is_sound
        if self._file is None or not worth_it:
            return
        state = Snapshot(
            tensors=self.optimizer.state()
            | self._random
            | self._carried_by_name()
            | {f"{BUFFER}{name}": of for name, of in _kept_buffers(self.bare).items()},
            facts={
                "record": self.record.state(),
                "choice": asdict(self.choice),
                "parts": self.parts,
                "factor": self._factor,
                "best": {"score": self.best.score, "since": self.best.since},
            },
            best=self.best.weights,
            best_step=self.best.step,
        )
        try:
            self._file.write(state, self.record.step)
            self._failure_was_told = False
        except OSError as error:
            if not self._failure_was_told:
                self.tell(
                    f"no checkpoint could be written at step {self.record.step}: {error}; training "
                    "goes on, and the checkpoint before it, if there is one, is still there"
                )
            self._failure_was_told = True

    def _load(self, state: Snapshot) -> None:
        """Go on from a state."""
        facts = state.facts
        self._factor, self.parts = facts["factor"], facts["parts"]
        self.record.load_state(facts["record"])
        self.optimizer.release()
        self.optimizer = self._made_optimiser()
        self.optimizer.load_state(state.tensors)
        for name, buffer in _kept_buffers(self.bare).items():
            buffer.copy_(state.tensors[f"{BUFFER}{name}"])
        carried = {
            name.removeprefix(CARRIED): of.to(self.device)
            for name, of in state.tensors.items()
            if name.startswith(CARRIED)
        }
        self._task.load_state(carried)
        self._carried = carried
        if state.best:
            self.best.weights = {name: of.to(self.device) for name, of in state.best.items()}
            self.best.score, self.best.since = facts["best"]["score"], facts["best"]["since"]
            self.best.step = state.best_step
        set_random_states(state.tensors, self.device)
        self._random = random_states(self.device)
        self.record.happened(f"resumed at step {self.record.step} of {self.record.steps}")

    def _made_optimiser(self) -> Optimizer:
        """An optimizer before its first step."""
        decay = self.plan.settings.weight_decay
        return Optimizer(self.bare, 0.0, decay, self.choice.precision, self.groups)

    def _rates(self) -> list[float]:
        """The learning rates of the next step, bottom layer group first."""
        rates = self.plan.rates(self.record.step, len(self.groups))
        return [self._factor * rate for rate in rates]

    def _carried_by_name(self) -> dict[str, Any]:
        return {f"{CARRIED}{name}": of for name, of in self._carried.items()}

    def _track(self, values: Mapping[str, float], step: int) -> None:
        if self._context.trackers:
            self.accelerator.log(dict(values), step=step)

    def tell(self, message: str) -> None:
        """Log it, and have it told in the report, too."""
        self.record.note(message)
        sentence = f"{self.plan.name}: {message}"
        self._context.find(Finding("warning", "training", sentence))


def make_accelerator(context: FitContext) -> Any:
    """The device and the trackers of one training.

    Raises:
        RecipeError: the device is not there, or several processes were started.
    """
    import torch
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    # The device belongs to one training, not to the whole process.
    AcceleratorState._reset_state(reset_partial_state=True)
    device = choose_device(context.device)
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)
    cpu = device.type == "cpu"
    if context.log is None or not context.trackers:
        accelerator = Accelerator(cpu=cpu)
    else:
        accelerator = Accelerator(
            cpu=cpu, log_with=list(context.trackers), project_dir=context.log.parent
        )
        accelerator.init_trackers("tracked")
    if accelerator.num_processes > 1:
        raise RecipeError("finetext trains in one process: start it without torchrun or accelerate")
    return accelerator


def parts_that_fit(model: Any, task: Task, steps: Sequence[Integers]) -> int:
    """Parts in which to go through a batch, so that the largest one fits into memory.

    Estimated from what the longest row keeps for the backward pass. Where that is too little, the
    loop halves the parts when memory runs out.

    Args:
        model: on the device where it is to be trained.
        task: what is learned.
        steps: the rows of every step.
    """
    device = next(model.parameters()).device
    lengths = task.lengths
    longest = int(lengths.argmax())
    batch = {name: of.to(device) for name, of in task.batch([longest]).items()}
    with same_random_states(device):
        a_row = activation_bytes(model, lambda: task.loss(model, batch))
    a_token = a_row / max(1, int(lengths[longest]))
    most = max(len(rows) * int(lengths[rows].max()) for rows in steps)
    weights = sum(weight.numel() * BYTES_OF_A_LEARNT_WEIGHT for weight in model.parameters())
    give_back()
    free = max(1, SHARE_TO_USE * free_bytes(device) - weights)
    parts = 1
    while a_token * most / parts > free and parts < max(map(len, steps)):
        parts *= 2
    return parts


def _kept_buffers(model: Any) -> dict[str, Any]:
    """What a model saves beside its weights, such as what `Standardized` measured."""
    weights = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    return {name: of for name, of in model.state_dict().items() if name not in weights}


def _groups(model: Any, plan: Plan) -> list[list[str]]:
    """The parameters that share a learning rate at all times."""
    return [[name for name, _ in model.named_parameters()]] if plan.is_flat else layer_groups(model)


def _checkpoint_file(model: Any, plan: Plan, context: FitContext) -> CheckpointFile | None:
    if context.checkpoints is None:
        return None
    begun_with = {"seed": context.seed, "metric": context.metric, "encoder": fingerprint(model)}
    return CheckpointFile(context.checkpoints, plan.identity() | begun_with)


def _found(file: CheckpointFile | None, plan: Plan, context: FitContext) -> Snapshot | None:
    """The state of a killed training, if there is one that can be read.

    Raises:
        ModelError: it is of other data, settings or versions.
    """
    try:
        return None if file is None else file.read()
    except DamagedCheckpointError as error:
        message = f"{plan.name}: {error}; training starts from the beginning"
        context.find(Finding("warning", "damaged-checkpoint", message))
        return None


def floats(*scalars: Any) -> list[float]:
    """Scalar tensors as numbers, all in one go, as each look at a GPU waits for all its work."""
    import torch

    return [float(number) for number in torch.stack([of.float() for of in scalars]).tolist()]
