"""`finetext predict` on input that comes in chunks: the same tables, and nothing half-written."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetext.data import stream

Command = Callable[..., Any]
LARGE = "large.csv: comma-separated, with header; text 'text', id 'id'"
TEXTS = [f"a fine film of {number} parts" for number in range(100)]


@pytest.fixture
def tiny_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "BYTES", 500)
    monkeypatch.setattr(stream, "ROWS", 7)


@pytest.fixture
def large(workplace: Path) -> Path:
    path = workplace / "large.csv"
    path.write_text("id,text\n" + "".join(f"r{n},{text}\n" for n, text in enumerate(TEXTS)))
    return path


def test_chunks_make_the_same_tables(
    command: Command, finished: Path, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet

    names = ("out.csv", "out.tsv", "out.jsonl", "out.parquet")
    for name in names:
        assert command("predict", finished, large, "--out", f"whole.{name}").status == 0
    assert command("predict", finished, large).err == f"{LARGE}; 100 rows\n"
    printed = command("predict", finished, large).out
    told = command("predict", finished, large, "--json").out
    monkeypatch.setattr(stream, "BYTES", 500)
    monkeypatch.setattr(stream, "ROWS", 7)
    for name in names:
        seen = command("predict", finished, large, "--out", name)
        assert (seen.status, seen.out, seen.err) == (
            0,
            "",
            f"{LARGE}\n100 predictions: {name}\n",
        )
    for name in names[:3]:
        assert Path(name).read_text() == Path(f"whole.{name}").read_text()
    one, two = (pyarrow.parquet.read_table(name) for name in ("whole.out.parquet", "out.parquet"))
    assert one.equals(two)
    assert command("predict", finished, large).out == printed
    seen = command("predict", finished, large, "--json")
    assert (seen.out, seen.err) == (told, "")
    assert [row["id"] for row in json.loads(told)] == [f"r{n}" for n in range(100)]


@pytest.mark.usefixtures("tiny_chunks")
@pytest.mark.parametrize("name", ["out.csv", "out.jsonl", "out.parquet"])
def test_a_bad_row_far_down_leaves_what_was_there(
    command: Command, finished: Path, large: Path, name: str
) -> None:
    with large.open("a") as file:
        file.write("r100,one,field too many\n")
    Path(name).write_text("old")
    before = sorted(Path().iterdir())
    seen = command("predict", finished, large, "--out", name, "--force", status=2)
    assert "line 102: 2 comma-separated fields expected" in seen.err
    assert Path(name).read_text() == "old"
    assert sorted(Path().iterdir()) == before


@pytest.mark.usefixtures("tiny_chunks")
def test_standard_input_in_chunks(
    command: Command, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("\r\n".join(TEXTS).encode())))
    rows = list(csv.DictReader(io.StringIO(command("predict", finished, "-").out)))
    assert [(row["id"], row["text"]) for row in rows] == [
        (str(number), text) for number, text in enumerate(TEXTS, start=1)
    ]


@pytest.mark.usefixtures("tiny_chunks")
def test_ids_that_repeat_are_numbers_instead_and_said(
    command: Command, finished: Path, large: Path
) -> None:
    with large.open("a") as file:
        file.write("r0,the same name again\n")
    seen = command("predict", finished, large, "--out", "out.csv")
    assert "the rows are numbered, since" in seen.err
    assert "rows 1 and 101" in seen.err
    header, *_, last = Path("out.csv").read_text().splitlines()
    assert header.startswith("finetext:id,id,text,prediction,")
    assert last.startswith("101,r0,the same name again,")
    assert "of the predictions 'id' is 'finetext:id'" in seen.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
def test_a_full_disk_is_said_in_one_message(finished: Path, large: Path) -> None:
    words = [sys.executable, "-m", "finetext", "predict", "-q", str(finished), str(large)]
    with Path("/dev/full").open("w") as full:
        seen = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert seen.returncode == 2
    assert seen.stderr == (
        "finetext: standard output cannot be written: [Errno 28] No space left on device\n"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device here")
def test_a_full_disk_is_no_fault_of_finetext() -> None:
    words = [sys.executable, "-m", "finetext", "models"]
    with Path("/dev/full").open("w") as full:
        seen = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert seen.returncode == 2
    assert "No space left on device" in seen.stderr
    assert "fault of finetext" not in seen.stderr
