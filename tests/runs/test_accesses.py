"""Tests of the ledger of test sets: what counts as the same, and that it never stops a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from finetext.core.types import Dataset
from finetext.runs.accesses import (
    ledger_folder,
    record_access,
    record_scoring,
    use_of_test_set,
)
from finetext.runs.accesses import (
    test_set_key as key_of,
)

MakeDataset = Callable[..., Dataset]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state folder."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def rows(make_dataset: MakeDataset) -> Dataset:
    """Four test rows."""
    return make_dataset(["one", "two", "three", "four"], ["a", "b", "a", "b"])


def folder(at: Path, name: str) -> Path:
    (at / name).mkdir()
    return at / name


def test_a_new_run_on_the_same_test_rows_goes_on_counting(tmp_path: Path, rows: Dataset) -> None:
    first, second = folder(tmp_path, "first"), folder(tmp_path, "second")
    record_scoring(first, rows)
    assert use_of_test_set(first).runs == 1
    record_scoring(second, rows.select([3, 1, 0, 2]))
    record_scoring(second, rows)
    record_access(first, "finetext errors")
    for run in (first, second):
        assert (use_of_test_set(run).runs, use_of_test_set(run).looks) == (2, 1)
    other = folder(tmp_path, "other")
    record_scoring(other, rows.select([0, 1, 2]))
    assert use_of_test_set(other).runs == 1


def test_the_ledger_has_neither_texts_nor_paths(tmp_path: Path, rows: Dataset) -> None:
    run = folder(tmp_path, "secret")
    record_scoring(run, rows)
    record_access(run, "Python", "program")
    [ledger] = ledger_folder().glob("*.jsonl")
    kept = ledger.read_text("utf-8")
    assert all(word not in kept for word in ("secret", "one", "three", str(tmp_path)))
    assert len(kept.splitlines()) == 2


def test_texts_and_labels_make_the_key(make_dataset: MakeDataset, rows: Dataset) -> None:
    assert key_of(rows) == key_of(rows.select([1, 0, 3, 2]))
    assert key_of(rows) != key_of(make_dataset(["one", "two", "three", "four"], list("abaa")))


def test_a_run_without_test_rows_or_record_counts_alone(tmp_path: Path, rows: Dataset) -> None:
    run = folder(tmp_path, "run")
    record_scoring(run, rows.select([]))
    assert not ledger_folder().exists()
    assert use_of_test_set(run).runs == 1
    (run / "test_set.json").write_text('{"key": 1}', "utf-8")
    assert use_of_test_set(run).runs == 1
    assert record_access(run, "finetext errors") == 2


@pytest.mark.parametrize("damage", ["cut", "bytes", "folder", "file"])
def test_a_damaged_ledger_never_stops_a_run(tmp_path: Path, rows: Dataset, damage: str) -> None:
    first, second = folder(tmp_path, "first"), folder(tmp_path, "second")
    record_scoring(first, rows)
    [ledger] = ledger_folder().glob("*.jsonl")
    if damage == "cut":
        ledger.write_text(ledger.read_text("utf-8") + '{"by": "fine', "utf-8")
    elif damage == "bytes":
        ledger.write_bytes(b"\xff\xfe" * 50)
    else:
        ledger.unlink()
        ledger.with_suffix(".lock").unlink(missing_ok=True)
        if damage == "folder":
            ledger.mkdir()
        else:
            ledger_folder().rmdir()
            ledger_folder().write_text("")
    record_scoring(second, rows)
    expected = {"cut": 2, "bytes": 1, "folder": 1, "file": 1}
    assert use_of_test_set(second).runs == expected[damage]
    assert json.loads((second / "test_set.json").read_text("utf-8"))["key"] == key_of(rows)


def test_a_locked_ledger_is_left_alone(
    tmp_path: Path, rows: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    from filelock import FileLock

    monkeypatch.setattr("finetext.runs.accesses._SECONDS", 0.05)
    first, second = folder(tmp_path, "first"), folder(tmp_path, "second")
    record_scoring(first, rows)
    [ledger] = ledger_folder().glob("*.jsonl")
    with FileLock(ledger.with_suffix(".lock")):
        record_scoring(second, rows)
    assert use_of_test_set(second).runs == 1


def test_runs_at_the_same_time_are_all_counted(tmp_path: Path, rows: Dataset) -> None:
    runs = [folder(tmp_path, f"run{number}") for number in range(12)]
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda run: record_scoring(run, rows), runs))
    assert use_of_test_set(runs[0]).runs == 12
