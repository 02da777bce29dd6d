"""`finetext explore`, `finetext agreement` and `finetext label-errors`."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetext.cli.data import _test_ids
from finetext.data.read import read
from finetext.runs.run import Run

Command = Callable[..., Any]
TEXT = "a fine and moving film"


def test_explore_shows_classes_and_findings(
    command: Command, reviews: Path, tiny_encoder: Path
) -> None:
    seen = command("explore", reviews, "--encoder", tiny_encoder, status=0)
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
    seen = command("explore", "blank.csv", "--label", "label", "--encoder", tiny_encoder, status=2)
    assert "missing in 30 of 30 rows" in seen.err


def test_explore_writes_a_page(
    command: Command, workplace: Path, reviews: Path, tiny_encoder: Path
) -> None:
    seen = command("explore", reviews, "--encoder", tiny_encoder, "--html", "page.html", "--json")
    json.loads(seen.out)
    assert seen.err == ""
    assert "<svg" in (workplace / "page.html").read_text()


@pytest.fixture
def noisy(workplace: Path, reviews: Path) -> Path:
    """The reviews with the labels of two rows changed."""
    lines = reviews.read_text(encoding="utf-8").splitlines()
    for row in (7, 30):
        text, label, movie = lines[row].split(",")
        lines[row] = f"{text},{'bad' if label == 'good' else 'good'},{movie}"
    path = workplace / "noisy.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def review(path: Path, words: dict[str, str]) -> None:
    """Write words into the list."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(row | {"correct": words.get(row["id"], "")} for row in rows)


def test_find_review_apply(command: Command, noisy: Path) -> None:
    seen = command("label-errors", noisy, "--out", "suspects.csv", status=0)
    assert "2 of 60 labels may be wrong (3.3%)." in seen.out
    assert "labels changed on purpose it finds" in seen.out
    assert "Most frequent: bad -> good (2)." in seen.out
    with Path("suspects.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("id", "text", "label", "suggested", "probability_of_label"),
        *("probability_of_suggested", "quality", "correct"),
    ]
    assert {row["id"] for row in rows} == {"7", "30"}
    assert all(row["correct"] == "" for row in rows)

    right = next(row["suggested"] for row in rows if row["id"] == "7")
    review(Path("suspects.csv"), {"7": right, "30": "drop"})
    before = noisy.read_bytes()
    seen = command("label-errors", noisy, "--apply", "suspects.csv", "--out", "corrected.csv")
    assert seen.status == 0, seen.err
    assert "1 label changed, 1 row dropped, 0 confirmed, 0 not reviewed" in seen.out
    assert "columns id, text, label" in seen.out
    corrected, data = read("corrected.csv"), read(noisy)
    assert noisy.read_bytes() == before
    assert "30" not in corrected.ids
    assert len(corrected) == 59
    labels = dict(zip(data.ids, data.labels, strict=True)) | {"7": right}
    assert dict(zip(corrected.ids, corrected.labels, strict=True)) == {
        one: label for one, label in labels.items() if one != "30"
    }


def test_as_json(command: Command, noisy: Path) -> None:
    seen = command("label-errors", noisy, "--group", "movie", "--folds", "3", "--json")
    found = json.loads(seen.out)
    assert (found["method"], found["folds"], found["rows"]) == ("tfidf", 3, 60)
    assert {one["id"] for one in found["suspects"]} == {"7", "30"}
    assert seen.err == ""
    command("label-errors", noisy, "--out", "list.csv", "--quiet")
    review(Path("list.csv"), {"7": "ok"})
    done = command("label-errors", noisy, "--apply", "list.csv", "--out", "c.jsonl", "--json")
    assert json.loads(done.out) == {
        "out": "c.jsonl", "rows": 60, "columns": ["id", "text", "label"],
        "changed": [], "dropped": [], "kept": 1, "unreviewed": 1,
    }  # fmt: skip


def test_the_data_of_a_run(command: Command, finished: Path) -> None:
    shutil.copytree(finished, "run")
    seen = command("label-errors", "run", "--method", "tfidf", "--out", "suspects.csv", status=0)
    assert "None of 60 labels is listed as wrong." in seen.out
    kept = json.loads(Path("run/diagnosis/suspects.json").read_text("utf-8"))
    assert (kept["rows"], kept["suspects"]) == (60, [])
    seen = command("label-errors", "run", "--apply", "suspects.csv", "--out", "same.csv")
    assert "0 labels changed, 0 rows dropped" in seen.out
    assert "No test row of the run has another label" in seen.out
    assert len(read("same.csv")) == 60


