"""`finetext distill`: what it prints, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finetext.core.contracts import FitContext
from finetext.core.types import Dataset
from finetext.methods.tfidf import Tfidf

Command = Callable[..., Any]
QUICK = ("--methods", "tfidf")
ALONE = ("teacher", "pool.txt", "--out", "student", *QUICK)


def rows(start: int) -> list[tuple[str, str]]:
    return [
        (f"{text} number {number}", label)
        for number in range(start, start + 12)
        for text, label in (("fresh bread", "food"), ("a late goal", "sport"), ("a loan", "money"))
    ]


@pytest.fixture
def files(workplace: Path, topics: Dataset) -> tuple[str, ...]:
    """A teacher, a pool, and rows that people labeled."""
    Tfidf(inverse_regularisation=1.0).fit(topics, topics.select([]), FitContext()).save("teacher")
    Path("pool.txt").write_text("".join(f"{text}\n" for text, _ in rows(0)))
    Path("people.csv").write_text(
        "text,label\n" + "".join(f"{text},{label}\n" for text, label in rows(50))
    )
    return "teacher", "pool.txt"


def test_student_and_teacher_are_compared(command: Command, files: tuple[str, ...]) -> None:
    seen = command("distill", *files, "--test", "people.csv", *QUICK)
    assert "36 human-labeled rows 12 are validation rows, and 24 are test rows" in seen.err
    assert "weak labels: 27 training rows of 36 texts of the pool" in seen.err
    said = " ".join(seen.out.split())
    assert "27 of 36 texts of pool.txt are training rows with weak labels, which the model" in said
    assert "tfidf is not shown to differ from its teacher in macro F1 on the same test" in said
    assert "For 1,000 texts it takes" in said
    assert "report: runs/pool-distilled/report.html" in said
    again = command("distill", *files, "--test", "people.csv", *QUICK, "--resume", "--json")
    told = json.loads(again.out)
    assert told["run"] == "runs/pool-distilled"
    assert told["weak_labels"]["kept"] == {"food": 9, "money": 9, "sport": 9}
    assert set(told["comparisons"]) == {"majority", "teacher"}
    shown = command("show", "runs/pool-distilled").out
    assert "tfidf is not shown to differ from its teacher" in " ".join(shown.split())
    assert "with weak labels" in command("info", "runs/pool-distilled").out
    scored = command("evaluate", "teacher", "runs/pool-distilled/data.parquet", status=2)
    assert "27 evaluated rows would have weak labels" in scored.err


def test_without_people_only_a_model_is_written(command: Command, files: tuple[str, ...]) -> None:
    seen = command("distill", *files, *QUICK, "--out", "student")
    assert "nothing says how often it is right" in " ".join(seen.out.split())
    assert seen.out.endswith("model: student\n")
    assert "food" in command("predict", "student", "fresh bread").out
    again = command("distill", *files, *QUICK, "--out", "other", "--json")
    told = json.loads(again.out)
    assert told["model"] == "other"
    assert told["weak_labels"]["is_scored"] is False
    err = command("distill", *files, *QUICK, "--out", "student", status=2).err
    assert "student already holds a model: choose another folder" in err


def test_a_recipe_gives_methods_and_columns(command: Command, files: tuple[str, ...]) -> None:
    Path("people.csv").write_text(
        "body,kind,note\n" + "".join(f"{text},{label},x\n" for text, label in rows(50))
    )
    Path("pool.csv").write_text("body\n" + "".join(f"{text}\n" for text, _ in rows(0)))
    Path("recipe.toml").write_text("seed = 3\n[methods.tfidf]\nminimum_documents = 1\n")
    words = ("--recipe", "recipe.toml", "--text", "body", "--label", "kind", "--out", "run")
    command("distill", "teacher", "pool.csv", "--test", "people.csv", *words)
    recipe = Path("run", "recipe.toml").read_text()
    assert "minimum_documents = 1" in recipe
    assert recipe.startswith("seed = 3\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [(["nothere", "pool.txt", "--test", "people.csv"], "there is no model or run folder"),
     (["pool.txt", "pool.txt", "--test", "people.csv"], "no model or run folder pool.txt"),
     (["teacher", "nothere.csv", "--test", "people.csv"], "there is no file"),
     (["nothere", "nothere.csv", "--test", "people.csv"], "there is no file, folder or sample"),
     (["nothere", "pool.txt", "--test", "nothere.csv"], "there is no file, folder or sample"),
     (["teacher", "pool.txt"], "name its folder with --out"),
     ([*ALONE, "--minutes", "1"], "--minutes needs --test"),
     ([*ALONE, "--resume"], "--resume needs --test"),
     ([*ALONE, "--set", "seeds=2"], "seeds needs --test"),
     ([*ALONE, "--set", "keep_checkpoints=1"], "keep_checkpoints needs --test"),
     ([*ALONE, "--set", "decide.abstain=accuracy=0.9"], "a decision rule ([decide], data.out_of"),
     ([*ALONE[:-1], "probe,finetune"], "name one with --methods"),
     ([*ALONE[:-1], "tfidf,probe"], "name one with --methods"),
     (["teacher", "pool.txt", "--validation", "people.csv"], "only test rows can score it"),
     (["teacher", "pool.txt", "--test", "people.csv", "--keep", "2"], "it must be a share"),
     (["teacher", "pool.txt", "--test", "people.csv", "--methods", "teacher"], "name the folder"),
     (["teacher", "pool.txt", "--test", "people.csv", "--out", "teacher"], "not empty")],
)  # fmt: skip
def test_bad_input_is_said(
    command: Command, files: tuple[str, ...], words: list[str], message: str
) -> None:
    assert message in command("distill", *words, status=2).err
    assert not Path("runs").exists()


@pytest.mark.slow
def test_a_real_encoder_teaches_a_cheaper_method(command: Command, workplace: Path) -> None:
    """Zero-shot with the default encoder labels news; a student without encoder learns from it."""
    from finetext.data.read import read

    news = read("bbc-news")
    for name, start in (("pool", 0), ("people", 10)):
        some = news.select(range(start, len(news), 20))
        table = [
            {"text": of, "label": label} for of, label in zip(some.texts, some.labels, strict=True)
        ]
        Path(f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in table))
    names = ",".join(news.scheme.names if news.scheme else ())
    command("classify", "pool.jsonl", "--labels", names, "--save", "zero", "--out", "seen.csv")
    words = ("--test", "people.jsonl", "--methods", "tfidf", "--keep", "0.75", "--json")
    seen = command("distill", "zero", "pool.jsonl", *words)
    assert seen.status == 0, seen.err
    told = json.loads(seen.out)
    scores = {of["method"]: of["metrics"]["test"] for of in told["leaderboard"]}
    costs = {of["method"]: of["rows_per_second"] for of in told["leaderboard"]}
    assert scores["teacher"]["accuracy"]["value"] > 0.7
    assert scores["tfidf"]["accuracy"]["value"] > 0.7
    assert costs["tfidf"] > 3 * costs["teacher"]
    assert told["weak_labels"]["kind"] == "zeroshot"
