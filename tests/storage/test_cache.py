"""Arrays are made once, found again, and never in the way."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from finetext.storage import cache as caching
from finetext.storage.cache import Arrays, keep_json, kept, kept_json


class Maker:
    """Counts how often the arrays are made."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Arrays:
        self.calls += 1
        return {"numbers": np.arange(6).reshape(2, 3)[:, ::-1]}


def test_arrays_are_made_once_for_a_key(tmp_path: Path) -> None:
    make = Maker()
    for key in ("a", "a", "b"):
        np.testing.assert_array_equal(
            kept(tmp_path, "states", key, make)["numbers"], [[2, 1, 0], [5, 4, 3]]
        )
    assert make.calls == 2
    assert {path.name for path in (tmp_path / "states").iterdir()} == {
        "a.safetensors", "b.safetensors",
    }  # fmt: skip


def test_without_a_cache_they_are_always_made() -> None:
    make = Maker()
    kept(None, "states", "a", make)
    kept(None, "states", "a", make)
    assert make.calls == 2


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert kept(tmp_path / "file", "states", "a", Maker())["numbers"].shape == (2, 3)


def test_what_was_not_used_for_longest_makes_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = Maker()
    kept(tmp_path, "states", "a", make)
    size = (tmp_path / "states" / "a.safetensors").stat().st_size
    monkeypatch.setattr(caching, "MOST_BYTES", 2 * size)
    kept(tmp_path, "states", "b", make)
    kept(tmp_path, "states", "a", make)
    kept(tmp_path, "states", "c", make)
    assert sorted(path.stem for path in (tmp_path / "states").iterdir()) == ["a", "c"]


def test_what_killed_processes_left_is_swept_and_what_is_being_written_stays(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "states"
    folder.mkdir()
    for name, hours in (("old.part", 25), ("new.part", 23), ("old.txt", 25)):
        (folder / name).write_text("half")
        written = time.time() - hours * 3600
        os.utime(folder / name, (written, written))
    kept(tmp_path, "states", "a", Maker())
    assert {path.name for path in folder.iterdir()} == {"a.safetensors", "new.part", "old.txt"}


def test_json_is_kept_until_it_is_removed(tmp_path: Path) -> None:
    key = "ab" * 32
    assert kept_json(tmp_path, "kind", key) is None
    keep_json(tmp_path, "kind", key, {"answer": "é"})
    assert kept_json(tmp_path, "kind", key) == {"answer": "é"}
    (tmp_path / "kind" / "ab" / f"{key}.json").write_text("[1]")
    assert kept_json(tmp_path, "kind", key) is None
    (tmp_path / "other").write_text("a file where the folder would be")
    with pytest.raises(OSError, match="other"):
        keep_json(tmp_path, "other", key, {})
