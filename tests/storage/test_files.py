"""What is written is on the disk before it has its name, and its name after."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetext.core.types import Dataset, Splits
from finetext.runs.folder import split_columns
from finetext.runs.predictions import write_table
from finetext.storage import cache as caching
from finetext.storage import files as durable
from finetext.storage.files import append_text, replaced_folder, write_text

Steps = list[tuple[str, Path]]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Steps:
    """What is brought down to the disk, and what is renamed to, in order."""
    heard: Steps = []
    replace, fsync, move = os.replace, os.fsync, durable.move_into_place

    def heard_fsync(handle: int) -> None:
        facts = os.fstat(handle)
        paths = (tmp_path, *tmp_path.rglob("*"))
        heard.append(("disk", next(p for p in paths if os.path.samestat(p.stat(), facts))))
        fsync(handle)

    def heard_replace(source: Any, target: Any) -> None:
        heard.append(("rename", Path(target)))
        replace(source, target)

    def heard_move(source: Path, target: Path) -> None:
        heard.append(("rename", target))
        move(source, target)

    monkeypatch.setattr(os, "fsync", heard_fsync)
    monkeypatch.setattr(os, "replace", heard_replace)
    monkeypatch.setattr(durable, "move_into_place", heard_move)
    return heard


def write_splits(path: Path, topics: Dataset) -> None:
    write_table(path, split_columns(Splits(topics, topics, topics)))


def write_arrays(path: Path, topics: Dataset) -> None:
    caching.kept(path.parents[1], path.parent.name, path.stem, lambda: {"x": np.arange(3)})


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (lambda path, topics: write_text(path, "é"), "text.json"),
        (write_splits, "table.parquet"),
        (write_arrays, "arrays.safetensors"),
    ],
    ids=["text", "table", "cache"],
)
def test_a_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, steps: Steps, topics: Dataset, write: Callable[..., None], name: str
) -> None:
    path = tmp_path / "folder" / name
    path.parent.mkdir()
    write(path, topics)
    first, *rest = steps
    assert first[0] == "disk"
    assert first[1].parent.parent == path.parent
    assert first[1].name == path.name
    assert rest == [("rename", path), ("disk", path.parent)]


@pytest.mark.parametrize("is_there", [False, True])
def test_all_files_of_a_folder_are_on_the_disk_before_it_has_its_name(
    tmp_path: Path, steps: Steps, is_there: bool
) -> None:
    place = tmp_path / "model"
    if is_there:
        place.mkdir()
    with replaced_folder(place) as folder:
        for name in ("weights", "encoder/weights"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text("1")
    inside = {folder / name for name in ("weights", "encoder/weights", "encoder", "")}
    renamed = steps.index(("rename", place))
    assert {path for _, path in steps[:renamed]} == inside
    assert [step for step in steps[renamed:] if step[0] == "disk"] == [("disk", tmp_path)]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(("number", "is_told"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_file_system_that_keeps_no_names_of_folders_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_told: bool
) -> None:
    def fail(handle: int) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(os, "fsync", fail)
    if is_told:
        with pytest.raises(OSError, match="no"):
            durable.sync_names(tmp_path)
    else:
        durable.sync_names(tmp_path)
    shutil.copyfile(__file__, tmp_path / "file")
    with pytest.raises(OSError, match="no"):
        durable.sync(tmp_path / "file")


@pytest.mark.skipif(os.name == "nt", reason="links are made otherwise here")
def test_logs_are_not_written_through_links(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine\n")
    (tmp_path / "symbolic").symlink_to(mine)
    (tmp_path / "hard").hardlink_to(mine)
    os.mkfifo(tmp_path / "pipe")
    for name in ("symbolic", "hard", "pipe"):
        with pytest.raises(OSError, match=name):
            append_text(tmp_path / name, "more")
    assert mine.read_text() == "mine\n"
    for line in ("é\n", "\ud800\n"):
        append_text(tmp_path / "log", line)
    assert (tmp_path / "log").read_text("utf-8") == "é\n?\n"


WRITERS = re.compile(
    r"\b(?:mkstemp|mkdtemp|mktemp|NamedTemporaryFile|os\.rename|os\.replace|shutil\.move)\("
    r"|\.(?:rename|touch)\(|\bopen\([^()]*[\"'](?:[wax]|r?b?\+)[bt+]*[\"']"
)
ALLOWED = {
    "data/write.py": ['open("wb"'],  # both fill what `output_file` yields
    "encoders/features.py": ['open("wb"'],
    "models/onnx_export.py": [".rename("],  # within a temporary folder
}


def test_nothing_is_written_in_another_way() -> None:
    source = Path(durable.__file__).parents[1]
    found = {
        path.relative_to(source).as_posix(): [of.group() for of in WRITERS.finditer(text)]
        for path in sorted(source.rglob("*.py"))
        if "storage" not in path.parts and WRITERS.search(text := path.read_text("utf-8"))
    }
    assert {name: [of.rstrip("'") for of in every] for name, every in found.items()} == ALLOWED


def test_a_full_disk_is_told_from_other_errors() -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    assert durable.is_full(full)
    assert durable.is_full(RuntimeError("Error: No space left on device (os error 28)"))
    later = ValueError("cannot be written")
    later.__context__ = full
    assert durable.is_full(later)
    for other in (None, OSError(errno.EACCES, "Permission denied"), ValueError("os error 2")):
        assert not durable.is_full(other)
