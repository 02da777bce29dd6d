"""Fits at once in processes of their own: what comes back, what is heard, and how they end."""

from __future__ import annotations

import inspect
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
import torch
from safetensors.torch import save_file

import finetext
from finetext.core import errors
from finetext.core.contracts import Listener, ProgressEvent
from finetext.core.errors import DataError, FinetextError, RecipeError, RunError
from finetext.core.shared_texts import SharedTexts
from finetext.core.threads import threads_each
from finetext.core.types import Finding
from finetext.runs import jobs as mechanism
from finetext.runs.jobs import Jobs, check_jobs, memory_finding
from finetext.runs.recipe import Recipe

FOUND = Finding("warning", "toy", "what a task found")
HEARD: list[Any] = []


def hear(what: Any) -> None:
    assert threading.current_thread() is threading.main_thread()
    HEARD.append(what)


@pytest.fixture(scope="module")
def two() -> Iterator[Jobs]:
    with Jobs(2, Listener(say=hear, progress=hear, finding=hear)) as jobs:
        yield jobs


@pytest.fixture(autouse=True)
def nothing_heard() -> None:
    HEARD.clear()


def doubled(task: int, hears: Listener) -> tuple[int, int, str]:
    hears.say(f"task {task}")
    hears.finding(FOUND)
    hears.progress(ProgressEvent(f"toy {task}", 5, 10, {"loss": 0.5}))
    time.sleep(0.1)
    return 2 * task, os.getpid(), os.environ.get("OMP_NUM_THREADS", "")


def meet(task: tuple[Path, int], hears: Listener) -> int:
    """Wait for the other tasks, which other processes do therefore."""
    folder, count = task
    (folder / str(os.getpid())).touch()
    until = time.monotonic() + 120
    while len(list(folder.iterdir())) < count:
        assert time.monotonic() < until
        time.sleep(0.02)
    return os.getpid()


def test_results_and_all_that_is_said_come_back(two: Jobs, tmp_path: Path) -> None:
    every = {found for _, found in two.each(meet, [(tmp_path, 2)] * 2)}
    assert len(every) == 2
    HEARD.clear()
    found = dict(two.each(doubled, range(5)))
    assert {task: of[0] for task, of in found.items()} == {0: 0, 1: 2, 2: 4, 3: 6, 4: 8}
    assert {of[1] for of in found.values()} <= every
    assert os.getpid() not in every
    assert {of[2] for of in found.values()} == {str(threads_each(2))}
    assert {of for of in HEARD if isinstance(of, str)} == {f"task {n}" for n in range(5)}
    assert HEARD.count(FOUND) == 5
    progress = [of for of in HEARD if isinstance(of, ProgressEvent)]
    assert {of.stage for of in progress} == {f"2 jobs: toy {n}" for n in range(5)}
    assert {of.total for of in progress} == {5}
    assert [of.done for of in progress] == sorted(of.done for of in progress)
    again = dict(two.each(doubled, range(4)))
    assert {of[1] for of in again.values()} <= every  # which need not load anything again


def test_with_one_job_the_tasks_are_done_here_one_after_the_other() -> None:
    order = []

    def tasks() -> Iterator[int]:
        for number in range(2):
            order.append(f"given {number}")
            yield number

    for task, found in Jobs(1, Listener()).each(doubled, tasks()):
        order.append(f"done {task}")
        assert found[1] == os.getpid()
    assert order == ["given 0", "done 0", "given 1", "done 1"]


def test_some_tasks_are_for_this_process_and_come_last(two: Jobs) -> None:
    found = list(two.each(doubled, range(4), stays=lambda task: task == 1))
    assert found[-1][0] == 1
    assert [task for task, of in found if of[1] == os.getpid()] == [1]


def test_a_single_task_is_done_here_with_all_threads(two: Jobs) -> None:
    [(_, found)] = two.each(doubled, [7])
    assert found[:2] == (14, os.getpid())


def fragile(task: tuple[Path, int], hears: Listener) -> int:
    folder, number = task
    (folder / str(number)).touch()
    if number == 0:
        time.sleep(1.0)
    if number == 1:
        try:
            raise OSError("the disk is full")
        except OSError as error:
            raise errors.UnclearError("unclear", "; choose", "text", {"a": "b"}) from error
    time.sleep(0.3)
    return number


def test_an_error_ends_all_once_the_tasks_before_it_are_done(two: Jobs, tmp_path: Path) -> None:
    done = []
    with pytest.raises(errors.UnclearError, match="unclear; choose") as caught:
        done += [found for _, found in two.each(fragile, [(tmp_path, n) for n in range(30)])]
    error = caught.value
    assert isinstance(error.__cause__, OSError)  # by which it is known that it can be tried again
    assert error.setting == "text"
    assert "in fragile" in "".join(error.__notes__)
    assert (tmp_path / "0").exists()
    assert len(list(tmp_path.iterdir())) < 20


def unsendable(task: int, hears: Listener) -> int:
    class LocalError(Exception):
        """Cannot be pickled."""

    raise LocalError(f"task {task} is odd")


def test_an_error_that_cannot_be_sent_says_the_same(two: Jobs) -> None:
    with pytest.raises(RuntimeError, match="LocalError: task 0 is odd"):
        list(two.each(unsendable, range(2)))


