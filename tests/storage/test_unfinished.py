"""A folder that is replaced is the old or the new one, wherever its process is killed."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from finetext.storage import unfinished
from finetext.storage.files import output_file, replaced_file, replaced_folder, write_text
from finetext.storage.unfinished import is_unfinished, recover, room_in, settle

KilledAt = Callable[[int, Callable[[], None]], bool]
FIRST: Final = {"a": "1", "inside/b": "1"}
SECOND: Final = {"a": "2", "inside/c": "2"}


def write(folder: Path, files: dict[str, str]) -> None:
    with replaced_folder(folder) as new:
        (new / "inside").mkdir()
        for name, text in files.items():
            (new / name).write_text(text)


def content(folder: Path) -> dict[str, str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in found}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_folder_survives_a_kill_at_every_system_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: KilledAt, can_exchange: bool
) -> None:
    if can_exchange and unfinished._renameat2() is None:
        pytest.skip("names cannot be exchanged here")
    if not can_exchange:
        monkeypatch.setattr(unfinished, "_renameat2", lambda: None)
    place = tmp_path / "model"
    seen, number, is_done = set[str](), 0, False
    while not is_done:
        write(place, FIRST)
        assert names(tmp_path) == ["model"], number
        number += 1
        is_done = killed_at(number, lambda: write(place, SECOND))
        assert place.is_dir() or not can_exchange, number
        recover(place)
        found = content(place)
        assert found in (FIRST, SECOND), number
        seen.add(found["a"])
    assert seen == {"1", "2"}
    assert number > 100


@pytest.mark.slow
def test_a_file_survives_a_kill_at_every_system_call(tmp_path: Path, killed_at: KilledAt) -> None:
    place = tmp_path / "file"
    number, is_done = 0, False
    while not is_done:
        write_text(place, "old")
        assert names(tmp_path) == ["file"], number
        number += 1
        is_done = killed_at(number, lambda: write_text(place, "new"))
        assert place.read_text() in ("old", "new"), number
    assert place.read_text() == "new"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_kill_before_each_step_leaves_a_whole_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool
) -> None:
    """The same at the calls of Python alone, where processes cannot be traced."""

    if not can_exchange:
        monkeypatch.setattr(unfinished, "_renameat2", lambda: None)
    place, left = tmp_path / "model", [0]
    steps = ("mkdir", "open", "chmod", "replace", "fsync", "rmdir", "unlink", "close")
    for name in steps:
        real = getattr(os, name)

        def step(*given: object, real: Callable[..., object] = real, **more: object) -> object:
            left[0] -= 1
            if left[0] == 0:  # as a kill: no `finally` runs, and the locks end
                os._exit(9)
            return real(*given, **more)

        monkeypatch.setattr(os, name, step)

    number, status = 0, 9
    while status:
        write(place, FIRST)
        assert names(tmp_path) == ["model"], number
        number += 1
        child = os.fork()
        if not child:
            left[0] = number
            write(place, SECOND)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, 9)
        recover(place)
        assert content(place) in (FIRST, SECOND), number
    assert content(place) == SECOND
    assert number > 20


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
def test_a_room_of_a_living_process_stays(tmp_path: Path) -> None:
    with replaced_file(tmp_path / "one") as beside:
        beside.write_text("1")
        write_text(tmp_path / "two", "2")
        settle(tmp_path)
    assert names(tmp_path) == ["one", "two"]
    with room_in(tmp_path) as room:
        child = os.fork()
        if not child:
            settle(tmp_path)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert room.is_dir()


def test_where_folders_cannot_be_locked_a_room_stays_for_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unfinished, "fcntl", None)
    rooms = [tmp_path / f".finetext-{digit * 32}" for digit in "ab"]
    for room in rooms:
        room.mkdir()
    os.utime(rooms[0], (0, time.time() - unfinished.OLDEST_ROOM - 10))
    write_text(tmp_path / "file", "1")
    assert names(tmp_path) == [rooms[1].name, "file"]


def test_only_rooms_are_removed(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    write_text(tmp_path / "kept", "1")
    for name in (".finetext-1", ".finetext-notes", ".model.a1b2c3d4"):
        (tmp_path / name).mkdir()
    mine.mkdir()
    (tmp_path / f".finetext-{'c' * 32}").symlink_to(mine)
    before = names(tmp_path)
    write_text(tmp_path / "kept", "2")
    assert names(tmp_path) == before
    assert is_unfinished(f".finetext-{'c' * 32}")


@pytest.mark.skipif(os.name == "nt", reason="rights of files are POSIX")
@pytest.mark.parametrize("mask", [0o002, 0o022, 0o027, 0o077])
def test_rights_follow_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_text(tmp_path / "text", "1")
        with replaced_file(tmp_path / "file") as beside:
            assert stat.S_IMODE(beside.parent.stat().st_mode) == 0o700
            beside.unlink()
            beside.write_text("1")
            beside.chmod(0o600)  # as safetensors does
        with replaced_folder(tmp_path / "folder") as folder:
            (folder / "inside").mkdir(mode=0o700)
            (folder / "inside" / "file").touch(0o600)
            folder.chmod(0o700)
    finally:
        os.umask(before)
    found = list(tmp_path.rglob("*"))
    assert len(found) == 5
    for path in found:
        usual = 0o777 if path.is_dir() else 0o666
        assert stat.S_IMODE(path.stat().st_mode) == usual & ~mask, path


def test_what_a_link_leads_to_stays(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write(outside / "folder", FIRST)
    write_text(outside / "file", "mine")
    for name in ("file", "folder"):
        (tmp_path / name).symlink_to(outside / name)
    write_text(tmp_path / "file", "new")
    write(tmp_path / "folder", SECOND)
    assert not (tmp_path / "file").is_symlink()
    assert not (tmp_path / "folder").is_symlink()
    assert content(tmp_path / "folder") == SECOND
    assert content(outside) == {"file": "mine"} | {f"folder/{n}": of for n, of in FIRST.items()}


def test_an_output_file_is_written_where_its_link_leads(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "out.csv").symlink_to("there/real.csv")
    with output_file(tmp_path / "out.csv") as beside:
        beside.write_text("1")
    assert (tmp_path / "out.csv").is_symlink()
    assert content(tmp_path / "there") == {"real.csv": "1"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        write_text(tmp_path / "pipe", "1")
    assert names(tmp_path) == ["pipe"]


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Rename as on Windows, without waiting; returns the times that would be waited."""
    waited: list[float] = []
    monkeypatch.setattr(unfinished, "ON_WINDOWS", True)
    monkeypatch.setattr(unfinished.time, "sleep", waited.append)
    return waited


