"""Several processes train together; see `ranks_driver.py`."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import weakref
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetext.core.errors import RecipeError
from finetext.training import ranks
from finetext.training.gradients import GradientWorker
from finetext.training.launch import Launched
from finetext.training.ranks import Ranks, ranks_here

PROCESSES = 3
LONGEST = 240
"""Seconds, on a machine that does much else."""


def test_processes_without_a_place_to_meet_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ranks.PLACE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RecipeError, match=r"2 processes.*MASTER_ADDR is missing.*unset RANK"):
        Ranks(Launched(0, 2, 0, 2))


def test_it_is_said_what_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "0")
    monkeypatch.setattr(ranks, "SILENT", timedelta(seconds=0.1))
    with ranks._connecting(Launched(0, 2, 0, 2)):
        time.sleep(1.0)
    said = "waiting for all of 2 processes to start (MASTER_ADDR 127.0.0.1 and MASTER_PORT 0)"
    assert said in capsys.readouterr().err


class Toy:
    """Stands for a model."""


def started(processes: int, *words: str) -> list[subprocess.Popen[str]]:
    """Processes that train together, each as `ranks_driver.py` says."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    place["OMP_NUM_THREADS"] = "2"
    return [
        subprocess.Popen(
            [sys.executable, Path(__file__).with_name("ranks_driver.py"), *words],
            env={**os.environ, **place, "RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(processes)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """What the first of three processes found."""
    processes = started(PROCESSES)
    ends = [process.communicate(timeout=LONGEST) for process in processes]
    assert processes[0].returncode == 0, ends[0][1]
    assert [said for said, _ in ends[1:]] == [""] * (PROCESSES - 1)
    assert "ended" not in "".join(errors for _, errors in ends)
    return dict(json.loads(ends[0][0]))


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="only Linux names the threads")
def test_no_thread_is_left_that_can_abort_the_end(found: dict[str, Any]) -> None:
    assert found["threads before the end"]
    assert found["threads in the end"] == []


def test_a_process_that_hangs_keeps_nobody_from_ending() -> None:
    first, second = started(2, "stops")
    try:
        said, errors = first.communicate(timeout=LONGEST)
        assert json.loads(said)["lost"] == "LostProcessError", errors
        assert first.returncode == 0
    finally:
        second.kill()
        second.communicate()


def test_a_process_that_was_started_alone_trains_alone() -> None:
    assert ranks_here() is None


def test_together_they_learn_the_same(found: dict[str, Any]) -> None:
    assert found["processes"] == PROCESSES
    assert found["together"] < 1e-6
    assert found["in bf16"] < 0.05


def test_the_first_has_all_threads_for_every_library(found: dict[str, Any]) -> None:
    assert set(found["threads"]) == {2}


def test_nothing_is_kept_of_a_training_that_ended(found: dict[str, Any]) -> None:
    assert not found["kept"]
    worker = GradientWorker(Launched(1, 2, 1, 2), None)
    worker._model = model = Toy()
    there = weakref.ref(model)
    del model
    worker.forget_model()
    assert there() is None


def test_each_has_its_part_of_the_rows(found: dict[str, Any]) -> None:
    # Of batches of 8 and 2 rows; 18 are for an evaluation.
    assert found["rows of each"] == [1, 2, 3, 18]


def test_what_cannot_be_divided_is_said_once(found: dict[str, Any]) -> None:
    told = [line for line in found["said alone"] if "the first process trains alone" in line]
    assert len(told) == 1


def test_dropout_is_repeatable_but_other_than_alone(found: dict[str, Any]) -> None:
    assert found["again with dropout"] == 0
    assert found["alone with dropout"] > 1e-3


def test_after_ctrl_c_or_a_failure_they_train_again(found: dict[str, Any]) -> None:
    assert (found["interrupted"], found["failed"]) == ("KeyboardInterrupt", "ValueError")
    assert found["with little memory"] < 1e-6


def test_parts_become_smaller_where_one_is_out_of_memory(found: dict[str, Any]) -> None:
    assert "toy: memory ran out: batches are processed in 2 parts" in found["said of memory"]


def test_what_failed_elsewhere_is_said_and_can_be_resumed(found: dict[str, Any]) -> None:
    kind, message, cause = found["lost"]
    assert kind == "LostProcessError"
    assert re.fullmatch(r"process [23] of 3 failed: ValueError: no such rows", message)
    assert cause == "ConnectionError"  # not at fault are data and settings


@pytest.mark.parametrize(("rows", "parts"), [(10, 1), (10, 2), (2, 4)])
def test_rows_are_divided_evenly(rows: int, parts: int) -> None:
    them = object.__new__(Ranks)
    them.here = Launched(0, 4, 0, 4)
    divided = them.parts(np.arange(rows), parts)
    assert sorted(int(row) for own in divided for part in own for row in part) == list(range(rows))
    sizes = [sum(map(len, own)) for own in divided]
    assert max(sizes) - min(sizes) <= 1
    assert all(len(own) <= parts for own in divided)