def test_no_more_processes_begin_than_have_work(tmp_path: Path) -> None:
    before = _children()
    with Jobs(8, Listener()) as jobs:
        for count in (2, 3):
            (folder := tmp_path / str(count)).mkdir()
            assert len({of for _, of in jobs.each(meet, [(folder, count)] * count)}) == count
            assert len(_children() - before) == count


def _refuse_to_be_read() -> None:
    raise ValueError("this cannot be read")


class Unreadable:
    """Can be pickled, and not be read again."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse_to_be_read, ()


def unreadable(task: int, hears: Listener) -> Unreadable:
    return Unreadable()


def test_a_result_that_cannot_be_read_ends_all() -> None:
    with Jobs(2, Listener()) as jobs, pytest.raises(ValueError, match="cannot be read"):
        list(jobs.each(unreadable, range(2)))


def killed(task: int, hears: Listener) -> int:
    if task == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
    return task


def test_a_killed_process_ends_all_with_one_message() -> None:
    began, before = time.monotonic(), _children()
    with Jobs(2, Listener()) as jobs, pytest.raises(RunError, match="was killed"):
        list(jobs.each(killed, range(4)))
    assert time.monotonic() - began < 30
    assert not _children() - before


def test_a_process_that_is_killed_between_tasks_is_noticed() -> None:
    with Jobs(2, Listener()) as jobs:
        [(_, (_, process, _)), _] = jobs.each(doubled, range(2))
        os.kill(process, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(process)] if psutil.pid_exists(process) else [], 10)
        with pytest.raises(RunError, match="was killed"):
            list(jobs.each(doubled, range(2)))


def test_processes_end_when_results_are_not_waited_for() -> None:
    before = _children()
    with Jobs(2, Listener()) as jobs:
        for task, _ in jobs.each(sleeping, [0.1, 60.0, 60.0]):
            assert task == 0.1
            break
    assert not _children() - before


def sleeping(seconds: float, hears: Listener) -> None:
    time.sleep(seconds)


def _children() -> set[int]:
    """The processes of loky that run, but for its own that watches over shared memory."""
    return {
        of.pid
        for of in psutil.Process().children(recursive=True)
        if "popen_loky" in " ".join(of.cmdline())
    }


EVERY = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, FinetextError)
]


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
def test_every_error_can_be_sent(kind: type[FinetextError]) -> None:
    given: dict[Any, tuple[Any, ...]] = {
        errors.UnclearError: ("unclear", "; choose", "text", {"a": "b"}),
        errors.UnknownNameError: ("method", "tfdif", ["tfidf"]),
        errors.MissingExtraError: ("reading", "openpyxl", "excel"),
    }
    error = kind(*given.get(kind, ("wrong",)))
    sent = pickle.loads(pickle.dumps(error))
    assert type(sent) is kind
    assert (str(sent), sent.__dict__) == (str(error), error.__dict__)


def test_what_was_kept_of_the_same_texts_is_found_by_the_next_task() -> None:
    shared = SharedTexts(("one", "two"))
    shared.once("here", lambda: 1)
    first, second = (pickle.loads(pickle.dumps(shared)) for _ in range(2))
    assert "here" not in first.kept
    assert first.once("there", lambda: 2) == 2
    assert second.once("there", lambda: 3) == 2


class Device(NamedTuple):
    """Stands for that of torch."""

    type: str


def test_jobs_are_refused_where_they_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    check_jobs(Recipe(jobs=2))
    with pytest.raises(RecipeError, match="jobs = 2 asks for several at once; leave one of"):
        check_jobs(Recipe(jobs=2, minutes=1))
    with pytest.raises(RecipeError, match="1 or more"):
        check_jobs(Recipe(jobs=0))
    with monkeypatch.context() as launched:
        launched.setattr("finetext.training.ranks._HERE", [object()])
        check_jobs(Recipe())
        with pytest.raises(RecipeError, match="leave out --jobs or the launcher"):
            check_jobs(Recipe(jobs=2))
    monkeypatch.setattr(mechanism, "choose_device", lambda name: Device("cuda"))
    check_jobs(Recipe())
    with pytest.raises(RecipeError, match="share the one device cuda"):
        check_jobs(Recipe(jobs=2))


def test_too_little_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mechanism, "free_bytes", lambda device: 4 * 2**30)
    bert = Recipe(methods={"finetune": finetext.Finetune("bert")}, jobs=2)
    [finding] = memory_finding(bert)
    assert "2 fits at once take about 8.0 GB of memory, and 4.3 GB are free" in finding.message
    cheap = Recipe(methods={"tfidf": finetext.Tfidf()}, jobs=2)
    assert memory_finding(cheap) == ()
    assert memory_finding(Recipe(methods=bert.methods)) == ()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_memory_goes_by_the_number_of_weights(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dtype: torch.dtype
) -> None:
    monkeypatch.setattr(mechanism, "free_bytes", lambda device: 0)
    save_file({"w": torch.zeros(5_000, 10_000, dtype=dtype)}, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    [finding] = memory_finding(Recipe(methods={"probe": finetext.Probe(str(tmp_path))}, jobs=2))
    assert "2 fits at once take about 1.3 GB" in finding.message


def test_a_wrong_number_of_jobs_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="jobs = 'many'"):
        Recipe.from_values({"data": {"source": "x.csv"}, "jobs": "many"})
    with pytest.raises(DataError, match="no file"):
        finetext.train(str(tmp_path / "no.csv"), jobs=2, listener=Listener())
