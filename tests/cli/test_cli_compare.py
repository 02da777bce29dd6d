"""`finetext compare`: runs, rungs and tables on the same rows."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetext.runs.run import Run, accesses, stored_predictions

Command = Callable[..., Any]


@pytest.fixture
def run(workplace: Path, finished: Path) -> Path:
    """A run folder to be written into."""
    shutil.copytree(finished, workplace / "runs" / "films")
    return Path("runs") / "films"


@pytest.fixture
def table(run: Path) -> Path:
    """What TF-IDF said of the test rows as another program might write it, in another order."""
    predictions = stored_predictions(Run.open(run), "tfidf", "test")
    names = predictions.scheme.names
    truths = predictions.scheme.decode(predictions.targets)
    path = Path("mine.csv")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "label", *reversed(names)])
        for row in reversed(range(len(predictions))):
            likely = reversed(predictions.probabilities[row].tolist())
            writer.writerow([predictions.ids[row], truths[row], *likely])
    return path


def test_the_rungs_of_a_run_are_compared(command: Command, run: Path) -> None:
    seen = command("compare", run, "--metric", "log_loss")
    assert seen.status == 0, seen.err
    assert "log loss  95% interval" in seen.out
    assert "majority minus tfidf: tfidf is better than majority" in seen.out
    assert "corrected" in seen.out
    assert max(map(len, seen.out.splitlines())) <= 80


def test_runs_rungs_and_tables_mix(command: Command, run: Path, table: Path) -> None:
    seen = command("compare", run / "majority", run / "tfidf", table, "--json")
    said = json.loads(seen.out)
    assert list(said["scores"]) == ["films/majority", "films/tfidf", "mine.csv"]
    assert len(said["pairs"]) == 3
    same = said["pairs"][2]
    assert (same["verdict"], same["comparison"]["difference"]["value"]) == ("equal on every row", 0)
    assert said["openings"] == {str(run): 2}
    assert said["part"] == "test"


@pytest.mark.parametrize("name", ["tfidf", "films/tfidf", "runs/films/tfidf"])
def test_against_takes_a_name_a_source_or_a_rung(command: Command, run: Path, name: str) -> None:
    seen = command("compare", run / "tfidf", run / "majority", "--against", name, "--json")
    assert [pair["b"] for pair in json.loads(seen.out)["pairs"]] == ["films/tfidf"]


def test_method_chooses_the_rung_of_runs_only(command: Command, run: Path, table: Path) -> None:
    seen = command("compare", run, table, "--method", "majority", "--metric", "accuracy", "--json")
    said = json.loads(seen.out)
    assert list(said["scores"]) == ["films/majority", "mine.csv"]
    assert said["metric"] == "accuracy"


def test_folders_that_are_called_alike_are_told_apart(command: Command, run: Path) -> None:
    shutil.copytree(run, "other/films")
    seen = command("compare", run, "other/films", "--json")
    assert list(json.loads(seen.out)["scores"]) == ["runs/films/tfidf", "other/films/tfidf"]


def test_test_rows_are_counted_and_validation_rows_are_not(command: Command, run: Path) -> None:
    assert accesses(run) == []
    assert command("compare", run, "--part", "validation").err == ""
    assert accesses(run) == []
    assert f"the test set of {run} has been accessed 2 times" in command("compare", run).err
    assert "accessed 3 times" in command("show", run, "--results", "1").err
    assert [line["by"] for line in accesses(run)] == ["finetext compare", "finetext show --results"]
    json.loads(command("show", run, "--results", "1", "--json").out)
    assert len(accesses(run)) == 3


def test_nothing_is_counted_if_nothing_is_shown(command: Command, run: Path, table: Path) -> None:
    assert command("compare", run, table, "--metric", "acuracy").status == 2
    assert accesses(run) == []


def test_pairs_are_written_as_a_table(command: Command, run: Path) -> None:
    assert command("compare", run, "--metric", "log_loss", "--out", "pairs.csv").status == 0
    with Path("pairs.csv").open(encoding="utf-8") as file:
        [row] = list(csv.DictReader(file))
    assert (row["a"], row["b"], row["better"]) == ("majority", "tfidf", "tfidf")
    assert float(row["low"]) <= float(row["difference"]) <= float(row["high"])
    again = command("compare", run, "--out", "pairs.csv")
    assert (again.status, "is not overwritten" in again.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mine.csv"], "mine.csv alone is nothing to compare"),
        (
            ["runs/films", "--method", "tfidf"],
            "tfidf of runs/films alone is nothing to compare: leave --method out to compare "
            "majority, tfidf",
        ),
        (["runs/films", "--method", "nix"], "named 'nix'; there are: majority, tfidf"),
        (["runs/films", "runs/films/tfidf"], "films/tfidf is given twice"),
        (["runs/films", "nothing.csv"], "no run folder or file of predictions 'nothing.csv'"),
        (["runs/films", "mine.csv", "--part", "train"], "it must be validation or test"),
        (["runs/films", "mine.csv", "--against", "mine"], "named 'mine'; did you mean 'mine.csv'"),
        (["runs/films", "mine.csv", "--method", "probe"], "no method in this run named 'probe'"),
        (["runs/films", "mine.csv", "--out", "pairs.txt"], "the suffix must be one of"),
        (["runs/films", "mine.csv", "--part", "validation"], "are not about the same rows"),
        (["runs", "mine.csv"], "not the folder of a finished run"),
    ],
)
def test_mistakes_are_told_in_one_line(
    command: Command, run: Path, table: Path, words: list[str], message: str
) -> None:
    seen = command("compare", *words)
    assert seen.status == 2
    assert message in seen.err
    assert seen.out == ""
    assert len(seen.err.strip().splitlines()) == 1
