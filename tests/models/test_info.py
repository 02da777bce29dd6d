"""The commands `info`, `push` and `pull`, and the Hub from scikit-learn."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loopback_hub import Hub

import finetext
from finetext.core.decision import Decision
from finetext.core.types import LabelScheme
from finetext.methods.majority import MajorityClassifier
from finetext.methods.tfidf import TfidfClassifier
from finetext.models.upload import push
from finetext.runs.estimator import TextClassifier

Command = Callable[..., Any]
ODD = {"format_version": 2, "labels": ["a", "b"], "multilabel": False, "decision": {}, "record": 1}


def test_info_shows_model_and_scores(command: Command, finished: Path) -> None:
    seen = command("info", finished)
    assert (seen.status, seen.err) == (0, "")
    facts = dict(line.split("  ", 1) for line in seen.out.splitlines() if "  " in line)
    facts = {name: value.strip() for name, value in facts.items()}
    assert facts["model"] == str(finished / "tfidf" / "model")
    assert facts["labels"] == "2: bad, good"
    assert facts["data"] == "reviews.csv"
    assert facts["rows"] == "train 42, validation 9, test 9"
    score = finetext.Run.open(finished).leaderboard[1].metrics["test"]["macro_f1"]
    assert f"  macro F1                {score.value:.3f}  [{score.low:.3f}" in seen.out
    assert seen.out.splitlines()[-1].endswith("unchanged")


def test_info_as_json_has_all_facts(command: Command, finished: Path) -> None:
    seen = command("info", finished / "majority" / "model", "--json")
    told = json.loads(seen.out)
    assert told["problem"] is None
    assert told["description"]["record"]["scores"]["accuracy"]["n"] == 9
    assert {file["name"] for file in told["files"]} == {
        "README.md", "finetext.json", "frequencies.json", "reference.safetensors",
    }  # fmt: skip
    assert all(len(file["sha256"]) == 64 for file in told["files"])


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (lambda m: (m / "vocabulary.json").write_text("{}"), "changed: vocabulary.json"),
        (lambda m: (m / "vocabulary.json").unlink(), "missing: vocabulary.json"),
        (lambda m: (m / "x.json").write_bytes(pickle.dumps([1, 2])), "holds a pickle"),
        (lambda m: (m / "finetext.json").unlink(), "not a finetext model"),
        (lambda m: (m / "finetext.json").write_text("{"), "damaged"),
        (lambda m: (m / "finetext.json").write_text(json.dumps(ODD)), "damaged"),
    ],
)
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_info_reports_unusable_models(
    command: Command,
    tfidf: TfidfClassifier,
    harm: Callable[[Path], Any],
    word: str,
    options: tuple[str, ...],
) -> None:
    harm(tfidf.save("m"))
    seen = command("info", "m", *options)
    assert seen.status == 2
    assert word in seen.err
    assert "Traceback" not in seen.err
    if options and word != "damaged":
        assert word in json.loads(seen.out)["problem"]


def test_info_escapes_unusual_names(command: Command) -> None:
    names = ("a\nb", "\x1b[31mred", "x" * 300)
    MajorityClassifier(LabelScheme(names), Decision(), np.array([0.2, 0.3, 0.5])).save("m")
    seen = command("info", "m")
    assert seen.status == 0
    assert "\x1b" not in seen.out
    assert max(map(len, seen.out.splitlines())) < 250
    for verb in ("predict", "plot"):
        seen = command(verb, "m", "a text")
        assert seen.status == 0
        assert "\x1b" not in seen.out
        assert len(seen.out.splitlines()) == 4
        assert max(map(len, seen.out.splitlines())) < 250


def test_changed_descriptions_cause_a_warning(command: Command, finished: Path) -> None:
    assert command("predict", finished, "a fine film").err == ""
    path = finished / "tfidf" / "model" / "finetext.json"
    described = json.loads(path.read_text())
    path.write_text(json.dumps({**described, "labels": described["labels"][::-1]}))
    for model in (finished, finished / "tfidf", path.parent):
        seen = command("predict", model, "a fine film")
        assert seen.status == 0
        assert "was changed since finetext wrote it" in seen.err


def test_push_and_pull_by_command_keep_the_model(
    command: Command, hub: Hub, tfidf: TfidfClassifier
) -> None:
    tfidf.save("m")
    Path("m/notes.txt").write_text("mine")
    sent = command("push", "m", "jane/topics", "--message", "the first")
    assert sent.out == f"{hub.url}/jane/topics\n"
    assert "left out, as no hash in finetext.json covers it: notes.txt" in sent.err
    assert hub.repos["jane/topics"].messages[-1] == "the first"
    again = command("push", "hub:jane/topics", "hub:jane/copy", "--private", "--json")
    assert json.loads(again.out)["card"] == "new"
    assert hub.repos["jane/copy"].private
    back = command("pull", "jane/topics")
    assert (back.status, back.out.splitlines()[0]) == (0, "model: topics")
    told = command("pull", "jane/copy", "--out", "other", "--json")
    assert json.loads(told.out)["problem"] is None
    said = command("predict", "hub:jane/topics", "the team won the match", "--json")
    assert said.status == 0
    assert command("info", "hub:jane/topics").status == 0
    Path("topics.csv").write_text("text,label\nthe team won,sport\na loan,money\n")
    measured = command("evaluate", "hub:jane/topics@main", "topics.csv", "--json")
    assert json.loads(measured.out)["metrics"]["accuracy"]["n"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("push", "m", "topics"), "write it as USER/NAME"),
        (("push", "nowhere", "jane/x"), "does not exist"),
        (("pull", "jane/nowhere"), "there is no such model, or it is private"),
        (("predict", "hub:jane/nowhere", "a text"), "there is no such model"),
        (("predict", "hub:jane", "a text"), "write it as USER/NAME"),
        (("info", "hub:jane/nowhere"), "there is no such model"),
    ],
)
def test_errors_are_one_message(
    command: Command, hub: Hub, tfidf: TfidfClassifier, words: tuple[str, ...], message: str
) -> None:
    tfidf.save("m")
    seen = command(*words)
    assert seen.status == 2
    assert message in seen.err
    assert len(seen.err.splitlines()) == 1


def test_labels_keep_their_type_on_the_hub(hub: Hub, tmp_path: Path) -> None:
    model = TextClassifier("tfidf", inverse_regularisation=1.0).fit(
        ["the team won", "a loan", "soup", ""] * 4, [1, 2, 3, 3] * 4
    )
    push(model.save(tmp_path / "model"), "jane/topics")
    loaded = TextClassifier.load("hub:jane/topics")
    assert loaded.classes_.tolist() == [1, 2, 3]
    assert (loaded.method, loaded.inverse_regularisation) == ("tfidf", 1.0)
