"""`finetext train` and `finetext show`."""

from __future__ import annotations

import json
import operator
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetext.core.errors import DataError
from finetext.runs.accesses import accesses
from finetext.runs.recipe import LADDER
from finetext.runs.run import Run

Command = Callable[..., Any]
QUICK = ("--methods", "tfidf", "--set", "tfidf.inverse_regularisation=1.0")


def metrics(run: Path) -> dict[str, Any]:
    entries = json.loads((run / "leaderboard.json").read_text())
    return {entry["method"]: entry["metrics"] for entry in entries}


def splits(run: Path) -> dict[str, str]:
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(run / "splits.parquet").to_pylist()
    return {row["id"]: row["split"] for row in rows}


def test_results_and_messages_go_their_ways(
    command: Command, workplace: Path, reviews: Path
) -> None:
    seen = command("train", reviews, *QUICK, status=0)
    assert "macro F1" in seen.out
    assert seen.out.endswith("report: runs/reviews/report.html\n")
    assert "reviews.csv: comma-separated" in seen.err
    assert "splits: train 42, validation 9, test 9 rows, 2 labels" in seen.err
    assert "warning: " in seen.err
    assert "\x1b" not in seen.out + seen.err
    run = workplace / "runs" / "reviews"
    assert list(metrics(run)) == ["majority", "tfidf"]
    files = {"recipe.toml", "data.json", "environment.json", "report.html", "verdict.json"}
    assert files <= {path.name for path in run.iterdir()}
    assert "runs/reviews-2/" in command("train", reviews, *QUICK, "--quiet").out


def test_json_is_alone_and_quiet_says_nothing(
    command: Command, workplace: Path, reviews: Path
) -> None:
    seen = command("train", reviews, *QUICK, "--json", "--out", "here")
    assert seen.err == ""
    told = json.loads(seen.out)
    assert told["run"] == "here"
    assert set(told["comparisons"]) == {"majority", "tfidf"} - {told["best"]}
    assert {told["best"], told["recommended"]} <= {"majority", "tfidf"}
    assert {e["method"]: e["metrics"] for e in told["leaderboard"]} == metrics(Path("here"))
    assert command("show", "here", "--json").out == seen.out
    seen = command("train", reviews, *QUICK, "--quiet", "--out", "there")
    assert seen.err == ""
    assert seen.out.startswith("Right on ")


def test_a_recipe_gives_the_same_again(
    command: Command, workplace: Path, reviews: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workplace / "own.csv").write_text(reviews.read_text())
    command("train", "own.csv", *QUICK, "--seed", 7, "--test-size", 12, "--out", "first")
    elsewhere = workplace / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    seen = command("train", "--recipe", workplace / "first" / "recipe.toml", "--out", "second")
    assert seen.status == 0
    assert "results will differ" not in seen.err
    assert metrics(elsewhere / "second") == metrics(workplace / "first")
    assert splits(elsewhere / "second") == splits(workplace / "first")
    recipe = (elsewhere / "second" / "recipe.toml").read_text()
    assert recipe == (workplace / "first" / "recipe.toml").read_text()
    with (workplace / "own.csv").open("a") as file:
        file.write("one more fine film,good,x\n")
    seen = command("train", "--recipe", "second/recipe.toml", "--out", "third")
    assert "warning: the data have changed since" in seen.err


def test_options_become_the_recipe(command: Command, workplace: Path, reviews: Path) -> None:
    command(
        "train", reviews, "--text", "text", "--label", "label", "--group", "movie",
        *QUICK, "--set", "tfidf.longest_ngram=1", "--metric", "accuracy", "--seed", 5,
        "--validation-size", "0.2", "--set", "split.strategy=random", "--keep-duplicates",
        "--out", "run", status=0,
    )  # fmt: skip
    recipe = tomllib.loads((workplace / "run" / "recipe.toml").read_text())
    assert recipe["seed"] == 5
    assert recipe["metric"] == "accuracy"
    assert recipe["data"]["source"] == str(reviews)
    assert recipe["data"]["group"] == "movie"
    asked = {"validation": 0.2, "strategy": "random", "keep_duplicates": True}
    assert recipe["split"] == asked | {"cross_validate": False}
    assert recipe["methods"]["tfidf"]["longest_ngram"] == 1


