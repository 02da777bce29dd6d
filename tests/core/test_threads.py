"""Threads of torch and of libraries that are loaded before or after."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

FIRST = "import numpy, sys\nfrom finetext.core.threads import use_threads\n"
LAST = "import torch\nfrom threadpoolctl import threadpool_info\n"
SHOWN = "print(torch.get_num_threads(), *{of['num_threads'] for of in threadpool_info()})"


@pytest.mark.parametrize(
    ("between", "threads"),
    [
        ("import torch\nuse_threads(3)", "3"),
        ("use_threads(1)\nassert 'torch' not in sys.modules", "1"),
    ],
    ids=["loaded", "not loaded yet"],
)
def test_all_libraries_use_as_many_threads_as_asked(between: str, threads: str) -> None:
    usual = {name: of for name, of in os.environ.items() if not name.endswith("NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", f"{FIRST}{between}\n{LAST}{SHOWN}"], capture_output=True, text=True,
        check=True, timeout=120, env=usual,
    )  # fmt: skip
    assert done.stdout.split() == [threads, threads]
