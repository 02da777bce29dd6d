"""Gradients that one process computes for another: what it is sent, and what it sends back."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

import torch
import torch.distributed as dist
from torch import Tensor

from finetext.core.errors import RunError
from finetext.training.batches import give_back, is_out_of_memory
from finetext.training.launch import Launched
from finetext.training.task import Loss


class LostProcessError(RunError):
    """Another process of the training ended or failed."""


@dataclass(frozen=True, eq=False)
class SentModel:
    """A model without the values of its tensors, what computes its loss, and the kind of device."""

    skeleton: bytes
    tensors: Sequence[tuple[torch.Size, torch.dtype, bool]]
    loss: Loss
    device: str


@dataclass(frozen=True, eq=False)
class Step:
    """What a process computes: batches, each with its share of the loss.

    Attributes:
        learns: whether each weight of the model learns.
        factor: what the loss is multiplied by before it is differentiated, as in fp16.
        seed: of the random generators of the process, for dropout.
        model: a model to begin with; None for that of the step before.
    """

    batches: Sequence[tuple[Mapping[str, Tensor], float]]
    learns: Sequence[bool]
    factor: float
    seed: int
    model: SentModel | None = None


def without_values(model: Any, loss: Loss, device: str) -> tuple[SentModel, list[Tensor]]:
    """Return a model as it is sent, and its tensors, which are sent by themselves."""
    tensors: list[Tensor] = []
    numbers: dict[int, int] = {}

    class Skeleton(pickle.Pickler):
        def persistent_id(self, value: Any) -> int | None:
            if not isinstance(value, Tensor):
                return None
            if id(value) not in numbers:
                numbers[id(value)] = len(tensors)
                tensors.append(value)
            return numbers[id(value)]

    # The processes are one program and trust each other; nothing of this is written to a file.
    Skeleton(written := io.BytesIO()).dump(model)
    kinds = [(of.shape, of.dtype, isinstance(of, torch.nn.Parameter)) for of in tensors]
    return SentModel(written.getvalue(), kinds, loss, device), tensors


def with_tensors(sent: SentModel, device: Any) -> tuple[Any, list[Tensor]]:
    """Return a model that was sent, on a device, and its tensors, which still lack their values."""
    tensors: list[Tensor] = []
    for shape, dtype, is_weight in sent.tensors:
        tensor = torch.empty(shape, dtype=dtype, device=device)
        tensors.append(torch.nn.Parameter(tensor, requires_grad=False) if is_weight else tensor)

    class Whole(pickle.Unpickler):
        def persistent_load(self, number: int) -> Tensor:
            return tensors[number]

    return Whole(io.BytesIO(sent.skeleton)).load(), tensors


def flat_values(weights: Sequence[Tensor]) -> Tensor:
    """Return the values of weights of one number format, end to end."""
    return torch.cat([weight.detach().flatten() for weight in weights])


def flat_gradients(weights: Sequence[Tensor], loss: Any, out_of_memory: bool) -> Tensor:
    """Return gradients in fp32 end to end, 0 for none, and what is to be known of them.

    That is 1 for each weight that has a gradient, the loss, and 1 if out of memory.
    """
    device = weights[0].device
    parts = [
        weight.new_zeros(weight.numel(), dtype=torch.float32)
        if weight.grad is None
        else weight.grad.flatten().float()
        for weight in weights
    ]
    known = [float(weight.grad is not None) for weight in weights]
    known += [float(loss), float(out_of_memory)]
    return torch.cat([*parts, torch.tensor(known, device=device)])


def add_up(flat: Tensor, group: Any) -> None:
    """Add the flat gradients of all processes to those of the first one, and wait for the sum."""
    with together():
        dist.reduce(flat, 0, group=group)
        # NCCL has only begun by now. Reading a number waits, so that a failure is raised here.
        flat[-1].item()


@contextmanager
def together() -> Iterator[None]:
    """Raise a LostProcessError if another process ends while the body communicates with it."""
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        message = "another of the processes that train together ended"
        raise LostProcessError(message) from ConnectionError(str(error))


@final
class GradientWorker:
    """A process that computes gradients of the rows that it is sent, and keeps nothing else."""

    def __init__(self, here: Launched, group: Any) -> None:
        """Begin without a model; tensors come and go over a process group."""
        self._here, self._group = here, group
        self._model: Any = None
        self._loss: Any = None
        self._device: Any = None

    def compute(self, step: Step) -> None:
        """Add the gradients of a step to those of the other processes."""
        weights = self._receive(step)
        loss, out_of_memory = 0.0, False
        torch.manual_seed(step.seed)
        try:
            for batch, share in step.batches:
                given = {name: of.to(self._device) for name, of in batch.items()}
                part = self._loss(self._model, given) * share
                (part * step.factor).backward()
                loss += float(part.detach())
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            out_of_memory = True
            self._forget(weights)
            give_back()
        flat = flat_gradients(weights, loss, out_of_memory)
        self._forget(weights)
        add_up(flat, self._group)

    def forget_model(self) -> None:
        """Give back the memory of the model."""
        self._model = self._loss = None
        give_back()

    def _receive(self, step: Step) -> list[Tensor]:
        """Receive a whole model, or what learns of the one that is there; return what learns."""
        tensors: list[Tensor] = []
        if step.model is not None:
            self._device, self._loss = self._here.device(step.model.device), step.model.loss
            self._model, tensors = with_tensors(step.model, self._device)
        every = zip(self._model.parameters(), step.learns, strict=True)
        weights = [weight.requires_grad_(learns) for weight, learns in every]
        weights = [weight for weight in weights if weight.requires_grad]
        tensors = [tensor.detach() for tensor in tensors]
        flat = flat_values(weights) if step.model is None else None
        with together():
            for tensor in tensors if flat is None else [flat]:
                dist.broadcast(tensor, 0, group=self._group)
        if flat is not None:
            with torch.no_grad():
                for weight, values in zip(weights, _divided(flat, weights), strict=True):
                    weight.copy_(values)
        return weights

    @staticmethod
    def _forget(weights: Sequence[Tensor]) -> None:
        for weight in weights:
            weight.grad = None


def _divided(flat: Tensor, weights: Sequence[Tensor]) -> list[Tensor]:
    parts = torch.split(flat, [of.numel() for of in weights])
    return [part.view_as(of) for part, of in zip(parts, weights, strict=True)]


def use_gradients(weights: Sequence[Tensor], flat: Tensor) -> tuple[Tensor, bool]:
    """Put summed gradients into weights that have any; return the loss, and if memory ran out.

    What no process has a gradient of keeps none: the optimizer must not let it decay.
    """
    values, known, (loss, out_of_memory) = torch.split(
        flat, [sum(of.numel() for of in weights), len(weights), 2]
    )
    every = zip(weights, _divided(values, weights), known.tolist(), strict=True)
    for weight, summed, processes in every:
        if weight.grad is not None:
            weight.grad.copy_(summed)
        elif processes > 0:  # only others have one
            weight.grad = summed.to(weight.dtype, copy=True)
    return loss, bool(out_of_memory > 0)
