"""How many threads a process computes in: as many as the user set, or its share of the cores."""

from __future__ import annotations

import os
import sys
from typing import Final

THREADS: Final = "OMP_NUM_THREADS"
"""The variable of the environment in which users set the threads of each process."""
THREAD_VARIABLES: Final = (
    THREADS, "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "RAYON_NUM_THREADS",
)  # fmt: skip
"""OpenMP (torch, ONNX Runtime here), libraries of linear algebra, and tokenizers."""


def usable_cores() -> int:
    """Return the physical cores of the machine, or the processors that may be used if fewer.

    The affinity of this process and the limits of its control group (cgroup, as of a container) are
    respected.
    """
    import psutil
    from joblib import cpu_count

    allowed = int(cpu_count())
    return max(1, min(psutil.cpu_count(logical=False) or allowed, allowed))


def chosen_threads() -> int | None:
    """Return the threads that OMP_NUM_THREADS says; None without a whole number of 1 or more."""
    said = os.environ.get(THREADS, "")
    return int(said) if said.isdecimal() and int(said) > 0 else None


def threads_each(processes: int) -> int:
    """Return the threads of each of several processes at once on this machine.

    What the user set holds for each; otherwise they share the cores, with one thread at least.
    """
    return chosen_threads() or max(1, usable_cores() // processes)


def environment_of(threads: int) -> dict[str, str]:
    """Return how libraries that are not loaded yet are told their threads.

    What the user set stays. A library may take its own variable over OMP_NUM_THREADS, as torch
    takes MKL_NUM_THREADS, so that every other variable says `threads`.
    """
    return {name: os.environ.get(name) or str(threads) for name in THREAD_VARIABLES}


def use_threads(count: int) -> None:
    """Let what computes in this process use that many threads, whether it is loaded or not yet."""
    from threadpoolctl import threadpool_limits

    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(count)))
    threadpool_limits(count)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(count)
