"""Labels that look wrong are found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from finetext.core.contracts import FitContext, Listener
from finetext.core.errors import DataError, RecipeError, UnknownNameError
from finetext.core.types import Dataset, LabelScheme, Predictions
from finetext.diagnosis.label_errors import (
    Suspects,
    fold_of_rows,
    label_quality,
    out_of_fold,
    suspects_in,
)
from finetext.methods.probe import Probe
from finetext.methods.tfidf import Tfidf
from finetext.runs.fit import find_label_errors
from finetext.runs.recipe import Recipe
from finetext.storage.codec import from_json

WORDS = {
    "sport": ["team", "match", "goal", "coach", "final", "league"],
    "money": ["bank", "rates", "market", "shares", "loan", "profit"],
    "food": ["soup", "bread", "salt", "cake", "recipe", "cheese"],
}
Planted = tuple[list[str], list[str], list[int]]
QUICK = Tfidf(longest_ngram=1, inverse_regularisation=10.0)
SILENT = Listener()


@pytest.fixture(scope="module")
def planted() -> Planted:
    """150 texts, their labels, and the six rows whose labels are wrong."""
    generator = np.random.default_rng(0)
    names = list(WORDS)
    labels = [names[row % 3] for row in range(150)]
    texts = [" ".join(generator.choice(WORDS[label], 4, replace=False)) for label in labels]
    wrong = [3, 31, 62, 88, 100, 140]
    for row in wrong:
        labels[row] = names[(row + 1) % 3]
    return texts, labels, wrong


def test_planted_errors_are_found_and_corrected(planted: Planted) -> None:
    texts, labels, wrong = planted
    found = find_label_errors((texts, labels), QUICK, listener=SILENT)
    assert (found.method, found.folds, found.rows) == ("tfidf", 5, 150)
    ids = [int(one.id) - 1 for one in found.suspects]
    assert set(ids) <= set(wrong)
    assert len(ids) >= 4
    for one, row in zip(found.suspects, ids, strict=True):
        assert one.text == texts[row]
        assert one.label == labels[row]
        assert one.suggested == list(WORDS)[row % 3]
        assert one.probability_of_label < one.probability_of_suggested
    qualities = [one.quality for one in found.suspects]
    assert qualities == sorted(qualities)
    assert sum(times for _, times in found.mistakes) == len(ids)


def test_the_same_seed_gives_the_same_list(planted: Planted) -> None:
    texts, labels, _ = planted
    lists = [
        find_label_errors((texts, labels), QUICK, seed=seed, listener=SILENT).suspects
        for seed in (3, 3, 4)
    ]
    assert lists[0] == lists[1]
    assert lists[0] != lists[2]


def test_suspects_survive_json(planted: Planted) -> None:
    texts, labels, _ = planted
    found = find_label_errors((texts, labels), QUICK, folds=2, listener=SILENT)
    assert found.suspects
    assert from_json(Suspects, json.loads(json.dumps(found.to_json())), "it") == found


def test_missing_and_surplus_labels_are_distinguished() -> None:
    truth = np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 0]] * 30)
    probabilities = np.where(truth == 1, 0.9, 0.1)
    probabilities[3] = np.where(truth[3] == 1, 0.98, 0.02)
    probabilities[12] = np.where(truth[12] == 1, 0.95, 0.05)
    given = truth.copy()
    given[3, 1], given[12, 0] = 0, 1
    scheme = LabelScheme(("food", "money", "sport"), multilabel=True)
    ids = tuple(f"row{number}" for number in range(180))
    missing, surplus = suspects_in(Predictions(ids, given, probabilities, scheme), ids)
    assert (missing.id, missing.missing, missing.surplus) == ("row3", ("money",), ())
    assert (missing.label, missing.suggested) == ("food", "food, money")
    assert (surplus.id, surplus.missing, surplus.surplus) == ("row12", (), ("food",))
    assert (surplus.label, surplus.suggested) == ("food, sport", "sport")
    assert surplus.probability_of_label == surplus.quality == pytest.approx(0.05)
    assert surplus.probability_of_suggested == pytest.approx(0.95)
    found = Suspects("tfidf", 5, 180, (missing, surplus), 1.0)
    assert dict(found.mistakes) == {"money is missing": 1, "food is surplus": 1}


def test_a_label_that_no_row_or_every_row_has_is_no_error() -> None:
    targets = np.array([[1, 0, 1], [0, 0, 1]] * 10)
    probabilities = np.array([[0.9, 0.1, 0.2], [0.2, 0.1, 0.9]] * 10)
    scheme = LabelScheme(("a", "b", "c"), multilabel=True)
    ids = tuple(map(str, range(20)))
    _, wrong = label_quality(Predictions(ids, targets, probabilities, scheme))
    assert not wrong[:, 1:].any()


def test_the_most_probable_label_never_looks_wrong() -> None:
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet([0.3] * 4, 300)
    targets = generator.integers(0, 4, 300)
    scheme = LabelScheme(tuple("abcd"))
    quality, wrong = label_quality(
        Predictions(tuple(map(str, range(300))), targets, probabilities, scheme)
    )
    assert wrong.any()
    assert not wrong[probabilities.argmax(axis=1) == targets].any()
    assert quality == pytest.approx(probabilities[np.arange(300), targets])


def test_a_group_is_in_one_fold(topics: Dataset) -> None:
    groups = [f"author {row // 3}" for row in range(len(topics))]
    grouped = replace(topics, table=topics.table.add_column("group", groups))
    parts = fold_of_rows(grouped, 4, seed=0)
    assert set(parts) == {0, 1, 2, 3}
    for name in set(groups):
        assert len({part for part, group in zip(parts, groups, strict=True) if group == name}) == 1


def test_each_class_has_its_share_in_each_fold(topics: Dataset) -> None:
    parts = fold_of_rows(topics, 3, seed=1)
    for fold in range(3):
        assert np.bincount(topics.targets[parts == fold]).tolist() == [3, 3, 3]


def test_a_class_of_one_row_is_checked_too(planted: Planted) -> None:
    texts, labels, _ = planted
    misspelt = ["sprot" if row == 30 else label for row, label in enumerate(labels)]
    found = find_label_errors((texts, misspelt), QUICK, listener=SILENT)
    assert ("31", "sprot", "sport") in {(s.id, s.label, s.suggested) for s in found.suspects}


def test_a_method_of_a_recipe_is_trained_on_its_data(planted: Planted, tmp_path: Path) -> None:
    texts, labels, _ = planted
    path = tmp_path / "data.csv"
    rows = [f"{text},{label}" for text, label in zip(texts, labels, strict=True)]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    recipe = Recipe(source=str(path), methods={"mine": QUICK}, seed=3)
    heard = []
    listener = Listener(finding=lambda finding: heard.append(finding.code))
    found = find_label_errors(replace(recipe, content_hash="other"), "mine", listener=listener)
    assert found.method == "mine"
    assert "data-changed" in heard
    asked = find_label_errors((texts, labels), QUICK, seed=3, listener=SILENT)
    assert found.suspects == asked.suspects


def test_predictions_of_slow_methods_are_cached(
    topics: Dataset, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = Probe(encoder=str(tiny_encoder), inverse_regularisation=1.0)
    context = FitContext(cache=tmp_path)
    first = out_of_fold(topics, method, 2, context)
    with monkeypatch.context() as patched:
        patched.setattr(Probe, "fit", None)
        again = out_of_fold(topics, method, 2, context)
    assert (again.probabilities == first.probabilities).all()
    other = out_of_fold(topics, replace(method, inverse_regularisation=2.0), 2, context)
    assert (other.probabilities != first.probabilities).any()


def test_impossible_requests_are_rejected(topics: Dataset) -> None:
    with pytest.raises(RecipeError, match="1 fold; ask for 2"):
        find_label_errors(topics, QUICK, folds=1, listener=SILENT)
    with pytest.raises(DataError, match="27 rows cannot make 28 folds"):
        find_label_errors(topics, QUICK, folds=28, listener=SILENT)
    with pytest.raises(DataError, match="same label"):
        find_label_errors(topics.select([0, 1, 2, 9, 10, 11]), QUICK, listener=SILENT)
    with pytest.raises(DataError, match="no labels"):
        find_label_errors(replace(topics, scheme=None), QUICK, listener=SILENT)
    with pytest.raises(UnknownNameError, match="did you mean 'tfidf'"):
        find_label_errors(topics, "tfdif", listener=SILENT)
    with pytest.raises(RecipeError, match="names no data"):
        find_label_errors(Recipe(), listener=SILENT)
