"""`finetext evaluate` and `finetext compare`, and accesses to the test set."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import finetext
from finetext.runs.accesses import accesses
from finetext.runs.run import Run, stored_predictions

Command = Callable[..., Any]
TEXT = "a fine and moving film"


def test_evaluate_measures_a_run_or_a_model(
    command: Command, finished: Path, reviews: Path
) -> None:
    seen = command("evaluate", finished, reviews, status=0)
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


def test_evaluate_says_how_many_texts_of_no_class_are_recognized(
    command: Command, workplace: Path, finished: Path, reviews: Path
) -> None:
    marked = [f"vom Wetter ist hier die Rede {n},oos,none" for n in range(10)]
    Path("more.csv").write_text("\n".join([reviews.read_text().strip(), *marked]))
    words = ("evaluate", finished, "more.csv", "--out-of-scope-label", "oos")
    seen = command(*words, status=0)
    assert "none of the 10 texts out of scope is recognized: the model has no rule" in seen.out
    command("decide", finished, "--false-alarms", "0.1", "--out", "m", status=0)
    told = json.loads(command("evaluate", "m", *words[2:], "--json", status=0).out)
    assert told["metrics"]["accuracy"]["n"] == 60
    assert (told["scope"]["recall"]["n"], told["scope"]["allowed"]) == (10, 0.1)
    assert told["scope"]["false_alarms"]["value"] == told["false_alarms"]
    seen = command("evaluate", "m", "more.csv", status=2)
    assert "if it marks texts of no class: --out-of-scope-label oos" in seen.err


def test_evaluate_compares_error_rates_between_the_values_of_a_column(
    command: Command, workplace: Path, finished: Path
) -> None:
    rows = [f"a {'dull' if n < 15 else 'fine'} film {n},good,{'x' if n < 20 else 'y'}"
            for n in range(40)]  # fmt: skip
    Path("by.csv").write_text("\n".join(["text,label,dialect", *rows, "a dull film,bad,x"]))
    words = ("evaluate", finished, "by.csv", "--text", "text", "--group-gaps", "dialect")
    seen = command(*words, "--out", "by.xlsx", status=0)
    assert "by dialect: error rates differ in false negatives of 'good'" in seen.out
    told = json.loads(command(*words, "--json", status=0).out)["group_gaps"]
    assert told["values"] == {"x": 21, "y": 20}
    missed = next(gap for gap in told["gaps"] if gap["kind"] == "false negatives")
    assert (missed["higher"], missed["gap"]["value"], missed["shown"]) == ("x", 0.75, True)
    assert json.loads(command("evaluate", finished, "by.csv", "--json").out)["group_gaps"] is None
    seen = command(*words[:-1], "nothing", status=2)
    assert "nothing" in seen.err


def test_evaluate_takes_few_rows_of_one_class(
    command: Command, workplace: Path, finished: Path
) -> None:
    Path("few.csv").write_text(f"text,label\n{TEXT},good\n{TEXT} again,good\n")
    told = json.loads(command("evaluate", finished, "few.csv", "--json").out)
    assert told["metrics"]["accuracy"]["value"] == 1.0
    assert told["labels"][0]["recall"]["value"] is None


@pytest.fixture
def films(workplace: Path, finished: Path) -> Path:
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
def test_evaluate_on_test_rows_is_an_access(command: Command, films: Path, model: str) -> None:
    rows = write(Run.open(films).texts())
    seen = command("evaluate", films / model, rows, status=0)
    assert "films has been accessed 2 times" in seen.err
    assert json.loads(command("evaluate", films / model, rows, "--json").out)["openings"] == 3
    assert {line["by"] for line in accesses(films)} == {"finetext evaluate"}


def test_half_of_the_test_rows_are_an_access(command: Command, films: Path) -> None:
    others = [f"another film, {number}" for number in range(30)]
    texts = Run.open(films).texts()
    for count, times in ((4, 0), (5, 1)):
        assert command("evaluate", films, write([*others, *texts[:count]])).status == 0
        assert len(accesses(films)) == times


def test_other_rows_or_models_are_no_access(command: Command, films: Path) -> None:
    test, validation = (write_to(Run.open(films), split) for split in ("test", "validation"))
    shutil.copytree(films / "tfidf" / "model", "elsewhere")
    for model, rows in ((films, validation), (Path("elsewhere"), test)):
        assert json.loads(command("evaluate", model, rows, "--json").out)["openings"] is None
    (films / "tfidf" / "predictions.parquet").unlink()
    assert command("evaluate", films, test).status == 0
    assert accesses(films) == []


@pytest.mark.parametrize("model", ["", "tfidf", "tfidf/model"])
def test_texts_that_were_trained_on_are_counted(
    command: Command, films: Path, reviews: Path, model: str
) -> None:
    splits = finetext.split(finetext.read(reviews))
    seen = command("evaluate", films / model, reviews, status=0)
    trained = len(splits.train)
    assert f"warning: {reviews}: {trained} of 60 texts are training rows of " in seen.err
    told = json.loads(command("evaluate", films / model, reviews, "--json").out)
    assert told["training_rows"] == trained
    # Other files are compared by their texts.
    mixed = write([*splits.train.texts[:3], *splits.validation.texts])
    seen = command("evaluate", films / model, mixed, status=0)
    assert f"rows.csv: 3 of {len(splits.validation) + 3} texts are training rows" in seen.err
    for split in ("test", "validation"):
        rows = write_to(Run.open(films), split)
        seen = command("evaluate", films / model, rows, status=0)
        assert "training rows" not in seen.err
        assert json.loads(command("evaluate", films, rows, "--json").out)["training_rows"] == 0


def test_unknown_training_rows_are_not_counted(
    command: Command, films: Path, reviews: Path, tmp_path: Path
) -> None:
    shutil.copytree(films / "tfidf" / "model", "elsewhere")
    told = json.loads(command("evaluate", "elsewhere", reviews, "--json").out)
    assert told["training_rows"] is None
    rows = shutil.copy(reviews, tmp_path / "rows.csv")
    recipe = films / "recipe.toml"
    for source, why in (("gone.csv", "gone.csv"), ("other.csv", "have changed since it started")):
        Path("other.csv").write_text(f"text,label\n{TEXT},good\n{TEXT} again,bad\n")
        text = re.sub(
            "(?m)^source = .*", f'source = "{Path(source).absolute()}"', recipe.read_text()
        )
        recipe.write_text(text)
        seen = command("evaluate", films, rows, status=0)
        assert "was not compared with the training rows of films: " in seen.err
        assert why in seen.err
        assert json.loads(command("evaluate", films, rows, "--json").out)["training_rows"] is None


def write_to(films: Run, split: Any) -> Path:
    return Path(write(films.texts(split=split))).rename(f"{split}.csv")


def test_a_table_that_does_not_say_its_part_has_rows(command: Command, films: Path) -> None:
    lines = [f"{n},{'ab'[n % 2]},{0.2 + n / 100},{0.8 - n / 100}" for n in range(40)]
    Path("mine.csv").write_text("\n".join(["id,truth,a,b", *lines]) + "\n")
    shutil.copy("mine.csv", "yours.csv")
    for words in (("errors",), ("errors", "--part", "test"), ("slices",), ("compare", "yours.csv")):
        seen = command(words[0], "mine.csv", *words[1:], status=0)
        assert "40 rows" in seen.out or "on rows" in seen.out
        assert "validation" not in seen.out
        assert "test row" not in seen.out
        assert json.loads(command(words[0], "mine.csv", *words[1:], "--json").out)["part"] is None
    assert command("errors", "mine.csv", "--page", "errors.html").status == 0
    page = Path("errors.html").read_text()
    assert "of 40 rows (" in page
    assert "None" not in page
    seen = command("errors", films, "--page", "of-run.html")
    assert "9 validation rows of films/tfidf" in seen.out
    assert "of 9 validation rows (" in Path("of-run.html").read_text()


def test_unfinished_run_says_how_to_resume(command: Command, films: Path) -> None:
    (films / "leaderboard.json").unlink()
    told = "the run in films is unfinished: it has no leaderboard.json yet; resume it: "
    for words in (
        ("predict", films, "a fine film"),
        ("explain", films, "a fine film"),
        ("explain", films, "--classes"),
        ("evaluate", films, "rows.csv"),
        ("map", films, "--method", "tfidf"),
        ("errors", films),
        ("errors", films / "tfidf"),
        ("compare", films),
        ("report", films),
    ):
        assert f"{told}finetext train --resume --out films" in command(*words, status=2).err


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


def test_the_methods_of_a_run_are_compared(command: Command, run: Path) -> None:
    seen = command("compare", run, "--metric", "log_loss", status=0)
    assert "log loss  95% interval" in seen.out
    assert "majority minus tfidf: tfidf is better than majority" in seen.out
    assert "corrected" in seen.out
    assert max(map(len, seen.out.splitlines())) <= 80


def test_runs_methods_and_tables_mix(command: Command, run: Path, table: Path) -> None:
    seen = command("compare", run / "majority", run / "tfidf", table, "--json")
    said = json.loads(seen.out)
    assert list(said["scores"]) == ["films/majority", "films/tfidf", "mine.csv"]
    assert len(said["pairs"]) == 3
    same = said["pairs"][2]
    assert (same["verdict"], same["comparison"]["difference"]["value"]) == ("equal on every row", 0)
    assert said["openings"] == {str(run): 2}
    assert said["part"] == "test"


@pytest.mark.parametrize("name", ["tfidf", "films/tfidf", "runs/films/tfidf"])
def test_against_takes_a_name_a_source_or_a_method(command: Command, run: Path, name: str) -> None:
    seen = command("compare", run / "tfidf", run / "majority", "--against", name, "--json")
    assert [pair["b"] for pair in json.loads(seen.out)["pairs"]] == ["films/tfidf"]


def test_method_chooses_the_method_of_runs_only(command: Command, run: Path, table: Path) -> None:
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
    assert "accessed 3 times" in command("show", run, "--results", "1", "--split", "test").err
    assert [line["by"] for line in accesses(run)] == ["finetext compare", "finetext show --results"]
    json.loads(command("show", run, "--results", "1", "--part", "test", "--json").out)
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
    assert (again.status, "replace it with --force" in again.err) == (2, True)


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
    seen = command("compare", *words, status=2)
    assert message in seen.err
    assert seen.out == ""
    assert len(seen.err.strip().splitlines()) == 1


def test_evaluate_takes_the_class_of_the_model_or_another(
    command: Command, films: Path, reviews: Path
) -> None:
    told = json.loads(command("evaluate", films, reviews, "--json", status=0).out)
    other = json.loads(command("evaluate", films, reviews, "--positive", "bad", "--json").out)
    assert (told["positive"], other["positive"]) == ("good", "bad")
    of_class = {of["name"]: of for of in told["labels"]}
    for found in (told, other):
        for name in ("precision", "recall", "f1"):
            expected = of_class[found["positive"]][name]["value"]
            assert found["metrics"][f"binary_{name}"]["value"] == pytest.approx(expected)
    assert other["metrics"]["roc_auc"]["value"] == told["metrics"]["roc_auc"]["value"]
    seen = command("evaluate", films, reviews, "--positive", "best", status=2)
    assert "'best' is none of the labels, which are 'bad', 'good'" in seen.err
    seen = command("evaluate", films, reviews, "--positive", "", status=2)
    assert "the positive class '' is none of the labels" in seen.err
