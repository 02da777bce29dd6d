"""No name in a folder that somebody else made leads out of it."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetext.core.errors import RunError
from finetext.storage import received
from finetext.storage.received import (
    OutsideError,
    copy_received,
    is_received_file,
    keep_private,
    names_received,
    open_received,
    private_folder,
    read_received,
    read_received_text,
    received_folder,
    refuse_links,
)

DIGEST = "0123456789abcdef" * 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A received folder with a file and one in a folder, beside a secret."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "file").write_text("secret")
    folder = tmp_path / "received"
    (folder / "inner").mkdir(parents=True)
    (folder / "file").write_text("mine")
    (folder / "inner" / "file").write_text("inner")
    return folder


def link(place: Path, target: str | Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


LINKS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "relative": (lambda f: link(f / "x", "../secret"), "x"),
    "absolute": (lambda f: link(f / "x", f.parent / "secret"), "x"),
    "absolute, back into the folder": (lambda f: link(f / "x", f / "file"), "x"),
    "a folder": (lambda f: link(f / "x", "../secrets"), "x/file"),
    "through an inner folder": (lambda f: link(f / "x", "inner/../../secret"), "x"),
    "a link to a link": (
        lambda f: (link(f / "x", "inner/y"), link(f / "inner" / "y", "../../secret")), "x",
    ),
    "out and in again": (lambda f: link(f / "x", f"../{f.name}/file"), "x"),
    "of the layout of another cache": (lambda f: link(f / "x", f"../../blobs/{DIGEST}"), "x"),
    "in a circle": (lambda f: (link(f / "x", "y"), link(f / "y", "x")), "x"),
    "a name with dots": (lambda f: None, "../secret"),
    "a name with dots inside": (lambda f: None, "inner/../../secret"),
    "an absolute name": (lambda f: None, "/etc/hostname"),
    "a name with a null": (lambda f: None, "file\0"),
    "an empty name": (lambda f: None, ""),
}  # fmt: skip
if hasattr(os, "mkfifo"):
    LINKS["a pipe"] = (lambda f: os.mkfifo(f / "x"), "x")


@pytest.mark.parametrize("case", LINKS)
def test_what_is_not_in_the_folder_is_not_opened(folder: Path, case: str) -> None:
    make, name = LINKS[case]
    make(folder)
    with pytest.raises(OutsideError) as caught:
        open_received(folder, name)
    assert "Errno" not in str(caught.value)
    assert not is_received_file(folder, name)
    with pytest.raises(OutsideError):
        copy_received(folder, name, folder.parent / "copy")
    assert not (folder.parent / "copy").exists()
    with pytest.raises(OutsideError), private_folder(folder, ["file", name]):
        pytest.fail("nothing is to be read")


@pytest.mark.parametrize("case", LINKS)
def test_without_descending_names_are_not_opened_either(
    folder: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(received, "_CAN_DESCEND", False)
    make, name = LINKS[case]
    make(folder)
    if case in ("absolute, back into the folder", "out and in again"):
        assert read_received_text(folder, name) == "mine"
        return
    with pytest.raises(OSError, match=r"\S"):
        open_received(folder, name)


def test_links_inside_the_folder_are_followed(folder: Path, tmp_path: Path) -> None:
    link(folder / "x", "inner/y")
    link(folder / "inner" / "y", "../inner/../file")
    link(folder / "also", "inner")
    link(tmp_path / "mine", folder)
    assert read_received_text(tmp_path / "mine", "x") == "mine"
    assert read_received_text(folder, "also/file") == "inner"
    assert names_received(folder) == (["file", "inner/file", "inner/y", "x"], [])


def test_names_of_links_that_lead_out_are_told_apart(folder: Path) -> None:
    link(folder / "x", "../secret")
    link(folder / "all", "../secrets")
    link(folder / "nowhere", "missing")
    assert names_received(folder) == (["file", "inner/file"], ["all", "nowhere", "x"])
    with pytest.raises(RunError, match="all is a link that leads out of the folder"):
        refuse_links(folder)


def test_sockets_are_no_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("x")
        with pytest.raises(OutsideError):
            open_received(folder, "x")


def test_a_link_that_is_swapped_in_after_the_check_is_not_followed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = os.stat

    def swap(path: Any, **options: Any) -> os.stat_result:
        found = looked(path, **options)
        if path == "file":
            (folder / "file").unlink()
            link(folder / "file", "../secret")
        elif path == "inner":
            os.rename(folder / "inner", folder.parent / "away")
            link(folder / "inner", "../secrets")
        return found

    monkeypatch.setattr(os, "stat", swap)
    for name in ("file", "inner/file"):
        with pytest.raises(OutsideError):
            open_received(folder, name)


def test_files_of_the_cache_of_the_hub_are_opened(tmp_path: Path) -> None:
    repository = tmp_path / "hub" / "models--jane--m"
    snapshot = repository / "snapshots" / "main"
    (repository / "blobs").mkdir(parents=True)
    (repository / "blobs" / DIGEST).write_text("blob")
    link(snapshot / "config.json", f"../../blobs/{DIGEST}")
    link(snapshot / "encoder" / "config.json", f"../../../blobs/{DIGEST}")
    link(snapshot / "elsewhere", "../../secret")
    (repository / "secret").write_text("secret")
    for name in ("config.json", "encoder/config.json"):
        assert read_received_text(snapshot, name) == "blob"
    assert read_received_text(snapshot / "encoder", "config.json") == "blob"
    assert names_received(snapshot)[1] == ["elsewhere"]


@pytest.mark.parametrize("what", ["blobs", DIGEST])
def test_a_made_up_cache_does_not_lead_elsewhere(tmp_path: Path, what: str) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / DIGEST).write_text("secret")
    repository = tmp_path / "models--jane--m"
    (repository / "snapshots").mkdir(parents=True)
    if what == "blobs":
        link(repository / "blobs", tmp_path / "secrets")
    else:
        link(repository / "blobs" / DIGEST, tmp_path / "secrets" / DIGEST)
    link(repository / "snapshots" / "main" / "x", f"../../blobs/{DIGEST}")
    with pytest.raises(OutsideError):
        open_received(repository / "snapshots" / "main", "x")


def test_files_that_are_too_large_to_be_read_as_a_whole_are_refused(folder: Path) -> None:
    assert read_received(folder, "file", 4) == b"mine"
    with pytest.raises(OutsideError, match="file has more than 3 bytes"):
        read_received(folder, "file", 3)


def test_folders_and_missing_files_are_told_apart(folder: Path) -> None:
    assert received_folder(folder, "inner") == folder / "inner"
    with pytest.raises(NotADirectoryError):
        received_folder(folder, "file")
    with pytest.raises(FileNotFoundError):
        received_folder(folder, "missing")
    with pytest.raises(NotADirectoryError):
        open_received(folder, "file/x")
    link(folder / "out", "../secrets")
    with pytest.raises(OutsideError):
        received_folder(folder, "out")


@pytest.mark.parametrize("copied", [0, 1 << 20])
def test_a_private_folder_has_the_files_as_they_were_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch, copied: int
) -> None:
    monkeypatch.setattr(received, "_COPIED", copied)
    with private_folder(folder, ["file", "inner/file"]) as place:
        (folder / "file").unlink()
        link(folder / "file", "../secret")
        assert (place / "file").read_text() == "mine"
        assert (place / "inner" / "file").read_text() == "inner"
        assert read_received_text(place, "file") == "mine"
        with private_folder(place / "inner", ["file"]) as again:
            assert (again / "file").read_text() == "inner"
        assert (place.stat().st_mode & 0o777) == 0o700
    assert not place.exists()


def test_without_open_files_large_ones_are_linked_or_copied(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(received, "_COPIED", 0)
    monkeypatch.setattr(received, "_OPENED", folder / "missing")
    with private_folder(folder, ["file"]) as place:
        assert not (place / "file").is_symlink()
        assert (place / "file").read_text() == "mine"


def test_a_private_folder_is_kept_while_something_uses_it(folder: Path) -> None:
    class Owner:
        pass

    owner = Owner()
    with private_folder(folder, ["file"]) as place:
        keep_private(place / "file", owner)
    assert (place / "file").read_text() == "mine"
    del owner
    gc.collect()
    assert not place.exists()


def test_a_private_folder_may_go_while_another_one_is_looked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the garbage collector removes what nobody uses at any moment."""

    class Owner:
        pass

    owners, real = [Owner()], Path.is_relative_to
    with private_folder(folder, ["file"]) as other:
        keep_private(other / "file", owners[0])

    def is_relative_to(path: Path, root: Path) -> bool:
        owners.clear()
        gc.collect()
        return real(path, root)

    with private_folder(folder, ["file"]) as place:
        monkeypatch.setattr(Path, "is_relative_to", is_relative_to)
        assert read_received_text(place, "file") == "mine"
    assert not other.exists()


def test_on_windows_a_colon_leads_to_a_drive_or_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(received, "ON_WINDOWS", False)
    assert received.is_inner_name("a:b")
    monkeypatch.setattr(received, "ON_WINDOWS", True)
    assert not received.is_inner_name("C:weights.bin")
    assert not received.is_inner_name("model.onnx:hidden")
    assert received.is_inner_name("onnx/model.onnx")