def test_test_rows_are_checked_blind_and_scored_with_both_labels(
    command: Command, finished: Path, reviews: Path
) -> None:
    shutil.copytree(finished, "run")
    data = read(reviews)
    run = Run.open("run")
    test = run.predictions("tfidf", "test")
    command("label-errors", "run", "--out", "list.csv", status=0)
    assert rows_of("list.csv") == []
    listed = _test_ids(Path("run"))
    assert set(listed) == set(test.ids)
    one = test.ids[0]
    labels = dict(zip(data.ids, data.labels, strict=True))
    texts = dict(zip(data.ids, data.texts, strict=True))
    other = "bad" if labels[one] == "good" else "good"
    with Path("list.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "text", "label", "correct"))
        writer.writerow((one, texts[one], labels[one], other))
    seen = command("label-errors", "run", "--apply", "list.csv", "--out", "new.csv", status=0)
    assert f"on the same {len(test)} test rows: " in seen.out
    assert seen.out.count("with the labels before") == len(run.leaderboard)
    kept = json.loads(Path("run/verdict.json").read_text("utf-8"))
    Path("run/verdict.json").write_text(json.dumps(kept | {"folds": 5}))
    assert _test_ids(Path("run")) == ()


def rows_of(path: str) -> list[dict[str, str]]:
    with Path(path).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name the data"),
        (["--folds", "1"], "cannot make 1 fold"),
        (["--method", "tfdif"], "did you mean 'tfidf'"),
        (["--method", "tfidf,probe"], "name one method"),
        (["--encoder", "minilm"], "--encoder applies to none of the methods"),
        (["--out", "noisy.csv"], "noisy.csv is an input of this command"),
        (["--out", "list.txt"], "the suffix must be one of"),
        (["--new-label", "x"], "--new-label goes with --apply"),
        (["--apply", "list.csv"], "--apply needs --out"),
        (
            ["--apply", "list.csv", "--out", "noisy.csv"],
            "noisy.csv is an input of this command",
        ),
        (["--apply", "list.csv", "--out", "c.csv", "--folds", "3"], "--apply trains nothing"),
        (["--apply", "no.csv", "--out", "c.csv"], "cannot read no.csv"),
        (["--apply", "noisy.csv", "--out", "c.csv"], "has no column 'id'"),
    ],
)
def test_what_is_refused(command: Command, noisy: Path, words: list[str], message: str) -> None:
    before = sorted(Path().iterdir())
    seen = command("label-errors", *([noisy] if words else []), *words, status=2)
    assert message in seen.err
    assert "Traceback" not in seen.err
    assert sorted(Path().iterdir()) == before


def test_a_run_needs_no_recipe(command: Command, finished: Path) -> None:
    seen = command("label-errors", finished, "--recipe", finished / "recipe.toml", status=2)
    assert "leave --recipe out" in seen.err


def test_a_list_that_does_not_fit_writes_nothing(command: Command, noisy: Path) -> None:
    command("label-errors", noisy, "--out", "list.csv", "--quiet")
    review(Path("list.csv"), {"7": "goood", "30": "great"})
    seen = command("label-errors", noisy, "--apply", "list.csv", "--out", "c.csv", status=2)
    assert "there is no label named 'goood'; did you mean 'good'?" in seen.err
    assert "there is no label named 'great'" in seen.err
    assert "--new-label NAME" in seen.err
    assert not Path("c.csv").exists()
    allowed = ["--new-label", "great", "--new-label", "goood"]
    seen = command("label-errors", noisy, "--apply", "list.csv", "--out", "c.csv", *allowed)
    assert seen.status == 0
    assert set(read("c.csv").labels) == {"good", "bad", "goood", "great"}


