"""One process at a time writes into a folder, and what a killed one left blocks nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import BaseFileLock

from finetext.core.errors import DataError, RunError
from finetext.storage import locks
from finetext.storage.locks import (
    LOCK,
    STARTED,
    Held,
    check_folder,
    claimed,
    claimed_new,
    is_free,
    is_started,
    sweep,
    try_lock,
)

HOLD = (
    "import sys, time; from pathlib import Path; from finetext.storage.locks import claimed\n"
    "with claimed(Path(sys.argv[1])):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(60)"
)


@contextmanager
def another_process(folder: Path) -> Iterator[int]:
    """Start a process that holds a folder; yields its id."""
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


def held(folder: Path) -> Held:
    return ("an unfinished run", True) if is_started(folder) else None


@pytest.mark.skipif(os.name == "nt", reason="links are made otherwise here")
def test_a_lock_is_not_opened_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK).symlink_to(tmp_path / "mine")
    with pytest.raises(RunError, match="symbolic link"), claimed(tmp_path / "run"):
        pass
    assert (tmp_path / "mine").read_text() == "mine"


def test_new_folders_are_numbered(workplace: Path) -> None:
    with claimed_new(None, "x") as folder:
        assert folder == Path("runs/x")
        with claimed_new(None, "x") as other:
            assert other == Path("runs/x-2")
            fill(other, *STARTED)
    fill(Path("runs/x"), "something")
    with claimed_new(None, "x") as folder:
        assert folder == Path("runs/x-3")


def test_folder_without_result_is_removed(workplace: Path) -> None:
    with claimed_new(Path("a/b"), "x") as folder:
        fill(folder, "data.json", ".recipe.toml.abc", "splits.part")
    assert list(workplace.iterdir()) == []
    Path("mine").mkdir()
    with claimed_new(Path("mine"), "x"):
        pass
    assert list(workplace.iterdir()) == [Path("mine").absolute()]
    assert list(Path("mine").iterdir()) == []


@pytest.mark.parametrize(
    "names", [("data.parquet", ".data.json.x1", "splits.part"), (".fits.jsonl.ab12",)]
)
def test_folder_of_process_killed_before_its_start_is_free(
    workplace: Path, names: tuple[str, ...]
) -> None:
    folder = fill(Path("run"), ".lock", *names)
    assert is_free(folder)
    with claimed_new(folder, "x"):
        assert [path.name for path in folder.iterdir()] == [".lock"]


@pytest.mark.parametrize("names", [["data.parquet"], ["recipe.toml"], [".lock", "other.csv"]])
def test_foreign_files_are_left_alone(workplace: Path, names: list[str]) -> None:
    folder = fill(Path("run"), *names)
    assert not is_free(folder)
    for resume in (False, True):
        with pytest.raises(RunError, match="not empty"):
            check_folder(folder, resume, held)
    with pytest.raises(RunError, match="not empty"), claimed_new(folder, "x"):
        pass
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)


def test_file_is_not_a_folder(workplace: Path) -> None:
    Path("file").write_text("x")
    for taken in (Path("file"), Path("file/below/it")):
        with pytest.raises(RunError, match="is a file"):
            check_folder(taken, resume=False, held=held)


def test_unfinished_and_finished_work_is_not_overwritten(workplace: Path) -> None:
    folder = fill(Path("run"), *STARTED)
    with pytest.raises(RunError, match="holds an unfinished run: resume it with --resume"):
        check_folder(folder, False, held)
    check_folder(folder, True, held)
    with pytest.raises(RunError, match="holds a finished run: choose another folder"):
        check_folder(folder, False, lambda _: ("a finished run", False))


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_second_process_is_refused_until_the_first_is_dead(workplace: Path) -> None:
    folder = fill(Path("run"), *STARTED)
    with another_process(folder) as process:
        with pytest.raises(RunError, match="another process is writing into run"):
            check_folder(folder, True, held)
        with pytest.raises(RunError, match="another process"), claimed(folder):
            pass
        assert try_lock(folder / ".lock") is None
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        with claimed(folder):
            pass


def test_folder_is_locked_before_anything_starts_in_it(workplace: Path) -> None:
    with another_process(Path("runs/x")):
        with claimed_new(None, "x") as folder:
            assert folder == Path("runs/x-2")
        with pytest.raises(RunError, match="another process"), claimed_new(Path("runs/x"), "x"):
            pass


def test_folder_that_cannot_be_written_is_reported() -> None:
    refused = pytest.raises(RunError, match="the folder /proc/run cannot be written")
    with refused, claimed_new(Path("/proc/run"), "x"):
        pass


def test_sweep_removes_only_half_written_files(workplace: Path) -> None:
    kept = [*STARTED, "report.html", ".mine"]
    folder = fill(Path("run"), *kept, ".report.html.x", "data.part", ".verdict.json.tmp")
    fill(folder / "splits.part", "model")
    sweep(folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted([*kept, "splits.part"])


def test_on_windows_a_lock_is_released_before_its_file_is_removed(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[BaseFileLock] = []
    real_lock, real_unlink = locks.try_lock, Path.unlink

    def try_lock(path: Path) -> BaseFileLock | None:
        lock = real_lock(path)
        held.extend([] if lock is None else [lock])
        return lock

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if self.name == locks.LOCK and any(lock.is_locked for lock in held):
            raise PermissionError(32, "it is used by another process", str(self))
        real_unlink(self, missing_ok)

    monkeypatch.setattr(locks, "try_lock", try_lock)
    monkeypatch.setattr(Path, "unlink", unlink)
    monkeypatch.setattr(locks, "ON_WINDOWS", True)
    with claimed(Path("runs/new")):
        assert held[-1].is_locked
    assert not Path("runs").exists()


def test_a_folder_that_windows_reserves_is_refused(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetext.core.paths.ON_WINDOWS", True)
    with pytest.raises(DataError, match=r"'aux': Windows reserves it for a device"):
        check_folder(Path("runs/aux"), False, lambda folder: None)
