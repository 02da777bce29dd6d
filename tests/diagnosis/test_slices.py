"""Tests of slices: their scores, their p-values, and which of them are reported."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from finetext.core.errors import DataError, RecipeError, UnknownNameError
from finetext.core.types import LabelScheme, Predicted, Predictions
from finetext.diagnosis.slices import (
    Slices,
    compare_slices,
    find_slices,
    metric_of_slices,
)
from finetext.evaluation.intervals import evaluate
from finetext.evaluation.metrics import metric_for
from finetext.report.errors import slices_lines
from finetext.storage.codec import from_json

Judged = Callable[..., Predicted]
WORDS = [f"w{number}" for number in range(30)]


def sentences(n: int, random: np.random.Generator) -> list[str]:
    return [" ".join(random.choice(WORDS, size=random.integers(3, 12))) for _ in range(n)]


def predictions(several: bool = False, groups: int = 0) -> Predictions:
    n, random = 400, np.random.default_rng(0)
    scheme = LabelScheme(("a", "b", "c"), several)
    names = tuple(f"g{row % groups}" for row in range(n)) if groups else None
    if several:
        targets = (random.random((n, 3)) < 0.4).astype(np.int64)
        likely = np.clip(0.3 + 0.4 * targets + random.normal(0, 0.25, (n, 3)), 0.01, 0.99)
    else:
        targets = random.integers(3, size=n)
        likely = random.dirichlet((1, 1, 1), size=n)
        likely[np.arange(n), targets] += 0.5
        likely /= likely.sum(axis=1, keepdims=True)
    return Predictions(tuple(map(str, range(n))), targets, likely, scheme, groups=names)


def select(whole: Predictions, rows: np.ndarray) -> Predictions:
    groups = None if whole.groups is None else tuple(whole.groups[row] for row in rows)
    ids = tuple(whole.ids[row] for row in rows)
    targets, probabilities = whole.targets[rows], whole.probabilities[rows]
    return Predictions(ids, targets, probabilities, whole.scheme, groups=groups)


@pytest.mark.parametrize(
    ("metric", "several"),
    [
        *(("accuracy", False), ("macro_f1", False), ("log_loss", False), ("log_loss", True)),
        *(("samples_f1", True), ("subset_accuracy", True), ("micro_f1", True)),
    ],
)
@pytest.mark.parametrize("groups", [0, 25])
def test_scores_are_those_of_the_slice_alone(metric: str, several: bool, groups: int) -> None:
    whole = predictions(several, groups)
    rows = np.flatnonzero(np.random.default_rng(1).random(len(whole)) < 0.3)
    rest = np.setdiff1d(np.arange(len(whole)), rows)
    (found,) = compare_slices(whole, metric_of_slices(whole.scheme, metric, ""), [rows])
    alone = evaluate(select(whole, rows), metrics=[metric])[metric]
    assert found.score.value == pytest.approx(alone.value)
    assert found.score.n == len(rows)
    assert (found.score.low, found.score.high) == pytest.approx((alone.low, alone.high), abs=0.03)
    gap = alone.value - metric_for(metric, whole.scheme)(select(whole, rest))
    assert found.difference.value == pytest.approx(gap)
    assert found.difference.low < gap < found.difference.high
    assert 0.001 < found.p_value <= 1


def test_a_slice_of_one_group_has_no_interval_but_one_without_errors_has() -> None:
    whole = predictions(groups=10)
    metric = metric_of_slices(whole.scheme, None, "")
    (found,) = compare_slices(whole, metric, [np.arange(0, 400, 10)])
    assert np.isnan([found.score.low, found.score.high, found.difference.low]).all()
    assert not np.isnan(found.difference.value)
    whole = predictions()
    right = np.flatnonzero(whole.decisions == whole.targets)[:20]
    (found,) = compare_slices(whole, metric, [right])
    assert found.score.high == 1
    assert 0.75 < found.score.low < 0.9


def test_the_default_metric_is_a_mean_over_rows() -> None:
    one, several = LabelScheme(("a", "b")), LabelScheme(("a", "b"), multilabel=True)
    assert metric_of_slices(one, None, "macro_f1").name == "accuracy"
    assert metric_of_slices(several, None, "macro_f1").name == "samples_f1"
    assert metric_of_slices(one, None, "log_loss").name == "log_loss"
    assert metric_of_slices(one, "macro_f1", "log_loss").name == "macro_f1"
    with pytest.raises(UnknownNameError, match="did you mean 'accuracy'"):
        metric_of_slices(one, "acuracy", "macro_f1")
    with pytest.raises(RecipeError, match="use 'samples_f1'"):
        metric_of_slices(several, "mean_average_precision", "macro_f1")


def test_missing_texts_or_groups_are_named(judged: Judged) -> None:
    some = judged(None, np.ones(60, bool))
    for kind, message in (("token", "no column 'text'"), ("group", "no groups")):
        with pytest.raises(DataError, match=message):
            find_slices(some, by=(kind,))
    with pytest.raises(UnknownNameError, match="did you mean 'length'"):
        find_slices(some, by=("lenght",))
    assert find_slices(judged(None, np.ones(12, bool))).looked_at == 0


def test_a_planted_bad_slice_is_found_and_no_other(judged: Judged) -> None:
    random = np.random.default_rng(0)
    texts = sentences(1500, random)
    bad = random.random(1500) < 0.06
    texts = [f"{text} zebra" if is_bad else text for text, is_bad in zip(texts, bad, strict=True)]
    right = random.random(1500) < np.where(bad, 0.6, 0.9)
    found = find_slices(judged(texts, right))
    assert [(each.kind, each.name) for each in found.slices if each.worse] == [("token", "zebra")]
    first = found.slices[0]
    assert (first.name, first.rows) == ("zebra", bad.sum())
    assert first.score.value == pytest.approx(right[bad].mean())
    assert first.difference.high < 0 < first.score.low
    assert found.looked_at == len(found.slices) > 20
    assert found.metric == "accuracy"
    signs = np.sign([each.difference.value for each in found.slices])
    assert (np.diff(signs) >= 0).all()


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_only_the_worse_slice_is_named(judged: Judged, metric: str) -> None:
    some = judged(None, np.repeat([True, False], 100), ["good"] * 100 + ["bad"] * 100)
    found = find_slices(some, by=("group",), metric=metric)
    assert [(each.name, each.worse) for each in found.slices] == [("bad", True), ("good", False)]
    assert max(each.p_value for each in found.slices) < 0.001


@pytest.mark.parametrize("grouped", [False, True])
def test_random_errors_are_seldom_significant(
    judged: Judged, grouped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetext.diagnosis.slices._RESAMPLES", 2)

    def is_significant(seed: int) -> bool:
        random, n = np.random.default_rng(seed), 400
        groups = [f"g{number}" for number in random.integers(40, size=n)]
        ease = {name: random.normal(1.7, 1) for name in set(groups)}
        odds = np.array([ease[name] for name in groups]) if grouped else np.full(n, 1.7)
        right = random.random(n) < 1 / (1 + np.exp(-odds))
        texts = sentences(n, random)
        if grouped:
            texts = [f"{text} of{name[-1]}" for text, name in zip(texts, groups, strict=True)]
        some = judged(texts, right, groups if grouped else None)
        return any(each.p_value < 0.05 for each in find_slices(some, by=("length", "token")).slices)

    named = sum(map(is_significant, range(40)))
    assert named <= 5, "5% of 40 are 2; more than 5 happen once in sixty"


def test_languages_are_mentioned_only_if_there_are_slices_of_them(judged: Judged) -> None:
    found = find_slices(judged(sentences(60, np.random.default_rng(0)), np.ones(60, bool)))
    assert {each.kind for each in found.slices} == {"length", "label", "token"}
    assert found.languages_by is None
    assert "anguages" not in " ".join(slices_lines(found, "mine"))


def test_slices_survive_json(judged: Judged) -> None:
    some = judged(sentences(60, np.random.default_rng(0)), np.arange(60) % 3 > 0, ["x", "y"] * 30)
    found = find_slices(some)
    again = from_json(Slices, json.loads(json.dumps(found.to_json())), "slices")
    assert again.to_json() == found.to_json()
    assert repr(again) == repr(found)


def test_slices_say_which_class_their_metric_is_about() -> None:
    random = np.random.default_rng(0)
    targets, likely = random.integers(2, size=60), random.random(60)
    ids, probabilities = tuple(map(str, range(60))), np.stack([1 - likely, likely], axis=1)
    scheme = LabelScheme(("ham", "spam"), positive="ham")
    texts = tuple(sentences(60, random))
    predicted = Predicted(
        "mine", Predictions(ids, targets, probabilities, scheme), texts, "accuracy"
    )
    of_class = find_slices(predicted, ["length"], "binary_f1")
    assert of_class.positive == "ham"
    assert slices_lines(of_class, "mine")[0].startswith("binary F1 of “ham”, mine on rows: ")
    assert from_json(Slices, of_class.to_json(), "slices") == of_class
    of_all = find_slices(predicted, ["length"])
    assert of_all.positive is None
    assert slices_lines(of_all, "mine")[0].startswith("accuracy, mine on rows: ")
