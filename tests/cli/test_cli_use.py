"""`explore`, `evaluate`, `predict` and `show`: what is done with data and finished runs."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
TEXT = "a fine and moving film"
COLUMNS = ["id", "text", "prediction", "probability", "probability:bad", "probability:good"]


def feed(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_explore_shows_classes_and_findings(
    command: Command, reviews: Path, tiny_encoder: Path
) -> None:
    seen = command("explore", reviews, "--encoder", tiny_encoder)
    assert seen.status == 0
    assert "good" in seen.out
    assert "giveaway-tokens" in seen.out
    told = json.loads(command("explore", reviews, "--encoder", tiny_encoder, "--json").out)
    assert told["classes"] == {"bad": {"all": 20}, "good": {"all": 40}}


def test_explore_shows_tokens_and_a_batch(
    command: Command, reviews: Path, tiny_encoder: Path
) -> None:
    words = ("explore", reviews, "--encoder", tiny_encoder)
    assert "[CLS]" in command(*words, "--tokens", 3).out
    told = json.loads(command(*words, "--tokens", 3, "--json").out)
    assert told["text"].endswith("number 2")
    assert told["pieces"][0] == "[CLS]"
    assert "a batch of " in command(*words, "--batch").out
    batches = [json.loads(command(*words, "--batch", "--json", "--seed", s).out) for s in (0, 0, 1)]
    assert batches[0] == batches[1]
    assert batches[0] != batches[2]


def test_explore_looks_at_texts_without_labels(
    command: Command, workplace: Path, tiny_encoder: Path
) -> None:
    Path("texts.txt").write_text("".join(f"{TEXT} number {n}\n" for n in range(30)))
    Path("blank.csv").write_text("text,label\n" + "".join(f"{TEXT} {n},\n" for n in range(30)))
    for name in ("texts.txt", "blank.csv"):
        words = ("explore", name, "--encoder", tiny_encoder)
        told = json.loads(command(*words, "--json").out)
        assert (told["rows"], told["classes"]) == ({"all": 30}, {})
        assert "words per text" in command(*words).out
    Path("same.csv").write_text("text,label\n" + "".join(f"{TEXT} {n},good\n" for n in range(30)))
    told = json.loads(command("explore", "same.csv", "--encoder", tiny_encoder, "--json").out)
    assert told["classes"] == {"good": {"all": 30}}
    seen = command("explore", "blank.csv", "--label", "label", "--encoder", tiny_encoder)
    assert seen.status == 2
    assert "missing in 30 of 30 rows" in seen.err


def test_explore_writes_a_page(
    command: Command, workplace: Path, reviews: Path, tiny_encoder: Path
) -> None:
    seen = command("explore", reviews, "--encoder", tiny_encoder, "--html", "page.html", "--json")
    json.loads(seen.out)
    assert seen.err == ""
    assert "<svg" in (workplace / "page.html").read_text()


def test_evaluate_measures_a_run_or_a_model(
    command: Command, finished: Path, reviews: Path
) -> None:
    seen = command("evaluate", finished, reviews)
    assert seen.status == 0
    assert "60 rows" in seen.out
    assert "macro F1" in seen.out
    assert "reviews.csv" in seen.err
    best = command("evaluate", finished, reviews, "--json")
    assert best.err == ""
    same = command("evaluate", finished / "tfidf" / "model", reviews, "--json")
    told, again = json.loads(best.out), json.loads(same.out)
    assert again.pop("openings") == told.pop("openings") + 1
    assert told == again
    assert told["metrics"]["accuracy"]["n"] == 60
    assert [label["name"] for label in told["labels"]] == ["bad", "good"]


def test_evaluate_takes_few_rows_of_one_class(
    command: Command, workplace: Path, finished: Path
) -> None:
    Path("few.csv").write_text(f"text,label\n{TEXT},good\n{TEXT} again,good\n")
    told = json.loads(command("evaluate", finished, "few.csv", "--json").out)
    assert told["metrics"]["accuracy"]["value"] == 1.0
    assert told["labels"][0]["recall"]["value"] is None


def test_predict_a_text(command: Command, finished: Path) -> None:
    seen = command("predict", finished, TEXT)
    assert seen.err == ""
    first, *rest = seen.out.splitlines()
    assert first == "prediction: good"
    chances = [float(line.split()[0]) for line in rest]
    assert chances == sorted(chances, reverse=True)
    assert sum(chances) == pytest.approx(1.0, abs=1e-3)
    told = json.loads(command("predict", finished, TEXT, "--json").out)
    assert list(told[0]) == COLUMNS
    assert told[0]["text"] == TEXT


def test_predict_the_empty_text(command: Command, finished: Path) -> None:
    assert command("predict", finished, "").out.startswith("prediction: ")


def test_predict_standard_input_line_by_line(
    command: Command, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed(monkeypatch, b'a fine film\r\n\ndull, "empty" caf\xe9\n')
    seen = command("predict", finished, "-")
    rows = list(csv.DictReader(io.StringIO(seen.out)))
    assert [row["text"] for row in rows] == ["a fine film", "", 'dull, "empty" café']
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    assert "not UTF-8" in seen.err
    feed(monkeypatch, b"")
    seen = command("predict", finished, "-")
    assert (seen.status, seen.out) == (2, "")
    assert "standard input is empty" in seen.err


def test_a_file_or_standard_input_of_one_row_is_still_a_table(
    command: Command, workplace: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("one.csv").write_text(f"text,label\n{TEXT},good\n")
    from_file = command("predict", finished, "one.csv").out
    feed(monkeypatch, TEXT.encode())
    (row,) = csv.DictReader(io.StringIO(from_file))
    assert row.pop("label") == "good"
    assert list(row) == COLUMNS
    assert row["prediction"] == "good"
    assert [row] == list(csv.DictReader(io.StringIO(command("predict", finished, "-").out)))


def test_predict_a_file_into_every_format(
    command: Command, workplace: Path, finished: Path
) -> None:
    import pyarrow.parquet

    texts = ["b film, fine", 'a "dull"\nfilm', "tab\there"]
    columns = {"nr": ["x", "y", "z"], "text": texts}
    pyarrow.parquet.write_table(pyarrow.table(columns), "in.parquet")
    told = "in.parquet: Parquet; text 'text', id 'nr'"
    for name in ("out.csv", "out.tsv", "out.jsonl", "out.parquet"):
        seen = command("predict", finished, "in.parquet", "--id", "nr", "--out", name)
        assert (seen.status, seen.out, seen.err) == (0, "", f"{told}\n3 predictions: {name}\n")
    tables = [
        list(csv.DictReader(io.StringIO(Path("out.csv").read_text()))),
        list(csv.DictReader(io.StringIO(Path("out.tsv").read_text()), delimiter="\t")),
        [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()],
        pyarrow.parquet.read_table("out.parquet").to_pylist(),
    ]
    for table in tables:
        assert [(row["id"], row["text"]) for row in table] == list(zip("xyz", texts, strict=True))
        assert list(table[0]) == [COLUMNS[0], "nr", *COLUMNS[1:]]
        chance = [float(row["probability"]) for row in table]
        assert chance == [float(row["probability"]) for row in tables[0]]
    assert {path.name for path in workplace.iterdir()} == {
        "in.parquet", "out.csv", "out.tsv", "out.jsonl", "out.parquet",
    }  # fmt: skip


def test_show_prints_the_leaderboard(command: Command, finished: Path) -> None:
    seen = command("show", finished)
    assert seen.err == ""
    assert seen.out.endswith(f"report: {finished / 'report.html'}\n")
    told = json.loads(command("show", finished, "--json").out)
    assert [entry["method"] for entry in told["leaderboard"]] == ["majority", "tfidf"]


def test_show_puts_predictions_beside_truths(command: Command, finished: Path) -> None:
    seen = command("show", finished, "--results", 4, "--method", "majority")
    assert len(seen.out.splitlines()) == 5
    rows = json.loads(command("show", finished, "--results", 100, "--json").out)
    assert len(rows) == 9
    assert set(rows[0]) == {"id", "text", "truth", "prediction", "probability"}
