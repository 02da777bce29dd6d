"""Threads of libraries that are loaded before or after, and none to set without Ray."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from finetext.batch.ray_worker import given_cpus, on_this_node

FIRST = "import numpy, sys\nfrom finetext.batch.ray_worker import use_threads\n"
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


def test_without_ray_there_is_nothing_to_ask() -> None:
    assert given_cpus() is None
    assert on_this_node() == ""
