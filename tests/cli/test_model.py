"""`decide`, and how rules of decision reach `predict` and `evaluate`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import finetext
from finetext.core.settings import ReadSettings
from finetext.runs.recipe import Recipe

Command = Callable[..., Any]


def test_a_rule_is_chosen_anew_and_obeyed_by_every_command(
    command: Command, finished: Path, reviews: Path
) -> None:
    words = ("--abstain", "probability=0.999", "--coverage", "0.8", "--out", "careful")
    seen = command("decide", finished, "--method", "majority", *words, status=0)
    assert "no label below a probability of 0.999" in seen.out
    assert "decides 0.000 [0.000, 0.336] of the rows" in seen.out
    again = ("decide", finished, "--method", "majority", *words, "--force", "--json")
    told = json.loads(command(*again).out)
    assert told["decision"]["coverage"] == 0.8
    assert told["decided"] == 0.0
    one = command("predict", "careful", "a fine film").out
    assert one.startswith(
        "prediction: none, as no label is probable enough\nprediction set: good,bad"
    )
    (row,) = json.loads(command("predict", "careful", "a fine film", "--json").out)
    assert row["prediction"] is None
    assert row["set"] == ["good", "bad"]
    assert row["probability"] == max(row["probability:good"], row["probability:bad"])
    table = command("predict", "careful", reviews).out
    rows = list(csv.DictReader(io.StringIO(table)))
    assert {(row["prediction"], row["set"]) for row in rows} == {("", "good,bad")}
    assert command("predict", "careful", reviews, "--out", "all.parquet").status == 0
    measured = command("evaluate", "careful", reviews)
    assert "decides 0.000 [0.000, 0.060] of the rows" in measured.out
    assert "(target: 0.8)" in measured.out
    assert json.loads(command("evaluate", "careful", reviews, "--json").out)["decided"] == 0.0


def test_costs_of_a_spreadsheet_are_read_and_what_they_save_is_told(
    command: Command, finished: Path
) -> None:
    Path("costs.csv").write_text("truth;good;bad\ngood;0;0,5\nbad;12,5;0\n")
    seen = command("decide", finished / "majority", "--costs", "costs.csv", "--out", "cheap")
    assert seen.status == 0, seen.err
    assert "a row costs 0." in seen.out
    assert "on average; with the likeliest label it would cost " in seen.out
    told = json.loads(Path("cheap/finetext.json").read_text())["decision"]
    assert sorted(map(sorted, told["costs"])) == [[0.0, 0.5], [0.0, 12.5]]


def test_a_label_that_is_never_given_is_named(command: Command, finished: Path) -> None:
    words = ("--aim", "precision=0.99", "--out", "sure")
    seen = command("decide", finished / "majority", *words)
    assert "no label is ever given, as no probability is high enough" in seen.out
    alone = command("decide", finished / "majority", "--aim", "f1", "--out", "other")
    assert "probability divided by" in alone.out
    assert "threshold" not in alone.out
    plain = command("decide", finished / "majority", "--out", "plain")
    assert "chosen on" not in plain.out


def test_the_model_of_the_run_stays_as_it_is(command: Command, finished: Path) -> None:
    model = finished / "tfidf" / "model"
    before = {path: path.read_bytes() for path in model.iterdir()}
    seen = command("decide", finished, "--aim", "f1", "--out", model, status=2)
    assert "another folder" in seen.err
    other = command("decide", finished / "majority", "--aim", "f1", "--out", model)
    assert other.status == 2
    assert "the model of a run" in other.err
    assert command("decide", finished / "tfidf", "--aim", "f1", "--out", "new").status == 0
    assert {path: path.read_bytes() for path in model.iterdir()} == before
    described = json.loads(Path("new/finetext.json").read_text())
    assert described["provenance"]["method"] == "tfidf"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--aim", "best"), "must be f1"),
        (("--abstain", "0.9"), "accuracy=SHARE"),
        (("--coverage", "2"), "between 0 and 1"),
        (("--aim", "recall=0.9"), "several labels"),
        (("--costs", "none.csv"), "cannot be read"),
        (("--method", "finetune"), "finetune"),
    ],
)
def test_what_makes_no_sense_is_refused(
    command: Command, finished: Path, words: tuple[str, ...], message: str
) -> None:
    assert message in command("decide", finished, *words, "--out", "new", status=2).err
    assert not Path("new").exists()


def test_a_run_decides_as_its_recipe_says(workplace: Path, reviews: Path) -> None:
    Path("costs.csv").write_text(",good,bad\ngood,0,1\nbad,1000,0\n")
    recipe = {"data": {"source": str(reviews)}, "decide": {"costs": "costs.csv", "coverage": 0.7}}
    made = finetext.train(Recipe.from_values(recipe | {"methods": {"majority": {}}}))
    decision = made.classifier("majority").decision
    assert decision.costs == ((0.0, 1000.0), (1.0, 0.0))
    assert set(made.predictions("majority").decisions.tolist()) == {0}
    assert decision.coverage == 0.7
    again = Recipe.from_file(made.folder / "recipe.toml")
    assert again.decide.costs == Path("costs.csv").absolute()
    Path("elsewhere").mkdir()
    assert made.predictions("majority").decision == decision


def test_a_rule_for_texts_of_no_class_is_chosen_and_obeyed(command: Command, run: Path) -> None:
    seen = command("decide", run, "--out-of-scope", "--out", "few", status=0)
    few = "films/tfidf: false alarms 0.05 (nothing is refused: 5% takes 19 validation rows, there"
    assert few in seen.out
    seen = command("decide", run, "--false-alarms", "0.1", "--out", "m", status=0)
    assert "films/tfidf: false alarms 0.1\n" in seen.out
    assert "in scope are refused (allowed: 0.1)" in seen.out
    command("decide", run, "--false-alarms", "0.9", "--out", "strict", status=0)
    [told] = json.loads(command("predict", "strict", "the film", "--json", status=0).out)
    assert (told["prediction"], told["out_of_scope"]) == (None, True)
    said = "prediction: none, as the text belongs to no class"
    assert said in command("predict", "strict", "the film", status=0).out
    shown = command("plot", "strict", "the film", status=0).out
    assert "prediction: no label, as the text belongs to no class" in shown
    assert "out of scope if less certain than" in finetext.load("strict")._repr_html_()
    seen = command("decide", run, "--false-alarms", "1", "--out", "n", status=2)
    assert "must be a share between 0 and 1" in seen.err


def test_a_new_rule_is_measured_on_texts_of_no_class_while_the_data_are_there(
    command: Command, workplace: Path
) -> None:
    of_label = {"pay": "send money", "play": "a song", "oos": "a comet"}
    rows = [f"{said} {n},{label}" for n in range(40) for label, said in of_label.items()]
    Path("rows.csv").write_text("\n".join(["text,label", *rows]))
    finetext.train(
        "rows.csv", "tfidf", read=ReadSettings(out_of_scope="oos"), out="run",
        listener=finetext.Listener(),
    )  # fmt: skip
    words = ("decide", "run/tfidf", "--false-alarms", "0.2", "--out")
    assert "of the 40 texts out of scope" in command(*words, "m", status=0).out
    Path("rows.csv").rename("moved.csv")
    seen = command(*words, "other", status=0).out
    assert "how many out of scope are recognized was not measured again: the data of the" in seen


def test_the_positive_class_is_stated_remembered_and_changed(command: Command, run: Path) -> None:
    assert "positive  good (the second label)" in command("info", run, status=0).out
    aim = ("decide", run, "--aim", "recall=0.9", "--out")
    seen = command(*aim, "m", "--positive", "bad", status=0)
    assert "films/tfidf: aim recall=0.9 of bad" in seen.out
    assert "bad is given from a probability of" in seen.out
    assert "positive  bad\n" in command("info", "m", status=0).out
    again = command(*aim, "n", status=2)
    assert "or name the positive class with --positive" in again.err
    assert not Path("n").exists()
    command("report", run, "--positive", "bad", status=0)
    assert "is “bad”." in (run / "report.html").read_text()
    for words in (("report", run), ("decide", run, "--out", "n")):
        seen = command(*words, "--positive", "best", status=2)
        assert "'best' is none of the labels, which are 'bad', 'good'; name one of" in seen.err
    assert "is “bad”." in (run / "report.html").read_text()
