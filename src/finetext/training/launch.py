"""The processes that a launcher such as torchrun started: their numbers, threads and devices."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final

from finetext.core import threads
from finetext.core.errors import RecipeError
from finetext.core.wording import counted

VARIABLES: Final = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
"""What every launcher sets in the environment of a process."""
ALONE: Final = "train, adapt and pretrain"


@dataclass(frozen=True)
class Launched:
    """One of several processes, counted from 0: among all, and among those of its machine."""

    rank: int
    size: int
    local_rank: int
    local_size: int

    @classmethod
    def here(cls) -> Launched | None:
        """Return this process by the environment; None if it was started alone."""
        said = [os.environ.get(name, "") for name in VARIABLES]
        if not (said[0].isdecimal() and said[1].isdecimal()) or int(said[1]) < 2:
            return None
        # A launcher that does not count by machines has all processes on one.
        said = [of or whole for of, whole in zip(said, said[:2] * 2, strict=True)]
        return cls(*map(int, said))

    def threads(self) -> tuple[int, int]:
        """Return the threads of a process that works alone, and those of each in a step.

        They are all cores of the machine and this process's part of them, unless the user chose a
        number of threads, which then holds for both.
        """
        if (chosen := chosen_threads()) is not None:
            return chosen, chosen
        cores = threads.usable_cores()
        return cores, max(1, cores // self.local_size)

    def device(self, kind: str) -> Any:
        """Return the `torch.device` of this process: on "cuda" each has a GPU of its own.

        Raises:
            RecipeError: the machine has fewer GPUs than processes.
        """
        import torch

        if kind != "cuda":
            return torch.device(kind)
        if (there := torch.cuda.device_count()) < self.local_size:
            raise RecipeError(
                f"there are {self.local_size} processes on a machine with {counted(there, 'GPU')}; "
                "start one for each GPU, or train on the processor with --device cpu"
            )
        torch.cuda.set_device(self.local_rank)
        return torch.device(kind, self.local_rank)


def refuse_launchers() -> None:
    """Raise a RecipeError in one of several processes that do not train together."""
    if Launched.here() is not None:
        raise RecipeError(
            f"several processes train together in finetext {ALONE}; start anything else as one "
            "process, without torchrun or accelerate launch"
        )


def chosen_threads() -> int | None:
    """Return the threads that the user chose in OMP_NUM_THREADS; None if nobody chose.

    torchrun and accelerate launch set it to 1 for processes of users who did not. What is in the
    environment of the launcher itself, which started this process, is the user's.
    """
    import psutil

    if (chosen := threads.chosen_threads()) != 1:
        return chosen
    try:
        return 1 if threads.THREADS in psutil.Process(os.getppid()).environ() else None
    except (psutil.Error, OSError):
        return None
