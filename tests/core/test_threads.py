"""Threads of processes: set by the user, or shares of the cores."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil
import pytest

from finetext.core import threads
from finetext.core.threads import (
    THREAD_VARIABLES,
    THREADS,
    chosen_threads,
    environment_of,
    threads_each,
    usable_cores,
)

FIRST = "import numpy, sys\nfrom finetext.core.threads import use_threads\n"
LAST = "import torch\nfrom threadpoolctl import threadpool_info\n"
SHOWN = "print(torch.get_num_threads(), *{of['num_threads'] for of in threadpool_info()})"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which no threads are set."""
    for name in THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.mark.parametrize(
    ("physical", "allowed", "expected"), [(4, 2, 2), (4, 8, 4), (None, 3, 3), (None, 1, 1)]
)
def test_cores_are_physical_or_those_that_may_be_used(
    environment: pytest.MonkeyPatch, physical: int | None, allowed: int, expected: int
) -> None:
    environment.setattr(psutil, "cpu_count", lambda logical: physical)
    environment.setattr("joblib.cpu_count", lambda: allowed)  # by affinity and cgroup
    assert usable_cores() == expected


def test_there_is_a_core() -> None:
    assert 1 <= usable_cores() <= (psutil.cpu_count() or 1)


@pytest.mark.parametrize(
    ("said", "expected"),
    [(None, None), ("4", 4), ("1", 1), ("0", None), ("many", None), ("", None)],
)
def test_threads_are_chosen_by_a_whole_number(
    environment: pytest.MonkeyPatch, said: str | None, expected: int | None
) -> None:
    if said is not None:
        environment.setenv(THREADS, said)
    assert chosen_threads() == expected


def test_cores_are_shared_unless_threads_are_chosen(environment: pytest.MonkeyPatch) -> None:
    environment.setattr(threads, "usable_cores", lambda: 16)
    assert [threads_each(count) for count in (1, 2, 3, 16, 40)] == [16, 8, 5, 1, 1]
    environment.setenv(THREADS, "4")
    assert [threads_each(count) for count in (2, 8)] == [4, 4]


def test_what_the_user_set_stays(environment: pytest.MonkeyPatch) -> None:
    assert environment_of(2) == dict.fromkeys(THREAD_VARIABLES, "2")
    environment.setenv("MKL_NUM_THREADS", "5")
    assert environment_of(2) == dict.fromkeys(THREAD_VARIABLES, "2") | {"MKL_NUM_THREADS": "5"}


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
