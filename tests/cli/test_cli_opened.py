"""What commands say of rows, and of runs that are not finished."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from finetext.runs.run import Run, accesses

Command = Callable[..., Any]


@pytest.fixture
def run(workplace: Path, finished: Path) -> Path:
    """A run folder to be written into."""
    shutil.copytree(finished, "films")
    return Path("films")


def write(texts: Sequence[str]) -> str:
    """A file of these texts, which are good or bad by turns."""
    with Path("rows.csv").open("w", newline="", encoding="utf-8") as file:
        labels = ["good", "bad"] * len(texts)
        csv.writer(file).writerows([("text", "label"), *zip(texts, labels, strict=False)])
    return "rows.csv"


@pytest.mark.parametrize("model", ["", "tfidf", "tfidf/model"])
def test_evaluate_on_test_rows_is_an_access(command: Command, run: Path, model: str) -> None:
    rows = write(Run.open(run).texts())
    seen = command("evaluate", run / model, rows)
    assert seen.status == 0, seen.err
    assert "films has been accessed 2 times" in seen.err
    assert json.loads(command("evaluate", run / model, rows, "--json").out)["openings"] == 3
    assert {line["by"] for line in accesses(run)} == {"finetext evaluate"}


def test_half_of_the_test_rows_are_an_access(command: Command, run: Path) -> None:
    others = [f"another film, {number}" for number in range(30)]
    texts = Run.open(run).texts()
    for count, times in ((4, 0), (5, 1)):
        assert command("evaluate", run, write([*others, *texts[:count]])).status == 0
        assert len(accesses(run)) == times


def test_other_rows_or_models_are_no_access(command: Command, run: Path) -> None:
    test, validation = (write_to(Run.open(run), split) for split in ("test", "validation"))
    shutil.copytree(run / "tfidf" / "model", "elsewhere")
    for model, rows in ((run, validation), (Path("elsewhere"), test)):
        assert json.loads(command("evaluate", model, rows, "--json").out)["openings"] is None
    (run / "tfidf" / "predictions.parquet").unlink()
    assert command("evaluate", run, test).status == 0
    assert accesses(run) == []


def write_to(run: Run, split: Any) -> Path:
    return Path(write(run.texts(split=split))).rename(f"{split}.csv")


def test_a_table_that_does_not_say_its_part_has_rows(command: Command, run: Path) -> None:
    lines = [f"{n},{'ab'[n % 2]},{0.2 + n / 100},{0.8 - n / 100}" for n in range(40)]
    Path("mine.csv").write_text("\n".join(["id,truth,a,b", *lines]) + "\n")
    shutil.copy("mine.csv", "yours.csv")
    for words in (("errors",), ("errors", "--part", "test"), ("slices",), ("compare", "yours.csv")):
        seen = command(words[0], "mine.csv", *words[1:])
        assert seen.status == 0, seen.err
        assert "40 rows" in seen.out or "on rows" in seen.out
        assert "validation" not in seen.out
        assert "test row" not in seen.out
        assert json.loads(command(words[0], "mine.csv", *words[1:], "--json").out)["part"] is None
    assert command("errors", "mine.csv", "--page", "errors.html").status == 0
    page = Path("errors.html").read_text()
    assert "of 40 rows (" in page
    assert "None" not in page
    seen = command("errors", run, "--page", "of-run.html")
    assert "9 validation rows of films/tfidf" in seen.out
    assert "of 9 validation rows (" in Path("of-run.html").read_text()


def test_unfinished_run_says_how_to_resume(command: Command, run: Path) -> None:
    (run / "leaderboard.json").unlink()
    told = "the run in films is unfinished: it has no leaderboard.json yet; resume it: "
    for words in (
        ("predict", run, "a fine film"),
        ("explain", run, "a fine film"),
        ("explain", run, "--classes"),
        ("evaluate", run, "rows.csv"),
        ("map", run, "--method", "tfidf"),
        ("errors", run),
        ("errors", run / "tfidf"),
        ("compare", run),
        ("report", run),
    ):
        seen = command(*words)
        assert seen.status == 2
        assert f"{told}finetext train --resume --out films" in seen.err
