"""Training in several processes: the first one trains, the others compute gradients for it.

The first process reads, evaluates, writes and talks as if it were alone. In each step it gives the
others their rows, as token ids, and the weights, computes its own rows meanwhile, and gets the sum
of all gradients. So nothing is read or fitted twice, all state is in one process, and a checkpoint
does not depend on how many there are.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from threading import Timer
from typing import TYPE_CHECKING, Any, Final, NoReturn, final

import numpy as np
import torch
import torch.distributed as dist
import torch.distributed.nn  # before there is a group: default values in it would keep that
from threadpoolctl import threadpool_limits
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from finetext.core.arrays import Integers
from finetext.core.console import STOP_SIGNALS
from finetext.core.errors import FinetextError, RecipeError
from finetext.core.threads import THREADS
from finetext.core.wording import counted
from finetext.storage.resume import HOW_TO_RESUME
from finetext.training.gradients import (
    GradientWorker,
    LostProcessError,
    Step,
    add_up,
    flat_gradients,
    flat_values,
    together,
    use_gradients,
    without_values,
)
from finetext.training.launch import VARIABLES, Launched, chosen_threads
from finetext.training.task import Task

if TYPE_CHECKING:
    from finetext.training.state import Training

CONNECTING: Final = timedelta(minutes=30)
"""For all processes to start."""
SILENT: Final = timedelta(seconds=15)
"""Of that, before it is said what is waited for."""
PLACE: Final = ("MASTER_ADDR", "MASTER_PORT")
"""Where the processes find each other."""
WAITING: Final = timedelta(days=365)
"""For work: the first process reads and evaluates as long as it needs to. If it ends, the others
notice at once."""
A_STEP: Final = timedelta(minutes=30)
"""For the gradients of a step: a machine that went away without a word is given up then."""
NOTICE_TIMEOUT: Final = timedelta(seconds=5)
"""For the first process to note that it says what happened."""
NOTICED: Final = "noticed"
"""Key of the store that the first process sets before it says that another one ended."""
FAILED: Final = "failed"
"""Key of the store with the message of a process that failed."""
Parts = Sequence[Sequence[Integers]]
"""The rows of a step: for each process, in one or more parts."""


@final
class Forget:
    """What the other processes are sent when a training ends."""


@final
class Ranks:
    """The processes that train together, as one of them sees them."""

    def __init__(self, here: Launched) -> None:
        """Connect with the others, over gloo, and over NCCL for tensors of GPUs."""
        is_chosen = chosen_threads() is not None
        self.here, (alone, self.threads) = here, here.threads()
        with _connecting(here):
            store, _, _ = next(rendezvous("env://", timeout=CONNECTING))
            self._store = PrefixStore("finetext", store)
            dist.init_process_group(
                "gloo", store=store, timeout=WAITING, rank=here.rank, world_size=here.size
            )
            has_nccl = torch.cuda.is_available() and dist.is_nccl_available()
            backend = "cpu:gloo,cuda:nccl" if has_nccl else "gloo"
            self._group = dist.new_group(backend=backend, timeout=A_STEP)
        # Libraries that read these would take this process for one of several that do the same.
        for name in (*VARIABLES, *([] if is_chosen else [THREADS])):
            os.environ.pop(name, None)
        # The launcher's 1 was read by all libraries that are loaded, not by torch alone.
        threadpool_limits(self.threads if here.rank else alone)
        torch.set_num_threads(self.threads if here.rank else alone)
        self._sent: tuple[Any, list[bool], int] | None = None
        self._is_lost = False

    def parts(self, rows: Integers, parts: int) -> Parts:
        """Divide the rows of a batch evenly among the processes, those of each in parts."""
        shares = [rows[number :: self.here.size] for number in range(self.here.size)]
        return [np.array_split(own, max(1, min(parts, len(own)))) for own in shares]

    def gradients(
        self, training: Training, task: Task, parts: Parts, own: Callable[[], Any]
    ) -> Any:
        """Return the mean loss of a batch, and leave the gradients of all processes in the model.

        `own` does so for the parts of this process, the first one.

        Raises:
            LostProcessError: another process ended or failed.
            MemoryError: one of them needs more memory than there is.
        """
        failure: Exception | None = None
        loss: Any = 0.0
        try:
            self._give(training, task, parts)
            weights = [of for of in training.bare.parameters() if of.requires_grad]
            with self._computing():
                try:
                    loss = own()
                except Exception as error:  # raised when the others wait for the next step
                    failure = error
                    training.optimizer.forget_gradients()
            flat = flat_gradients(weights, loss, out_of_memory=False)
            add_up(flat, self._group)
        except LostProcessError as error:
            self._sent = None
            raise self._explained(error) from error.__cause__
        if failure is not None:
            raise failure
        loss, out_of_memory = use_gradients(weights, flat)
        if out_of_memory:
            raise MemoryError("another process is out of memory")
        return loss

    def _give(self, training: Training, task: Task, parts: Parts) -> None:
        """Send each of the others its rows, and the weights."""
        optimizer, step = training.optimizer, training.record.step
        every = list(training.bare.parameters())
        learns = [weight.requires_grad for weight in every]
        sent, tensors = None, [flat_values([of for of in every if of.requires_grad])]
        # All memory is taken before anything is sent: nobody waits in vain if there is too little.
        if self._sent != (optimizer, learns, step - 1):
            self._check_device(training.device)
            assert task.divided_loss is not None
            sent, tensors = without_values(training.bare, task.divided_loss, training.device.type)
            shared = f"{self.here.size} processes, with {counted(self.threads, 'thread')} each"
            training.record.log(f"steps are divided among {shared}")
        tensors = [tensor.detach().contiguous() for tensor in tensors]
        whole = task.weight(np.concatenate([rows for of in parts for rows in of]))
        factor = 1.0 if optimizer.loss_scale is None else optimizer.loss_scale.factor
        seeds = np.random.SeedSequence([training.seed, step]).generate_state(self.here.size)
        steps: list[Step | None] = [None]
        for of, seed in zip(parts[1:], seeds[1:], strict=True):
            given = [(task.batch(rows), task.weight(rows) / whole) for rows in of if len(rows)]
            steps.append(Step(given, learns, factor, int(seed), sent))
        with together():
            dist.scatter_object_list([None], steps, 0)
            for tensor in tensors:
                dist.broadcast(tensor, 0, group=self._group)
        self._sent = (optimizer, learns, step)

    def _check_device(self, device: Any) -> None:
        """Raise a RecipeError for a device that processes cannot have one each of."""
        if device.type not in ("cpu", "cuda") or device.index:
            raise RecipeError(
                f"{device}: several processes train on the processor or have an NVIDIA GPU each; "
                "name the device cpu or cuda"
            )
        self.here.device(device.type)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """Use the threads of a process in a step in the body, and those of one alone afterward."""
        before = torch.get_num_threads()
        torch.set_num_threads(min(before, self.threads))
        try:
            yield
        finally:
            torch.set_num_threads(before)

    def _explained(self, error: LostProcessError) -> LostProcessError:
        """Note that this process says what happened, and return the error with the reason."""
        self._is_lost = True
        with suppress(RuntimeError):
            self._store.set(NOTICED, "")
            if self._store.check([FAILED]):
                return LostProcessError(self._store.get(FAILED).decode())
        return error

    def forget_model(self) -> None:
        """Let go of what was trained, here and in the other processes."""
        if self._sent is None:
            return
        self._sent = None
        with suppress(LostProcessError), together():  # the next step says that one is lost
            dist.scatter_object_list([None], [Forget()] * self.here.size, 0)

    def leave(self) -> None:
        """Let the other processes end, unless one is lost: they notice that this one ends."""
        if not dist.is_initialized():
            return
        if not self._is_lost:
            with suppress(RuntimeError):
                dist.scatter_object_list([None], [None] * self.here.size, 0)
        self._disconnect()

    def _disconnect(self) -> None:
        """End the threads of gloo: one that is left when Python ends can abort the process.

        A group has its threads until nobody refers to it.
        """
        with suppress(RuntimeError):
            dist.destroy_process_group()
        self._group = None
        gc.collect()  # the frames of an error may refer to it

    def serve(self) -> NoReturn:
        """Compute gradients until the first process ends, and end then.

        A launcher tells all processes to stop, but the first one needs this one until it has.
        """
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        worker = GradientWorker(self.here, self._group)
        received: list[Step | Forget | None] = [None]
        try:
            while True:
                with together():
                    dist.scatter_object_list(received, None, 0)
                match received[0]:
                    case None:
                        del worker
                        self._disconnect()
                        sys.exit()
                    case Forget():
                        worker.forget_model()
                    case step:
                        worker.compute(step)
        except LostProcessError:
            self._report_lost_leader()
        except Exception as error:
            kind = "" if isinstance(error, FinetextError) else f"{type(error).__name__}: "
            which = f"process {self.here.rank + 1} of {self.here.size}"
            with suppress(RuntimeError):
                self._store.set(FAILED, f"{which} failed: {kind}{error}")
        sys.exit(1)

    def _report_lost_leader(self) -> None:
        """Say that the first process ended, if neither it nor another one says what happened."""
        try:
            self._store.wait([NOTICED], NOTICE_TIMEOUT)
        except RuntimeError:
            if self.here.rank == 1:
                print(
                    f"finetext: the first of {self.here.size} processes, which writes the run, "
                    f"ended; {HOW_TO_RESUME}",
                    file=sys.stderr,
                )


@contextmanager
def _connecting(here: Launched) -> Iterator[None]:
    """Say what is waited for if the body, which connects with the others, takes long.

    Raises:
        RecipeError: there is no way to them.
    """
    place = " and ".join(f"{name} {os.environ.get(name, 'is missing')}" for name in PLACE)
    line = f"finetext: waiting for all of {here.size} processes to start ({place})"
    notice = Timer(SILENT.total_seconds(), print, [line], {"file": sys.stderr, "flush": True})
    notice.daemon = True
    if here.local_rank == 0:
        notice.start()
    try:
        yield
    except (ValueError, RuntimeError) as error:
        raise RecipeError(
            f"RANK and WORLD_SIZE say that this is one of {here.size} processes, which cannot "
            f"connect ({place}): start them with torchrun, or unset RANK and WORLD_SIZE to start "
            f"one alone. {str(error).partition(chr(10))[0]}"
        ) from error
    finally:
        notice.cancel()


_HERE: Final[list[Ranks]] = []


def start(here: Launched) -> Ranks:
    """Return the processes that train together with this one, the first; others never return."""
    ranks = Ranks(here)
    if here.rank:
        ranks.serve()
    _HERE.append(ranks)
    return ranks


def ranks_here() -> Ranks | None:
    """Return the processes that train together with this one; None if it trains alone."""
    return _HERE[-1] if _HERE else None
