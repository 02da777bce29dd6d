"""`finetext errors` and `finetext slices`: where a classifier fails."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finetext.diagnosis.losses import Errors
from finetext.diagnosis.slices import Slices
from finetext.runs.accesses import accesses
from finetext.runs.run import Run
from finetext.storage.codec import from_json

Command = Callable[..., Any]
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture
def table(workplace: Path) -> Path:
    """200 rows of two labels, many texts with "never" wrong, one text hostile to pages."""
    random = np.random.default_rng(0)
    path = Path("mine.csv")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", "truth", "good", "bad"])
        for row in range(200):
            negated = row % 5 == 0
            right = random.random() < (0.3 if negated else 0.95)
            likely = 0.9 if right == (row % 2 == 0) else 0.1
            text = HOSTILE if row == 7 else "I never liked it" if negated else f"a film {row}"
            writer.writerow([f"r{row}", text, ("good", "bad")[row % 2], likely, 1 - likely])
    return path


def test_errors_are_shown_in_a_terminals_width(command: Command, run: Path, table: Path) -> None:
    for source in (run, run / "majority", table):
        seen = command("errors", source, status=0)
        assert "Highest losses" in seen.out
        assert "Lowest losses" in seen.out
        assert max(map(len, seen.out.splitlines())) <= 80
    assert "200 rows of mine.csv" in seen.out
    assert "good → bad" in seen.out
    assert "I never liked it" in seen.out


def test_errors_of_the_best_method_are_kept_for_the_report(command: Command, run: Path) -> None:
    kept = run / "diagnosis" / "errors.json"
    kept.unlink(missing_ok=True)
    assert command("errors", run, "--method", "majority").status == 0
    assert command("errors", run, "--part", "test").status == 0
    assert not kept.exists()
    said = json.loads(command("errors", run, "--json", "--count", 3).out)
    found = from_json(Errors, json.loads(kept.read_text()), "it")
    best = Run.open(run).best
    assert (found.method, found.part, len(found.highest)) == (best, "validation", 3)
    assert {name: said[name] for name in found.to_json()} == json.loads(kept.read_text())
    assert (said["openings"], said["out"], said["page"]) == (None, None, None)


@pytest.mark.parametrize("name", ["errors", "slices"])
def test_test_rows_are_counted_and_validation_rows_are_not(
    command: Command, run: Path, name: str
) -> None:
    assert command(name, run).status == 0
    assert accesses(run) == []
    assert "has been accessed 2 times" in command(name, run, "--part", "test").err
    assert json.loads(command(name, run, "--part", "test", "--json").out)["openings"] == 3
    assert [each["by"] for each in accesses(run)] == [f"finetext {name}"] * 2


def test_a_run_that_cannot_be_written_is_looked_at_all_the_same(
    command: Command, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(run / "diagnosis", ignore_errors=True)
    (run / "diagnosis").write_text("in the way")
    assert "not kept for the report" in command("errors", run, status=0).err


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_all_rows_are_written_by_loss(command: Command, table: Path, suffix: str) -> None:
    import pandas

    assert f"table: errors.{suffix}" in command("errors", table, "--out", f"errors.{suffix}").err
    read = {
        "csv": pandas.read_csv,
        "tsv": lambda path: pandas.read_csv(path, sep="\t"),
        "jsonl": lambda path: pandas.read_json(path, lines=True),
        "parquet": pandas.read_parquet,
    }[suffix](f"errors.{suffix}")
    assert list(read.columns) == [
        *("id", "text", "truth", "prediction", "probability", "probability_of_truth", "loss"),
    ]
    assert len(read) == 200
    assert read["loss"].is_monotonic_decreasing
    assert set(read["truth"]) == {"good", "bad"}


def test_several_labels_are_written_as_they_are_read_again(
    command: Command, workplace: Path
) -> None:
    rows = [f'{row},"joy,anger",0.9,0.2' for row in range(12)]
    Path("many.csv").write_text("\n".join(["id,truth,joy,anger", *rows, "13,,0.1,0.1"]) + "\n")
    for name in ("errors.csv", "errors.jsonl"):
        assert command("errors", "many.csv", "--out", name).status == 0
    with open("errors.csv", newline="") as file:
        first = next(csv.DictReader(file))
    assert (first["truth"], first["prediction"]) == ("joy,anger", "joy")
    lines = [json.loads(line) for line in Path("errors.jsonl").read_text().splitlines()]
    assert lines[0]["truth"] == ["joy", "anger"]
    assert lines[-1]["truth"] == lines[-1]["prediction"] == []
    assert "prediction no label 0.900" in command("errors", "many.csv").out


def test_the_page_has_the_texts_and_nothing_of_them_is_run(command: Command, table: Path) -> None:
    assert "page: page.html" in command("errors", table, "--page", "page.html", "--count", 200).err
    page = Path("page.html").read_text()
    assert "I never liked it" in page
    assert HOSTILE not in page
    assert "&lt;script&gt;alert" in page
    assert 'class="data" id="confusions"' in page
    for address in ("http://", "https://", "src="):
        assert address not in page


def test_slices_that_are_worse_are_named(command: Command, table: Path) -> None:
    seen = command("slices", table, "--token", "never liked", "--out", "slices.csv", status=0)
    assert max(map(len, seen.out.splitlines())) <= 80
    named = [line for line in seen.out.splitlines() if line.startswith(("token", "label"))]
    assert {line.split("  ")[0] for line in named} >= {"token: never", "token: never liked"}
    with open("slices.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    said = json.loads(command("slices", table, "--token", "never liked", "--json").out)
    found = from_json(Slices, {k: v for k, v in said.items() if k not in ("openings", "out")}, "it")
    assert [row["name"] for row in rows] == [each.name for each in found.slices]
    assert [row["worse"] == "True" for row in rows] == [each.worse for each in found.slices]
    assert found.looked_at == len(rows)


def test_slices_say_when_none_is_worse(command: Command, table: Path) -> None:
    seen = command("slices", table, "--by", "label")
    assert "none of 2 slices are shown to be worse" in " ".join(seen.out.split())
    assert "ound in 80% of cases: a slice of" in " ".join(seen.out.split())
    assert "these come nearest:" in seen.out


def test_a_look_at_some_kinds_leaves_the_slices_of_the_report(
    command: Command, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetext.diagnosis.slicing.FEWEST_ROWS", 2)  # the run has few rows
    kept = run / "diagnosis" / "slices.json"
    assert command("slices", run).status == 0
    before = kept.read_text()
    assert command("slices", run, "--by", "label").status == 0
    assert kept.read_text() == before
    assert command("slices", run, "--by", "movie").status == 0
    kinds = {each["kind"] for each in json.loads(kept.read_text())["slices"]}
    assert {"label", "token"} <= kinds
    assert kinds == {"column:movie"} | {each["kind"] for each in json.loads(before)["slices"]}


def test_slices_by_a_column_of_the_data(command: Command, run: Path, table: Path) -> None:
    years = "\n".join(f"r{row},a text of {row},{'old' if row % 5 else 'new'}" for row in range(200))
    Path("years.csv").write_text(f"nr,text,age\n{years}\n")
    words = ("slices", table, "--data", "years.csv", "--by", "age")
    assert "age: new" in command(*words, "--id", "nr", status=0).out
    assert "--id" in command(*words, status=2).err
    seen = command("slices", table, "--by", "age")
    assert "it is none of length, cut, group, label, language, token" in seen.err
    command("slices", run, "--by", "movie", status=0)
    assert "has no column 'film'" in command("slices", run, "--by", "film").err


def test_what_is_wrong_is_said(command: Command, run: Path, table: Path) -> None:
    for words, message in (
        (("errors", run, "--part", "train"), "--split train: it must be validation or test"),
        (("slices", run, "--metric", "acuracy"), "did you mean 'accuracy'"),
        (("slices", table, "--token", "dog"), "the token 'dog' is in 0 of 200 rows"),
        (("slices", table, "--by", "group"), "has no groups"),
        (("errors", "nothing"), "no run folder or file of predictions"),
        (("errors", run, "--method", "probe"), "no method in this run named 'probe'"),
        (("errors", table, "--out", "errors.xls"), "the suffix must be one of"),
        (("errors", table, "--out", table, "--force"), "is an input of this command"),
        (("errors", table, "--page", "no/page.html"), "no folder no"),
    ):
        seen = command(*words, status=2)
        assert message in seen.err
        assert seen.out == ""
