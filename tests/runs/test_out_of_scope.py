"""Runs that recognize texts of no class: what is learned, scored, stored and said."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import finetext
from finetext.core.errors import RecipeError
from finetext.core.settings import ReadSettings, SplitSettings
from finetext.evaluation.deciding import Deciding
from finetext.report.report import render
from finetext.runs.recipe import Recipe
from finetext.runs.reporting import report_data
from finetext.runs.run import Run
from finetext.runs.stored_splits import stored_splits

WORDS = {
    "pay": ["send", "pay", "money", "transfer", "bank", "card"],
    "play": ["play", "song", "music", "album", "guitar", "band"],
    "oos": ["volcano", "glacier", "comet", "orbit", "fossil", "desert"],
}
RULE = Deciding(out_of_scope=0.05)


def rows(count: int, seed: int = 0) -> list[dict[str, str]]:
    random = np.random.default_rng(seed)
    labels = [("pay", "play", "oos")[n % 3] for n in range(count)]
    return [{"text": f"{' '.join(random.choice(WORDS[label], 4))} {n}", "label": label}
            for n, label in enumerate(labels)]  # fmt: skip


@pytest.fixture
def requests(workplace: Path) -> Path:
    lines = ["text,label", *(f"{row['text']},{row['label']}" for row in rows(600))]
    Path("requests.csv").write_text("\n".join(lines))
    return Path("requests.csv")


def recipe(source: str | None, split: SplitSettings | None = None) -> Recipe:
    sizes = split or SplitSettings(train=150, validation=150, test=100, keep_duplicates=True)
    read = ReadSettings(out_of_scope="oos")
    return Recipe(source=source, read=read, split=sizes, methods={"tfidf": finetext.Tfidf()},
                  decide=RULE)  # fmt: skip


def test_rows_of_no_class_are_never_learned_from_and_show_the_recall(requests: Path) -> None:
    run = finetext.train(recipe("requests.csv"), out="run")
    splits = stored_splits(run.folder)
    assert splits.scheme.names == ("pay", "play")
    assert "oos" not in {label for _, part in splits.items() for label in part.labels}
    scope = run.entry("tfidf").scope
    assert scope is not None
    assert scope.recall is not None
    assert (scope.allowed, scope.accuracy.n, scope.recall.n) == (0.05, 100, 200)
    assert scope.recall.value > 0.9 > 0.2 > scope.false_alarms.value
    assert Run.open("run").entry("tfidf").scope == scope
    model = run.classifier("tfidf")
    assert model.predict(["volcano glacier comet", "play the guitar"]) == [None, "play"]
    assert scope.words in Path("run/report.html").read_text()
    assert "<h3>Out of scope</h3>" in render(report_data(run))
    card = Path("run/tfidf/model/README.md").read_text()
    assert "belongs to no class and gets no label" in card
    assert "of the 200 texts out of scope" in " ".join(card.split())
    described = json.loads(Path("run/tfidf/model/finetext.json").read_text())
    assert described["decision"]["false_alarms"] == 0.05


def test_too_few_rows_for_the_stated_share_are_warned_of(requests: Path) -> None:
    asked = replace(recipe("requests.csv"), decide=Deciding(out_of_scope=0.005))
    run = finetext.train(asked, out="run")
    scope = run.entry("tfidf").scope
    assert scope is not None
    assert scope.words == "none of the 200 texts out of scope is recognized: the model has no rule"
    (found,) = [of for of in run.findings if "tfidf" in of.message and of.severity == "warning"]
    assert found.code == "refuses-nothing"
    assert "nothing is refused: 0.5% takes 199 validation rows, there are 150" in found.message
    assert "0.5% takes 199 validation rows" in Path("run/report.html").read_text()


def test_cross_validated_rows_are_refused_by_rules_of_other_folds(requests: Path) -> None:
    run = finetext.train(recipe("requests.csv", SplitSettings(cross_validate=True)), out="run")
    scope = run.entry("tfidf").scope
    assert scope is not None
    assert scope.recall is not None
    assert (scope.accuracy.n, scope.recall.n) == (400, 200)
    assert scope.false_alarms.value == pytest.approx(0.05, abs=0.04)


def test_data_passed_in_python_keep_their_rows_of_no_class(workplace: Path) -> None:
    data = finetext.read(rows(600), settings=ReadSettings(out_of_scope="oos"))
    given = recipe(None)
    run = finetext.train(
        data, given.methods, split=given.split, out="run", listener=finetext.Listener()
    )
    scope = run.entry("tfidf").scope
    assert scope is not None
    assert scope.recall is not None
    assert (scope.allowed, scope.recall.n) == (0.05, 200)  # the rows imply the rule
    assert stored_splits(run.folder).scheme.names == ("pay", "play")
    again = finetext.train(Recipe.from_file(Path("run/recipe.toml")), out="again")
    assert again.entry("tfidf").scope == scope


def test_without_rows_of_no_class_the_recall_is_unknown(workplace: Path) -> None:
    inside = [row for row in rows(600) if row["label"] != "oos"]
    Path("inside.csv").write_text(
        "\n".join(["text,label", *(f"{row['text']},{row['label']}" for row in inside)])
    )
    run = finetext.train(replace(recipe("inside.csv"), read=ReadSettings()), out="run")
    scope = run.entry("tfidf").scope
    assert scope is not None
    assert scope.recall is None
    assert "unknown without marked texts" in scope.words


def test_several_labels_a_row_are_refused_before_anything_is_written(workplace: Path) -> None:
    several = [{"text": row["text"], "label": [row["label"], "x"]} for row in rows(60)]
    Path("several.jsonl").write_text("\n".join(map(json.dumps, several)))
    given = replace(recipe("several.jsonl", SplitSettings()), read=ReadSettings())
    with pytest.raises(RecipeError, match="out_of_scope needs one label per row"):
        finetext.train(given, out="run")
    assert not Path("run").exists()
