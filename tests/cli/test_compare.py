"""`finetext precision-recall`, and what `finetext compare` needs more than one of."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetext.runs.accesses import accesses

Command = Callable[..., Any]


def test_the_methods_of_a_run_are_shown_the_best_first(command: Command, run: Path) -> None:
    seen = command("precision-recall", run, "--out", "curves.png", status=0)
    assert "positive class: good (the second label; choose with --positive)" in seen.out
    assert "no curve of majority" in seen.out.replace("\n", " ")
    assert [line.split()[0] for line in seen.out.splitlines() if "[" in line][:2] == [
        "tfidf", "majority",
    ]  # fmt: skip
    assert "picture: curves.png" in seen.err
    assert Path("curves.png").read_bytes().startswith(b"\x89PNG")
    assert accesses(run) == []  # validation rows


def test_another_class_and_a_table_of_points(command: Command, run: Path) -> None:
    given = ("precision-recall", run / "tfidf", "--positive", "bad", "--split", "test")
    seen = command(*given, "--out", "points.csv", status=0)
    assert "positive class: bad, " in seen.out
    assert "9 test rows" in seen.out
    with Path("points.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["name"] for row in rows} == {"films/tfidf"}
    assert {float(row["recall"]) for row in rows} >= {1.0}
    assert len(accesses(run)) == 1
    told = json.loads(command(*given, "--json").out)
    assert told["curves"]["films/tfidf"]["positive"] == "bad"
    assert told["openings"] == {str(run): 3}


def test_a_table_of_predictions_made_elsewhere(command: Command, workplace: Path) -> None:
    lines = ["id,truth,probability:no,probability:yes", "1,no,0.9,0.1", "2,no,0.6,0.4"]
    Path("mine.csv").write_text("\n".join([*lines, "3,yes,0.7,0.3", "4,yes,0.2,0.8"]) + "\n")
    told = json.loads(command("precision-recall", "mine.csv", "--json", status=0).out)
    scores = told["scores"]["mine.csv"]
    assert scores["roc_auc"]["value"] == 0.75
    assert scores["binary_recall"]["value"] == 0.5
    curve = told["curves"]["mine.csv"]
    assert [point["recall"] for point in curve["points"]] == [0.5, 0.5, 1.0, 1.0]
    other = json.loads(command("precision-recall", "mine.csv", "--positive", "no", "--json").out)
    assert other["scores"]["mine.csv"]["binary_recall"]["value"] == 1.0
    assert other["scores"]["mine.csv"]["roc_auc"]["value"] == 0.75


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("{run}", "--positive", "best"), "'best' is none of the labels, which are 'bad', 'good'"),
        (("{run}", "--method", "majority"), "films/majority: each row has the same probability"),
        (("{run}", "--out", "curves.pdf"), "curves.pdf: the suffix must be one of .png, .svg for"),
        (("{run}", "--split", "train"), "--split train: it must be validation or test"),
        (("missing",), "there is no run folder or file of predictions 'missing'"),
    ],
)
def test_mistakes_name_the_remedy(
    command: Command, run: Path, words: tuple[str, ...], said: str
) -> None:
    given = [word.replace("{run}", str(run)) for word in words]
    assert said in command("precision-recall", *given, status=2).err


def test_one_set_of_predictions_is_nothing_to_compare(command: Command, run: Path) -> None:
    assert "tfidf alone is nothing to compare" in command("compare", run / "tfidf", status=2).err
    seen = command("compare", run, "--method", "tfidf", status=2)
    assert "leave --method out to compare majority, tfidf" in seen.err
    seen = command("compare", run, "--method", "tfdif", status=2)
    assert "did you mean 'tfidf'?" in seen.err
    assert accesses(run) == []
