"""Which folder a run gets, and that no other run gets it too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from finetext.core.errors import RunError
from finetext.runs.claiming import check_place, claimed, claimed_new, is_free, is_started, sweep

HOLD = (
    "import sys, time; from pathlib import Path; from finetext.runs.claiming import claimed\n"
    "with claimed(Path(sys.argv[1])):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(60)"
)
STARTED = ("data.json", "splits.parquet", "recipe.toml")


@contextmanager
def another_process(folder: Path) -> Iterator[int]:
    """A process that holds a folder; its id."""
    given = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(given, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process.pid
        finally:
            process.kill()


def fill(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("")
    return folder


def test_the_first_free_name_is_taken(workplace: Path) -> None:
    with claimed_new(None, "x") as folder:
        assert folder == Path("runs/x")
        with claimed_new(None, "x") as other:
            assert other == Path("runs/x-2")
            fill(other, *STARTED)
    fill(Path("runs/x"), "something")
    with claimed_new(None, "x") as folder:
        assert folder == Path("runs/x-3")


def test_a_folder_in_which_nothing_came_to_be_is_removed_again(workplace: Path) -> None:
    with claimed_new(Path("a/b"), "x") as folder:
        fill(folder, "data.json", ".recipe.toml.abc", "splits.part")
    assert list(workplace.iterdir()) == []
    Path("mine").mkdir()
    with claimed_new(Path("mine"), "x"):
        pass
    assert list(workplace.iterdir()) == [Path("mine").absolute()]
    assert list(Path("mine").iterdir()) == []


def test_what_was_killed_before_it_was_started_is_in_nobodys_way(workplace: Path) -> None:
    folder = fill(Path("run"), ".lock", "data.parquet", ".data.json.x1", "splits.part")
    assert is_free(folder)
    with claimed_new(folder, "x"):
        assert [path.name for path in folder.iterdir()] == [".lock"]


@pytest.mark.parametrize("names", [["data.parquet"], ["recipe.toml"], [".lock", "other.csv"]])
def test_what_others_put_there_is_left_alone(workplace: Path, names: list[str]) -> None:
    folder = fill(Path("run"), *names)
    assert not is_free(folder)
    for resume in (False, True):
        with pytest.raises(RunError, match="not empty"):
            check_place(folder, resume)
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


def test_a_file_is_no_folder(workplace: Path) -> None:
    Path("file").write_text("x")
    for taken in (Path("file"), Path("file/below/it")):
        with pytest.raises(RunError, match="is a file"):
            check_place(taken, resume=False)


def test_an_unfinished_run_is_named_as_one(workplace: Path) -> None:
    folder = fill(Path("run"), *STARTED)
    assert is_started(folder)
    with pytest.raises(RunError, match="unfinished run: go on with it by --resume"):
        check_place(folder, resume=False)
    check_place(folder, resume=True)


def test_a_finished_run_is_named_as_one(finished: Path) -> None:
    with pytest.raises(RunError, match="holds a finished run: choose another folder"):
        check_place(finished, resume=False)


def test_a_second_process_is_refused_until_the_first_is_dead(workplace: Path) -> None:
    folder = fill(Path("run"), *STARTED)
    with another_process(folder) as process:
        with pytest.raises(RunError, match="another run is writing into run"):
            check_place(folder, resume=True)
        with pytest.raises(RunError, match="another run"), claimed(folder):
            pass
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        with claimed(folder):
            pass


def test_what_is_not_started_yet_is_held_as_well(workplace: Path) -> None:
    with another_process(Path("runs/x")), claimed_new(None, "x") as folder:
        assert folder == Path("runs/x-2")


def test_a_place_that_cannot_be_written_is_one_message() -> None:
    refused = pytest.raises(RunError, match="the run folder /proc/run cannot be written")
    with refused, claimed_new(Path("/proc/run"), "x"):
        pass


def test_only_what_is_half_written_is_swept_from_a_run(workplace: Path) -> None:
    kept = [*STARTED, "report.html", ".mine"]
    folder = fill(Path("run"), *kept, ".report.html.x", "data.part", ".verdict.json.tmp")
    fill(folder / "splits.part", "model")
    sweep(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*kept, "splits.part"])
