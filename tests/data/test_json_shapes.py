"""Rows in JSON documents: columns, layouts of pandas, envelopes, and documents without rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from exports import LABELS, PAIRS, ROWS, TEXTS

from finetext.core.errors import DataError
from finetext.core.settings import ReadSettings
from finetext.data.json_shapes import shape_of
from finetext.data.read import read


def put(folder: Path, content: Any) -> Path:
    path = folder / "x.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


FRAME = pd.DataFrame(ROWS, index=[f"row {n}" for n in range(len(ROWS))])
COLUMNS = {"text": TEXTS, "label": LABELS}


@pytest.mark.parametrize("orient", ["columns", "index", "split"])
def test_index_of_a_frame_becomes_ids(tmp_path: Path, orient: Any) -> None:
    data = read(put(tmp_path, FRAME.to_json(orient=orient)))
    assert data.texts == TEXTS
    assert data.labels == LABELS
    assert data.ids[:2] == ["row 0", "row 1"]


def test_rows_without_names_are_numbered_columns(tmp_path: Path) -> None:
    path = put(tmp_path, FRAME.to_json(orient="values"))
    assert read(path).labels == LABELS
    assert read(path, text="1", label="2").texts == TEXTS


@pytest.mark.parametrize(
    "content",
    [
        {"data": COLUMNS}, {"data": {"rows": ROWS}}, {"version": 2, "count": 12, "items": ROWS},
        {"meta": {"name": "x"}, "examples": ROWS}, {"documents": [{"record": row} for row in ROWS]},
        {"status": "ok", "payload": {"page": 1, "results": ROWS}}, COLUMNS, ROWS,
        [["text", "label"], *map(list, PAIRS)],
        {"header": ["text", "label"], "rows": list(map(list, PAIRS)), "ok": True},
        {f"doc{n}": row for n, row in enumerate(ROWS)}, {"columns": ["text", "label"],
                                                        "data": [list(pair) for pair in PAIRS]},
    ],
)  # fmt: skip
def test_rows_in_envelopes(tmp_path: Path, content: Any) -> None:
    data = read(put(tmp_path, content))
    assert data.texts == TEXTS
    assert data.labels == LABELS


def test_splits_in_one_document(tmp_path: Path) -> None:
    data = read(put(tmp_path, {"train": ROWS[:6], "dev": ROWS[6:9], "test": ROWS[9:]}))
    assert data.column("split") == ["train"] * 6 + ["validation"] * 3 + ["test"] * 3


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"a": ROWS, "b": ROWS}, r"several lists of objects \('a', 'b'\)"),
        ({"a": {"p": 1, "q": 2}, "b": {"p": 3, "q": 4}}, "either rows by id .* or columns by name"),
        ([["a", 1], ["b"]], "differ in length"),
        (["a text", "b text"], "texts without names: save them one per line"),
        (dict(PAIRS), "an object of 12 values .*, neither rows nor columns"),
        ([1, 2], "neither a JSON list of objects"),
        ({}, "neither a JSON list of objects"),
        ("3", "neither a JSON list of objects"),
        ({"a": [1], "b": [2, 3], "c": 4}, "neither a JSON list of objects"),
    ],
)
def test_documents_without_rows(content: Any, match: str) -> None:
    with pytest.raises(DataError, match=match):
        shape_of(json.loads(content) if isinstance(content, str) else content, "x.json")


def test_asked_columns_decide_between_rows_and_columns(tmp_path: Path) -> None:
    table = {"words": {f"k{n}": text for n, text in enumerate(TEXTS)},
             "mood": {f"k{n}": label for n, label in enumerate(LABELS)}}  # fmt: skip
    path = put(tmp_path, table)
    with pytest.raises(DataError, match="orient='records'"):
        read(path)
    data = read(path, settings=ReadSettings(text="words", label="mood"))
    assert data.labels == LABELS
    assert data.ids[0] == "k0"