def test_no_group_is_in_two_splits(command: Command, workplace: Path, reviews: Path) -> None:
    assert command("train", reviews, "--group", "movie", *QUICK, "--out", "run").status == 0
    rows = [line.split(",") for line in reviews.read_text().splitlines()[1:]]
    where = splits(workplace / "run")
    sides: dict[str, set[str]] = {}
    for number, (_, _, movie) in enumerate(rows, start=1):
        sides.setdefault(movie, set()).add(where[str(number)])
    assert len(sides) == 12
    assert all(len(side) == 1 for side in sides.values())
    assert set(where.values()) == {"train", "validation", "test"}


def test_ready_made_splits_are_kept(command: Command, workplace: Path, reviews: Path) -> None:
    header, *lines = reviews.read_text().splitlines()
    for name, part in (("a", lines[:30]), ("b", lines[30:45]), ("c", lines[45:])):
        Path(f"{name}.csv").write_text("\n".join([header, *part]) + "\n")
    seen = command(
        "train", "a.csv", "--validation", "b.csv", "--test", "c.csv", *QUICK, "--out", "run"
    )
    assert "splits: train 30, validation 15, test 15 rows" in seen.err
    again = command("train", "--recipe", "run/recipe.toml", "--out", "again")
    assert again.status == 0
    assert metrics(Path("again")) == metrics(Path("run"))
    carved = command("train", "a.csv", "--test", "c.csv", *QUICK)
    assert "test 15 rows" in carved.err


def test_a_part_goes_over_that_of_the_recipe(
    command: Command, workplace: Path, reviews: Path
) -> None:
    Path("r.toml").write_text(f'[data]\nsource = "{reviews}"\n[methods.majority]\n')
    assert "test 60 rows" in command("train", "--recipe", "r.toml", "--test", reviews, *QUICK).err


def test_unlabelled_rows_can_be_dropped(command: Command, workplace: Path, reviews: Path) -> None:
    Path("gaps.csv").write_text(reviews.read_text() + "no label here at all,,x\n")
    assert "line 62" in command("train", "gaps.csv", *QUICK, status=2).err
    assert not Path("runs").exists()
    seen = command("train", "gaps.csv", "--drop-unlabelled", *QUICK, status=0)
    assert "warning: 1 row without a label is left out" in seen.err


def test_several_labels_go_through_the_whole_command(command: Command, workplace: Path) -> None:
    values = ["3", "14", "3,14"]
    words = {"3": "sun and warmth", "14": "rain and cold", "3,14": "sun and rain together"}
    rows = [f'day {n} with {words[values[n % 3]]},"{values[n % 3]}"' for n in range(60)]
    Path("days.csv").write_text("\n".join(["text,tags", *rows]) + "\n")
    assert "numbers with a decimal comma" in command("train", "days.csv", *QUICK, status=2).err
    several = ("--set", "data.label_delimiter=','")
    seen = command("train", "days.csv", *QUICK, *several, "--out", "run", status=0)
    assert "2 labels, several a row" in seen.err
    scores = metrics(workplace / "run")["tfidf"]["test"]
    assert {"macro_f1", "micro_f1", "samples_f1", "subset_accuracy"} <= set(scores)
    assert scores["macro_f1"]["value"] > 0.9
    told = json.loads(command("predict", "run", "sun and rain together", "--json").out)
    assert told[0]["prediction"] == ["3", "14"]
    Path("one.csv").write_text("text,tags\nwarm sun and warmth,3\n")
    assert "subset accuracy" in command("evaluate", "run", "one.csv").out
    command("predict", "run", "days.csv", "--out", "out.csv")
    assert '"3,14"' in Path("out.csv").read_text().splitlines()[3]
    assert command("show", "run", "--results", 3).status == 0
    assert command("train", "--recipe", "run/recipe.toml", "--out", "again").status == 0
    assert metrics(workplace / "again") == metrics(workplace / "run")