def coded_texts() -> tuple[str, str]:
    """Thirty texts by two coders, in rows and in columns; they differ on every fifth."""
    rows, columns = "text,label,coder\n", "text,Ann,Bob\n"
    for n in range(30):
        ann = ("good", "bad")[n % 2]
        bob = ("bad", "good")[n % 2] if n % 5 == 0 else ann
        text = f"{TEXT} number {n} of the {ann} ones"
        rows += f"{text},{ann},Ann\n{text},{bob},Bob\n"
        columns += f"{text},{ann},{bob}\n"
    return rows, columns


def test_annotators_are_compared_and_decided(command: Command, workplace: Path) -> None:
    rows, columns = coded_texts()
    Path("rows.csv").write_text(rows)
    Path("columns.csv").write_text(columns)
    seen = command("agreement", "rows.csv", status=0)
    assert "they agree on 80% [62%, 91%]" in " ".join(seen.out.split())
    assert "people: accuracy 0.80 [0.62, 0.91] of one annotator" in " ".join(seen.out.split())
    assert "Ann and Bob" in seen.out
    assert "against the other one" in " ".join(seen.out.split())
    assert seen.out.endswith("  finetext agreement rows.csv --out differ.csv\n")
    command(*shlex.split(seen.out.splitlines()[-1])[1:-1], "as-printed.csv", status=0)
    told = json.loads(command("agreement", "rows.csv", "--json", status=0).out)
    wide = ("agreement", "columns.csv", "--annotators", "Ann,Bob")
    assert f"finetext {' '.join(wide)} --out differ.csv" in command(*wide, status=0).out
    same = json.loads(command(*wide, "--json", status=0).out)
    assert (told["alpha"], told["pairs"]) == (same["alpha"], same["pairs"])
    assert "6 texts on which" in command("agreement", "rows.csv", "--out", "differ.csv").out
    with Path("differ.csv").open(encoding="utf-8-sig", newline="") as file:
        listed = list(csv.DictReader(file))
    assert [one["majority"] for one in listed] == [""] * 6
    for one in listed[:2]:
        one["decision"] = "good"
    with Path("differ.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(listed[0]))
        writer.writeheader()
        writer.writerows(listed)
    words = ("agreement", "rows.csv", "--apply", "differ.csv", "--out", "decided.csv")
    said = command(*words, status=0).out
    assert "26 texts, columns id, text, label; 2 decided, 0 dropped; 4 texts without" in said
    assert len(read("decided.csv")) == 26
    assert "24 texts" in command(*wide, "--majority", "--out", "majority.csv", status=0).out


def test_agreement_says_what_is_lacking(command: Command, workplace: Path) -> None:
    Path("plain.csv").write_text(
        "text,label\n" + "".join(f"{TEXT} {n},x{n % 2}\n" for n in range(6))
    )
    assert "no text was labeled twice" in command("agreement", "plain.csv", status=2).err
    for words in (("--majority",), ("--apply", "differ.csv")):
        assert "needs --out" in command("agreement", "plain.csv", *words, status=2).err
    Path("twice.csv").write_text("text,label\n" + f"{TEXT},a\n{TEXT},b\nother text here,a\n" * 3)
    assert "may be copies" in command("agreement", "twice.csv", status=0).out
    seen = command("agreement", "twice.csv", "--out", "differ.csv", status=2)
    assert "no column says who gave a label" in seen.err
    assert not Path("differ.csv").exists()


def test_a_run_shows_what_people_reach(command: Command, workplace: Path) -> None:
    Path("rows.csv").write_text(coded_texts()[0])
    words = ("train", "rows.csv", "--methods", "majority", "--out", "run", "--quiet")
    seen = " ".join(command(*words, status=0).out.split())
    assert "people: accuracy 0.80" in seen
    assert "on 30 texts; methods are scored on" in seen
    assert "finetext agreement rows.csv\n" in command("explore", "rows.csv").out
    assert json.loads(command("show", "run", "--json").out)["agreement"]["texts"] == 30
    page = Path("run/report.html").read_text("utf-8")
    assert "People: accuracy 0.80" in page
    assert "finetext agreement rows.csv --out differ.csv" in page
    assert "The dashed line is what people reach" in page
    described = json.loads(Path("run/data.json").read_text("utf-8"))
    del described["agreement"]  # as in runs of earlier versions
    Path("run/data.json").write_text(json.dumps(described))
    assert "people" not in command("show", "run", status=0).out
