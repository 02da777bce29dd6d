"""Tables are written whole, and never over anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from finetext.core.errors import DataError
from finetext.data.write import check_table, write_table

COLUMNS = {"id": ["1", "2"], "text": ['a "b", c\nd', "é"], "score": [0.5, None]}


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_text_tables_can_be_read_by_pandas(tmp_path: Path, suffix: str) -> None:
    import pandas

    path = tmp_path / f"table{suffix}"
    write_table(path, COLUMNS)
    read = pandas.read_csv(path, sep="," if suffix == ".csv" else "\t", dtype={"id": str})
    assert read["text"].tolist() == COLUMNS["text"]
    assert read["id"].tolist() == ["1", "2"]
    assert read["score"].isna().tolist() == [False, True]
    assert list(tmp_path.iterdir()) == [path]


def test_json_lines_and_parquet_keep_lists(tmp_path: Path) -> None:
    import pyarrow.parquet

    columns = {"id": ["1", "2"], "label": [["a", "b"], []]}
    write_table(tmp_path / "t.jsonl", columns, locale="en")
    lines = (tmp_path / "t.jsonl").read_text("utf-8").splitlines()
    assert json.loads(lines[0]) == {"id": "1", "label": ["a", "b"]}
    write_table(tmp_path / "t.parquet", columns)
    assert pyarrow.parquet.read_table(tmp_path / "t.parquet").to_pydict() == columns


def test_only_tables_for_spreadsheets_have_a_byte_order_mark(tmp_path: Path) -> None:
    write_table(tmp_path / "one.csv", COLUMNS, locale="en")
    write_table(tmp_path / "other.csv", COLUMNS)
    assert (tmp_path / "one.csv").read_bytes().startswith(b"\xef\xbb\xbfid,")
    assert (tmp_path / "other.csv").read_bytes().startswith(b"id,")


def test_existing_files_and_data_folders_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    there = folder / "train.csv"
    there.touch()
    for path, source, message in [
        (there, None, "exists; name another file, or replace it with --force"),
        (folder / "new.csv", str(folder), "would be among the data"),
        (folder / "new.csv", {"train": str(tmp_path), "test": "x"}, "would be among the data"),
        (tmp_path / "new.txt", None, "suffix must be one of"),
        (tmp_path / "no" / "new.csv", None, "there is no folder"),
    ]:
        with pytest.raises(DataError, match=message):
            check_table(path, inputs=[source])
    check_table(folder / "new.csv", inputs=[str(there)])


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zip"):
        write_table(tmp_path / "t.csv", {"id": ["1"], "text": []})
    assert not list(tmp_path.iterdir())
