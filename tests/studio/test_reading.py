"""What a file holds, read in a process of its own: columns, classes, rows, checks, refusals."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest

pytest.importorskip("fastapi")

from finetext.core.settings import ReadSettings
from finetext.data.workbook import Workbook
from finetext.serving.tables import TableReader
from finetext.studio import reading

TEXTS = [f"The room with number {n} was as clean as it could be" for n in range(30)]
LABELED = "text;label;stars\n" + "".join(
    f"{text};{'ab'[n % 3 == 0]};{n % 5}\n" for n, text in enumerate(TEXTS)
)


def read(name: str, data: str | bytes, **given: Any) -> dict[str, Any]:
    """What the process says of a file."""
    data = data.encode() if isinstance(data, str) else data

    async def ask() -> dict[str, Any]:
        reader = TableReader(reading.SECONDS, reading.WAITING, reading.MODULE)
        return (await reader.read(name, data, given))[0]

    return asyncio.run(ask())


def test_a_labeled_table_shows_columns_classes_and_first_rows() -> None:
    found = read("a.csv", LABELED)
    assert found["names"] == ["text", "label", "stars"]
    assert (found["text"], found["label"], found["id"]) == (["text"], "label", None)
    assert found["count"] == 30
    assert found["classes"] == [{"name": "a", "rows": 20}, {"name": "b", "rows": 10}]
    assert len(found["rows"]) == 20
    assert found["rows"][1] == [TEXTS[1], "a", "1"]
    assert found["description"].startswith("a.csv: semicolon-separated")
    assert found["checks"] != []  # the texts are nearly the same
    assert set(found["checks"][0]) == {"severity", "message"}


def test_columns_can_be_stated() -> None:
    found = read("a.csv", LABELED, label="stars", text="text")
    assert found["label"] == "stars"
    assert [one["name"] for one in found["classes"]] == ["0", "1", "2", "3", "4"]
    assert "no column 'film'" in read("a.csv", LABELED, label="film")["error"]


def test_texts_without_labels_have_no_classes() -> None:
    found = read("a.txt", "\n".join(TEXTS))
    assert (found["label"], found["classes"], found["count"]) == (None, None, 30)


def test_rows_without_a_label_stay() -> None:
    rows = [f"{text};{'ab'[n % 2] if n < 10 else ''}" for n, text in enumerate(TEXTS)]
    found = read("a.csv", "\n".join(["text;topic", *rows]))
    assert found["count"] == 30
    assert found["classes"] == [{"name": "a", "rows": 5}, {"name": "b", "rows": 5}]


def test_several_labels_of_a_row_count_each() -> None:
    rows = [
        {"text": text, "labels": ["a", "b"] if n % 2 else ["a"]} for n, text in enumerate(TEXTS)
    ]
    found = read("a.jsonl", "\n".join(map(json.dumps, rows)))
    assert found["classes"] == [{"name": "a", "rows": 30}, {"name": "b", "rows": 15}]


def test_a_sheet_of_excel_is_read() -> None:
    book, file = Workbook(), io.BytesIO()
    book.append("answers", {"comment": TEXTS, "label": ["x", "y"] * 15})
    book.save(file)
    assert read("a.xlsx", file.getvalue())["label"] == "label"


def test_an_unclear_file_has_a_choice() -> None:
    found = read("rooms.csv", "\n".join(["Great rooms", *TEXTS]))
    assert found["choice"]["setting"] == "header"
    assert [one["value"] for one in found["choice"]["readings"]] == ["true", "false"]
    assert read("rooms.csv", "\n".join(["Great rooms", *TEXTS]), header=False)["count"] == 31


@pytest.mark.parametrize(
    ("name", "data"),
    [("a.csv", b""), ("a.parquet", b"PAR1 and no more"), ("a.zip", b"PK\x03\x04"),
     ("a.csv", b"\x00\x01\x02\x03" * 50), ("a.xlsx", b"no workbook"), ("a.json", b"{" * 100_000)],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_words(name: str, data: bytes) -> None:
    found = read(name, data)
    assert name in found["error"]
    assert "Traceback" not in found["error"]


def test_a_source_of_the_owner_is_read_where_it_is(tmp_path: Any) -> None:
    (tmp_path / "a.csv").write_text(LABELED)
    assert read("a.csv", b"", source=str(tmp_path / "a.csv"))["count"] == 30
    assert "there is no file" in read("b", b"", source=str(tmp_path / "nothere.csv"))["error"]


def test_long_cells_are_shortened() -> None:
    found = read(
        "a.csv", "text;label\n" + "".join(f"{n} {'word ' * 500};{n % 2}\n" for n in range(20))
    )
    assert len(found["rows"][0][0]) <= 510


def test_other_settings_are_dropped() -> None:
    made = reading.read_settings({"text": ["a", "b"], "label": None, "source": "/etc/passwd"})
    assert made == ReadSettings(text=("a", "b"), labelled=False)
