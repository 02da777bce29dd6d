"""The threads of this process, where other processes share the machine."""

from __future__ import annotations

import os
import sys
from typing import Final

_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "RAYON_NUM_THREADS",
)
"""OpenMP (torch, ONNX Runtime here), two libraries of linear algebra, and tokenizers."""


def use_threads(count: int) -> None:
    """Let what computes in this process use that many threads, whether it is loaded or not yet."""
    from threadpoolctl import threadpool_limits

    os.environ.update(dict.fromkeys(_VARIABLES, str(count)))
    threadpool_limits(count)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(count)
