"""Files that the page for people sends: read as `finetext predict` does, or refused in words."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from serving_toys import Answer, Client, Toy, error_of

from finetext.batch.predict_file import predict_file
from finetext.core.errors import DataError
from finetext.core.types import LabelScheme
from finetext.data.workbook import Workbook
from finetext.serving.tables import TableReader

Make = Callable[..., Client]
TEXTS = [f"The room with number {n} was as clean as it could be" for n in range(12)]
UNCLEAR = "\n".join(["Great rooms", *TEXTS]).encode()


def file(name: str, data: bytes, **more: Any) -> dict[str, Any]:
    return {"name": name, "file": base64.b64encode(data).decode(), **more}


def asked(client: Client, name: str, data: bytes, **more: Any) -> Answer:
    return client("POST", "/table", file(name, data, **more))


def refused(client: Client, name: str, data: bytes, **more: Any) -> str:
    """The message of a refusal, after which the server still answers."""
    message = error_of(asked(client, name, data, **more), 422)
    assert "Traceback" not in message
    assert "/" not in message.replace("/work", "")
    assert client("POST", "/decide", {"inputs": "x"}).status == 200
    return message


def workbook(**sheets: list[str]) -> bytes:
    book, file = Workbook(), io.BytesIO()
    for title, texts in sheets.items():
        book.append(title, {"id": list(range(len(texts))), "text": texts})
    book.save(file)
    return file.getvalue()


FILES = {
    "a.csv": b'id;text\n1;"a; b"\n2;c d\n',
    "a.tsv": b"n\tcomment\n1\tgood film\n2\tbad film\n",
    "a.txt": b"a good film\n\na bad film\n",
    "a.json": json.dumps([{"text": "good", "n": 1.5}, {"text": "bad", "n": None}]).encode(),
    "a.jsonl": b'{"text": "good", "tags": ["x", "y"]}\n{"text": "bad", "tags": []}\n',
    "a.xlsx": workbook(answers=["good", "bad"]),
}


@pytest.mark.parametrize("name", FILES)
def test_rows_and_columns_are_those_of_predict(make_client: Make, toy: Toy, tmp_path: Path,
                                               name: str) -> None:  # fmt: skip
    found = asked(make_client(), name, FILES[name]).json
    (tmp_path / name).write_bytes(FILES[name])
    predicted = predict_file(toy, tmp_path / name, tmp_path / "out.csv")
    header = (tmp_path / "out.csv").read_text().split("\n", 1)[0].split(",")
    added = found["added"]
    ids = [added["id"]] if added["id"] else []
    likely = [added["prefix"] + label for label in toy.scheme.names]
    assert header == [*ids, *found["names"], added["prediction"], added["probability"], *likely]
    assert found["texts"] == toy.seen
    assert len(found["rows"]) == len(found["ids"]) == predicted.rows == 2


def test_cells_are_those_of_predict(make_client: Make) -> None:
    found = asked(make_client(), "a.json", FILES["a.json"]).json
    assert found["rows"] == [["good", "1.5"], ["bad", ""]]
    found = asked(make_client(), "a.jsonl", FILES["a.jsonl"]).json
    assert found["rows"][0] == ["good", '["x", "y"]']


def test_an_unclear_header_names_both_readings_and_is_settled(make_client: Make) -> None:
    client = make_client()
    answer = asked(client, "rooms.csv", UNCLEAR)
    assert answer.status == 422
    problem = "rooms.csv, line 1: this row may be a header or the first row of data: 'Great rooms'"
    assert answer.json["error"] == f'{problem}; state it as "header": one of true, false'
    readings = [{"value": value, "examples": ["Great rooms"]} for value in ("true", "false")]
    assert answer.json["choice"] == {"setting": "header", "problem": problem, "readings": readings}
    assert asked(client, "rooms.csv", UNCLEAR, header=True).json["texts"] == TEXTS
    found = asked(client, "rooms.csv", UNCLEAR, header=False).json
    assert found["texts"] == ["Great rooms", *TEXTS]
    assert found["names"] == ["1"]


def test_unclear_columns_have_three_values_each(make_client: Make) -> None:
    food = [f"And the food of day {n} was quite good" for n in range(12)]
    rows = "\n".join(["a,b", *map(",".join, zip(TEXTS, food, strict=True))]).encode()
    client = make_client()
    choice = asked(client, "two.csv", rows).json["choice"]
    assert choice["setting"] == "text"
    assert choice["readings"] == [
        {"value": "a", "examples": TEXTS[:3]}, {"value": "b", "examples": food[:3]}
    ]  # fmt: skip
    assert asked(client, "two.csv", rows, text=["b"]).json["texts"] == food


def test_unclear_sheets_and_encodings_are_choices(make_client: Make) -> None:
    client = make_client()
    book = workbook(May=TEXTS, June=TEXTS[:5])
    choice = asked(client, "survey.xlsx", book).json["choice"]
    assert [reading["value"] for reading in choice["readings"]] == ["May", "June"]
    assert asked(client, "survey.xlsx", book, sheet="June").json["texts"] == TEXTS[:5]
    russian = "текст,метка\nфильм замечательный,1\nфильм дурацкий,0\n"
    choice = asked(client, "r.csv", russian.encode("cp1251")).json["choice"]
    assert choice["setting"] == "encoding"
    assert {"value": "cp1251", "examples": ["текст,метка"]} in choice["readings"]
    found = asked(client, "r.csv", russian.encode("cp1251"), encoding="cp1251").json
    assert found["names"] == ["текст", "метка"]


def test_a_model_of_several_columns_reads_them_joined(make_client: Make) -> None:
    client = make_client(Toy(scheme=LabelScheme(("no", "yes"), text_columns=("title", "body"))))
    rows = b"id,body,title\n1,a good one,First\n"
    assert asked(client, "f.csv", rows).json["texts"] == ["First\n\x1fa good one"]
    assert "as many" in error_of(asked(client, "f.csv", rows, text=["body"]), 422)
    choice = asked(client, "f.csv", rows.replace(b"title", b"head")).json["choice"]
    assert [reading["value"] for reading in choice["readings"]] == ["id", "body", "head"]


def test_the_column_of_training_is_read_if_the_file_has_it(make_client: Make) -> None:
    client = make_client(Toy(scheme=LabelScheme(("no", "yes"), text_column="body")))
    rows = "\n".join(["body,reply", *(f"{text},We thank you for it" for text in TEXTS)]).encode()
    found = asked(client, "f.csv", rows).json
    assert (found["text"], found["notes"]) == (["body"], [])
    assert "'body' (the column of training)" in found["description"]
    assert asked(client, "f.csv", rows, text=["reply"]).json["text"] == ["reply"]
    only = "\n".join(["line,n", *(f"{text},{n}" for n, text in enumerate(TEXTS))]).encode()
    found = asked(client, "f.csv", only).json
    assert found["text"] == ["line"]
    assert "no column 'body', on which the model was trained" in found["notes"][0]


def test_a_lacking_column_of_training_and_columns_alike_are_a_choice(make_client: Make) -> None:
    food = [f"And the food of day {n} was quite good" for n in range(12)]
    rows = "\n".join(["a,b", *map(",".join, zip(TEXTS, food, strict=True))]).encode()
    client = make_client(Toy(scheme=LabelScheme(("no", "yes"), text_column="body")))
    choice = asked(client, "two.csv", rows).json["choice"]
    assert [reading["value"] for reading in choice["readings"]] == ["a", "b"]
    assert "no column 'body', on which the model was trained" in choice["problem"]


def bomb() -> bytes:
    """A workbook with many styles, which none of its cells needs."""
    file = io.BytesIO()
    whole = zipfile.ZipFile(io.BytesIO(workbook(answers=["good", "bad"])))
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for part in whole.namelist():
            is_bomb = part == "xl/styles.xml"
            styles = b"<a>" + b"<b/>" * 10_000_000
            packed.writestr(part, styles if is_bomb else whole.read(part))
    return file.getvalue()


HOSTILE = {
    "bomb.xlsx": (bomb, "of memory to read"),
    "damaged.xlsx": (lambda: b"PK\x03\x04\0\0\0\0", "not a readable Excel file"),
    "binary.csv": (lambda: bytes(range(256)) * 40, "not a text file"),
    "utf16.csv": (lambda: "n,text\n1,good\n".encode("utf-16-le"), "UTF-16"),
    "empty.csv": (lambda: b"", "is empty"),
    "deep.json": (lambda: b"[" * 200_000, "too deeply"),
    "many.csv": (lambda: b"text\n" + b",\n" * 4_100_000, "of memory to read: send fewer rows"),
    "wide.csv": (lambda: b"text," * 100_000 + b"\n" + b"a," * 100_000, "columns"),
    "table.parquet": (lambda: b"PAR1", "is compressed"),
    "archive.zip": (lambda: b"PK\x03\x04", "is compressed"),
    "packed.csv": (lambda: b"\x1f\x8b\x08", "is compressed"),
    "renamed.csv": (lambda: b"PK\x03\x04\0\0", "is compressed"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_and_the_server_lives(make_client: Make, name: str) -> None:
    made, said = HOSTILE[name]
    assert said in refused(make_client(), name, made())


def test_memory_and_time_of_reading_are_limited(make_client: Make) -> None:
    many = b"\n".join(b'{"k%d": 1}' % number for number in range(200_000))
    assert "of memory to read" in refused(make_client(), "keys.jsonl", many)
    found, rows = asyncio.run(TableReader(0.01, 1).read("a.csv", FILES["a.csv"], {}))
    assert found == {"error": "a.csv cannot be read in 0 s; send fewer rows"}
    assert rows == b""


def test_files_sent_at_once_are_read_one_by_one_and_the_queue_is_limited(
    make_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []

    async def read(reader: TableReader, *given: Any) -> tuple[dict[str, Any], bytes]:
        begun.append(1)
        assert len(begun) == 1
        await asyncio.sleep(0.01)
        begun.pop()
        return {"error": "read"}, b""

    monkeypatch.setattr(TableReader, "_read", read)
    body = {"name": "a.csv", "file": ""}
    answers = make_client(queue_tables=3).all([("POST", "/table", body, {})] * 50)
    found = sorted(answer.status for answer in answers)
    assert found == [422] * 4 + [429] * 46
    for answer in answers:
        if answer.status == 429:
            assert "retry in 5 s" in error_of(answer, 429)
            assert answer.headers["retry-after"] == "5"


def test_a_cancelled_request_ends_its_process_and_frees_its_place() -> None:
    async def run() -> int:
        reader = TableReader(30.0, 1)
        for _ in range(3):
            reading = asyncio.create_task(reader.read("a.csv", FILES["a.csv"], {}))
            await asyncio.sleep(0.05)
            reading.cancel()
            await asyncio.wait([reading])
        found, _ = await reader.read("a.csv", FILES["a.csv"], {})
        assert "error" not in found
        return reader._places

    assert asyncio.run(run()) == 2


def test_no_process_is_503(make_client: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*given: Any, **more: Any) -> None:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", fail)
    answer = asked(make_client(), "a.csv", FILES["a.csv"])
    assert error_of(answer, 503) == "no file can be read now"
    assert answer.headers["retry-after"] == "5"


def test_a_request_is_limited_in_bytes_and_checked(make_client: Make) -> None:
    client = make_client(table_bytes=2_000, request_bytes=100)
    assert asked(client, "a.csv", FILES["a.csv"]).status == 200
    assert "2,000 bytes" in error_of(asked(client, "a.csv", bytes(2_000)), 413)
    bad = {"name": "a.csv", "file": "%%"}
    assert error_of(client("POST", "/table", bad), 422) == "file is not Base64"
    assert "header" in error_of(asked(client, "a.csv", b"x", header="yes"), 422)
    many = b'{"name": "a.csv", "file": "", "text": [' + b"{}," * 10_000 + b"{}]}"
    assert "10,000 values" in error_of(make_client()("POST", "/table", body=many), 400)
    assert asked(make_client(token="open-sesame"), "a.csv", b"x").status == 401


def test_nothing_is_written(make_client: Make, tmp_path: Path,
                            monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert asked(make_client(), "../../a.xlsx", FILES["a.xlsx"]).status == 200
    assert list(tmp_path.iterdir()) == []


def test_large_answers_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from finetext.core.settings import ReadSettings
    from finetext.serving import tables

    monkeypatch.setattr(tables, "LARGEST_ANSWER", 100)
    with pytest.raises(DataError, match="too much content"):
        tables.read_table("a.csv", FILES["a.csv"] * 9, ReadSettings(labelled=False))