def opened_by_others(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Let renaming fail so many times, as while a virus scanner has the file open."""
    real, left = os.replace, [times]

    def replace(old: Path, new: Path) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise PermissionError(13, "The process cannot access the file", str(old))
        real(old, new)

    monkeypatch.setattr(os, "replace", replace)


def test_what_is_open_for_a_moment_is_renamed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, windows: list[float]
) -> None:
    opened_by_others(monkeypatch, 3)
    write_text(tmp_path / "file", "1")
    assert (tmp_path / "file").read_text() == "1"
    assert len(windows) == 3
    write(tmp_path / "model", FIRST)
    opened_by_others(monkeypatch, 2)
    write(tmp_path / "model", SECOND)
    assert content(tmp_path / "model") == SECOND


def test_what_stays_open_is_an_error_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, windows: list[float]
) -> None:
    write_text(tmp_path / "table.csv", "old")
    opened_by_others(monkeypatch, 100)
    with pytest.raises(PermissionError, match=r"close programs that have it open.*table\.csv"):
        write_text(tmp_path / "table.csv", "new")
    assert (tmp_path / "table.csv").read_text() == "old"
    assert sum(windows) < 3


def test_elsewhere_a_refusal_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened_by_others(monkeypatch, 1)
    with pytest.raises(PermissionError):
        write_text(tmp_path / "file", "1")
    assert names(tmp_path) == []


def test_on_windows_a_room_keeps_the_rights_of_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []
    real = Path.mkdir

    def mkdir(self: Path, mode: int = 0o777, **more: bool) -> None:
        modes.append(mode)
        real(self, mode, **more)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    write_text(tmp_path / "file", "1")
    monkeypatch.setattr(unfinished, "ON_WINDOWS", True)
    write_text(tmp_path / "file", "2")
    assert modes == [0o700, 0o777]


def test_lines_of_texts_end_alike_on_every_system(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "one\ntwo\r\n")
    assert (tmp_path / "file").read_bytes() == b"one\ntwo\r\n"
