"""`finetext predict` into a folder of parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

Command = Callable[..., Any]


@pytest.fixture
def files(workplace: Path) -> list[str]:
    """Three Parquet files of four rows, of which one text is missing."""
    for number in range(3):
        texts = [f"a fine film {number}", "a dull film", "", None if number == 1 else "a film"]
        pq.write_table(pa.table({"text": texts, "n": range(4)}), f"{number}.parquet")
    return ["0.parquet", "1.parquet", "2.parquet"]


def test_what_is_said(command: Command, finished: Path, files: list[str]) -> None:
    predict = ("predict", finished, *files, "--out", "out/")
    seen = command(*predict, "--shard", "2/3", status=0)
    assert seen.out == ""
    first, warning, written, last = seen.err.splitlines()
    assert first == "3 files; text 'text'; 1 of 3 parts to write"
    assert warning == (
        "warning: the text is missing in 1 row, which have no prediction: see the column 'rejected'"
    )
    assert written.startswith("1 part written, 4 rows (")
    assert last == "out: 1 of 3 parts are there; to be done: shard 1, 3 of 3"
    assert command(*predict).err.splitlines()[-1] == "out: complete, 3 parts"
    assert command(*predict, "--quiet").err == ""
    assert command(*predict, "--shard", "5/9").err == "out: complete, 3 parts\n"
    found = ds.dataset("out").to_table()
    assert found["n"].to_pylist() == [0, 1, 2, 3] * 3
    assert found["rejected"].drop_null().to_pylist() == ["the text is missing"]
    assert found["prediction"].null_count == 1


def test_a_folder_that_exists_needs_no_slash(
    command: Command, finished: Path, files: list[str]
) -> None:
    Path("out").mkdir()
    assert command("predict", finished, files[0], "--out", "out").status == 0
    assert Path("out/_SUCCESS").is_file()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "x.csv"], "several inputs are predicted into a folder, and its name ends with"),
        (["--shard", "1/3"], "--shard 1/3 needs a folder; name it with --out FOLDER/"),
        (
            ["--out", "x.csv", "--shard", "1/3"],
            "x.csv is the name of a file, and --shard 1/3 needs",
        ),
        (["--out", "x/", "--shard", "4/3"], "--shard 4/3: write which of how many, from 1"),
        (["--out", "x/", "--id", "n"], "--id is not for a folder of parts, as x/ is"),
        (["--out", "x/", "--set-aside", "b.csv"], "--set-aside is not for a folder of parts"),
        (["--out", "x/", "--force"], "--force is not for a folder of parts"),
        (["--out", "x/", "--json"], "--json is not for a folder of parts"),
        (["--out", "x/", "--locale", "de"], "--locale is not for a folder of parts"),
        (["--out", "x/", "--correct-base-rates"], "--correct-base-rates is not for a folder"),
        (["--out", "x/", "--top", "0"], "--top 0: the number of labels must be 1 or more"),
        (["--out", "x/", "--text", "satz"], "has no column 'satz'"),
        (["--out", "0.parquet/x/"], "0.parquet"),
        (
            ["--out", "s4://a/my out/"],
            "s4://a/my out is an address that cannot be used here; known",
        ),
        (["--out", "https://host/x/"], "https://host/x is an address that cannot be used here"),
    ],
)
def test_options_that_a_folder_does_not_have(
    command: Command, finished: Path, files: list[str], options: list[str], said: str
) -> None:
    seen = command("predict", finished, *files, *options, status=2)
    assert said in seen.err
    assert sorted(path.name for path in Path().iterdir()) == files


def test_a_text_is_no_file(command: Command, finished: Path, workplace: Path) -> None:
    said = command("predict", finished, "a fine film", "--out", "x/", status=2).err
    assert "there is no file or folder a fine film" in said
    Path("in.txt").write_text("a fine film\n")
    said = command("predict", finished, "in.txt", "--out", "x/", status=2).err
    assert "in.txt: a table in parts is made of .parquet, .csv" in said
    Path("in.parquet").write_bytes(b"PAR1 and no more")
    said = command("predict", finished, "in.parquet", "--out", "x/", status=2).err
    assert "in.parquet is not a readable Parquet file" in said
