"""Labels that training and evaluation spell differently, on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
WORDS = ("a fine film", "a dull film")


def table(path: Path, labels: list[Any], number: int = 24) -> Path:
    rows = [{"text": f"{WORDS[n % 2]} {n}", "label": labels[n % 2]} for n in range(number)]
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    else:
        lines = [f"{row['text']},{row['label']}" for row in rows]
        path.write_text("text,label\n" + "\n".join(lines) + "\n", "utf-8")
    return path


@pytest.mark.parametrize(
    ("trained", "evaluated", "suffix"),
    [
        ([True, False], ["true", "false"], ".csv"),
        (["TRUE", "FALSE"], [True, False], ".jsonl"),
        (["1.0", "2.0"], ["1", "2"], ".csv"),
        (["1", "2"], [1.0, 2.0], ".jsonl"),
        (["caf\u00e9", "bar"], ["cafe\u0301", "bar\u200b "], ".csv"),
    ],
)
def test_labels_are_the_same_however_they_are_spelled(
    command: Command, tmp_path: Path, trained: list[Any], evaluated: list[Any], suffix: str
) -> None:
    data = table(tmp_path / "train.jsonl", trained)
    command("train", data, "--methods", "majority", "--out", "run", status=0)
    other = table(tmp_path / f"other{suffix}", evaluated)
    told = json.loads(command("evaluate", "run", other, "--json", status=0).out)
    assert told["metrics"]["accuracy"]["n"] == 24


@pytest.mark.parametrize(
    ("label", "match"),
    [("Good", "differs from 'good' in case only"), ("g\u043eod", r"'g\u043eod' is not 'good'")],
)
def test_an_unknown_label_shows_what_cannot_be_seen(
    command: Command, tmp_path: Path, label: str, match: str
) -> None:
    data = table(tmp_path / "train.jsonl", ["good", "bad"])
    command("train", data, "--methods", "majority", "--out", "run", status=0)
    other = table(tmp_path / "other.csv", [label, "bad"])
    assert match in command("evaluate", "run", other, status=2).err


def test_an_unknown_label_shows_the_nearest(command: Command, tmp_path: Path) -> None:
    data = table(tmp_path / "train.jsonl", ["good", "bad"])
    command("train", data, "--methods", "majority", "--out", "run", status=0)
    other = table(tmp_path / "other.csv", ["goood", "bad"])
    assert "did you mean 'good'?" in command("evaluate", "run", other, status=2).err