def test_all_methods(command: Command, workplace: Path, reviews: Path, tiny_encoder: Path) -> None:
    seen = command(
        "train", reviews, "--encoder", tiny_encoder, "--max-length", 16, "--epochs", 1,
        "--device", "cpu", "--out", "run", status=0,
    )  # fmt: skip
    assert "finetune: " in seen.err
    fitted, cheaper = list(metrics(workplace / "run")), [name for name in LADDER if name != "blend"]
    assert [name for name in fitted if name != "blend"] == cheaper
    assert "blend: " in seen.err  # which says why it is kept or left out
    for name in ("static", "probe", "finetune"):
        model = workplace / "run" / name / "model"
        told = json.loads(command("predict", model, "a fine film", "--json").out)
        assert told[0]["prediction"] in ("good", "bad")
    assert (workplace / "run" / "finetune" / "log.jsonl").read_text()


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (DataError("the loss is nan"), 2, "finetext: tfidf failed: the loss is nan"),
        (KeyboardInterrupt(), 130, "tfidf was stopped\n"),
    ],
)
def test_finished_methods_outlast_one_that_fails(
    command: Command, workplace: Path, reviews: Path, monkeypatch: pytest.MonkeyPatch,
    error: BaseException, status: int, said: str,
) -> None:  # fmt: skip
    def fail(*given: Any) -> None:
        raise error

    monkeypatch.setattr("finetext.methods.tfidf.Tfidf.fit", fail)
    seen = command("train", reviews, "--methods", "tfidf", "--out", "run")
    assert seen.status == status
    assert said in seen.err
    assert "what was finished before (majority) is in run" in seen.err
    assert list(metrics(Path("run"))) == ["majority"]
    assert command("show", "run").status == 0


def test_show_prints_the_leaderboard(command: Command, finished: Path) -> None:
    seen = command("show", finished)
    assert seen.err == ""
    assert seen.out.endswith(f"report: {finished / 'report.html'}\n")
    words, board = seen.out.split("\n\n")[:2]
    assert words.startswith("Right on ")
    assert words.splitlines()[-1].startswith("  finetext ")
    assert "macro F1" in board
    told = json.loads(command("show", finished, "--json").out)
    assert told["verdict"]["words"][0] == " ".join(words.split("\nNext: ")[0].split())
    assert [entry["method"] for entry in told["leaderboard"]] == ["majority", "tfidf"]


def test_show_refuses_options_of_random_rows_without_them(command: Command, finished: Path) -> None:
    for name, value in (("--split", "validation"), ("--method", "tfidf"), ("--seed", 1)):
        refused = command("show", finished, name, value, status=2)
        assert f"{name} {value} is for random rows; add --results 10" in refused.err


def test_show_puts_predictions_beside_truths(command: Command, finished: Path) -> None:
    seen = command("show", finished, "--results", 4, "--method", "majority")
    assert len(seen.out.splitlines()) == 6
    assert "4 of 9 validation rows, drawn at random" in seen.out
    assert seen.err == ""
    rows = json.loads(command("show", finished, "--results", 100, "--json").out)
    assert len(rows) == 9
    assert set(rows[0]) == {"id", "text", "truth", "prediction", "probability", "right"}
    assert {row["text"] for row in rows} == set(Run.open(finished).texts(split="validation"))
    other = json.loads(command("show", finished, "--results", 100, "--seed", 1, "--json").out)
    assert other != rows
    key = operator.itemgetter("id")
    assert sorted(other, key=key) == sorted(rows, key=key)
    seen = command("show", finished, "--results", 2, "--split", "test")
    assert "has been accessed 2 times" in seen.err
    assert accesses(finished)[0]["by"] == "finetext show --results"
    refused = command("show", finished, "--results", 2, "--split", "train", status=2)
    assert "--split train: it must be validation or test" in refused.err
