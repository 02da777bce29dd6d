"""A worker process of Ray, as the code that runs in it sees it: its CPUs and its node.

Nothing here imports Ray: in a worker it is imported already, and elsewhere there is none to ask.
"""

from __future__ import annotations

import math
import os
import socket
import sys
from typing import Any

from finetext.core.threads import THREAD_VARIABLES


def use_given_cpus() -> None:
    """Compute in as many threads as Ray gave this worker CPUs; elsewhere leave them as they are."""
    if (cpus := given_cpus()) is not None:
        use_threads(cpus)


def given_cpus() -> int | None:
    """Return the CPUs that Ray gave this worker, one at least; None where no worker of Ray runs."""
    ray: Any = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return None
    context = ray.get_runtime_context()
    if context.worker.mode != ray.WORKER_MODE:
        return None
    cpus: float = context.get_assigned_resources().get("CPU", 1)
    return max(1, math.floor(cpus))


def use_threads(count: int) -> None:
    """Let what computes in this process use that many threads, whether it is loaded or not yet."""
    from threadpoolctl import threadpool_limits

    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(count)))
    threadpool_limits(count)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(count)


def on_this_node() -> str:
    """Return the node of a worker of Ray, for a model that is not there; elsewhere nothing."""
    if given_cpus() is None:
        return ""
    return (
        f" (on the node {socket.gethostname()}). Every node that has an actor must find the model "
        "under this name: put it on a file system that all share, or on the Hub"
    )
