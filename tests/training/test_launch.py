"""The processes of a launcher: their numbers, threads and devices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

import finetext
from finetext.core import threads
from finetext.core.contracts import FitContext, Listener
from finetext.core.errors import RecipeError
from finetext.core.threads import THREADS
from finetext.training import launch
from finetext.training.joining import join
from finetext.training.launch import Launched, chosen_threads
from finetext.training.record import make_accelerator

Environment = dict[str, str]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of a process that was started alone."""
    for name in (*launch.VARIABLES, THREADS):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def launcher(environment: pytest.MonkeyPatch) -> Environment:
    """The environment of the launcher that started this process."""
    said: Environment = {}
    environment.setattr(psutil.Process, "environ", lambda process: said)
    return said


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}, None),
        ({"WORLD_SIZE": "4"}, None),
        (
            {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"},
            (5, 8, 1, 4),
        ),
        ({"RANK": "1", "WORLD_SIZE": "2"}, (1, 2, 1, 2)),
    ],
)
def test_a_process_is_known_by_its_environment(
    environment: pytest.MonkeyPatch, given: Environment, expected: tuple[int, ...] | None
) -> None:
    for name, value in given.items():
        environment.setenv(name, value)
    assert Launched.here() == (None if expected is None else Launched(*expected))


@pytest.mark.parametrize(
    ("said", "of_launcher", "expected"),
    [
        (None, {}, None),
        ("1", {}, None),  # by torchrun, which says so
        ("1", {"OMP_NUM_THREADS": "1"}, 1),
        ("3", {}, 3),  # as with --num_cpu_threads_per_process 3
        ("many", {}, None),
        ("0", {}, None),
    ],
)
def test_threads_are_those_of_the_user_or_of_nobody(
    environment: pytest.MonkeyPatch,
    launcher: Environment,
    said: str | None,
    of_launcher: Environment,
    expected: int | None,
) -> None:
    launcher.update(of_launcher)
    if said is not None:
        environment.setenv(THREADS, said)
    assert chosen_threads() == expected


def test_a_launcher_that_cannot_be_asked_is_taken_to_have_set_the_threads(
    environment: pytest.MonkeyPatch,
) -> None:
    def refuse(process: psutil.Process) -> Environment:
        raise psutil.AccessDenied(process.pid)

    environment.setattr(psutil.Process, "environ", refuse)
    environment.setenv(THREADS, "1")
    assert chosen_threads() is None


@pytest.mark.parametrize(
    ("cores", "local_size", "expected"), [(8, 2, (8, 4)), (8, 3, (8, 2)), (2, 4, (2, 1))]
)
def test_cores_are_divided_among_the_processes_of_a_machine(
    environment: pytest.MonkeyPatch, cores: int, local_size: int, expected: tuple[int, int]
) -> None:
    environment.setattr(threads, "usable_cores", lambda: cores)
    assert Launched(0, 16, 0, local_size).threads() == expected


def test_chosen_threads_are_not_divided(
    environment: pytest.MonkeyPatch, launcher: Environment
) -> None:
    launcher[THREADS] = "1"
    environment.setenv(THREADS, "1")
    assert Launched(0, 2, 0, 2).threads() == (1, 1)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The GPUs that were chosen, on a machine with two."""
    chosen: list[int] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    return chosen


def test_each_process_has_a_gpu_of_its_own(gpus: list[int]) -> None:
    devices = [Launched(2 + local, 4, local, 2).device("cuda") for local in range(2)]
    assert devices == [torch.device("cuda:0"), torch.device("cuda:1")]
    assert gpus == [0, 1]


def test_processes_without_a_gpu_of_their_own_are_refused(gpus: list[int]) -> None:
    with pytest.raises(RecipeError, match=r"3 processes on a machine with 2 GPUs; .*--device cpu"):
        Launched(0, 3, 0, 3).device("cuda")
    assert Launched(2, 3, 2, 3).device("cpu") == torch.device("cpu")


def test_what_does_not_train_together_is_refused(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    environment.chdir(tmp_path)
    environment.setenv("RANK", "1")
    environment.setenv("WORLD_SIZE", "2")
    with pytest.raises(RecipeError, match=r"as one process, without torchrun"):
        make_accelerator(FitContext(device="cpu"))
    topics = (["a goal", "a bank"] * 9, ["sport", "money"] * 9)
    trainings: list[Callable[[], object]] = [
        lambda: finetext.fit(*topics, finetext.Tfidf()),
        lambda: finetext.learning_curve(topics, listener=Listener()),
        lambda: finetext.find_label_errors(topics, listener=Listener()),
        lambda: finetext.Trainer(finetext.Adaptation(), topics[0], listener=Listener()),
    ]
    for train in trainings:
        with pytest.raises(RecipeError, match=r"as one process, without torchrun"):
            train()
    assert not list(tmp_path.iterdir())


def test_a_process_that_was_started_alone_joins_nobody(environment: pytest.MonkeyPatch) -> None:
    def start(here: Any) -> None:
        raise AssertionError("nobody is there")

    environment.setattr("finetext.training.ranks.start", start)
    join()
