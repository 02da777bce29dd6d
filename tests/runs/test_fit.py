"""`finetext.fit`: the one-liner."""

from __future__ import annotations

import math
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetext import Finetune, Majority, Stage, Tfidf, fit, read
from finetext.core.contracts import Listener, ProgressEvent
from finetext.core.decision import Decision
from finetext.core.errors import DataError, FinetextError, RecipeError, UnknownNameError
from finetext.data.split import held_out

TEXTS = [
    f"number {n}: a {'fine and moving' if n % 3 else 'dull and empty'} film" for n in range(40)
]
LABELS = ["good" if n % 3 else "bad" for n in range(40)]
QUICK = Tfidf(inverse_regularisation=10.0)


@pytest.fixture(autouse=True)
def empty_folder(workplace: Path) -> Any:
    yield
    assert list(workplace.iterdir()) == []


@pytest.mark.parametrize("labels", [LABELS, np.array(LABELS)])
def test_classifier_from_texts_and_labels(labels: Any) -> None:
    classifier = fit(TEXTS, labels, QUICK)
    answer = classifier("a dull and empty film")
    assert list(answer) == ["bad", "good"]
    assert sum(answer.values()) == pytest.approx(1.0)


def test_name_of_a_method_gives_its_defaults() -> None:
    assert fit(TEXTS, LABELS, "majority")("x") == fit(TEXTS, LABELS, Majority())("x")


def test_numbers_as_labels() -> None:
    classifier = fit(TEXTS, [int(label == "good") for label in LABELS], QUICK)
    assert max(classifier("a fine and moving film")) == "1"


def test_joined_names_are_one_label_unless_they_are_lists() -> None:
    joined = ["arts,film" if label == "good" else "film,arts" for label in LABELS]
    assert fit(TEXTS, joined, QUICK).scheme.names == ("arts,film", "film,arts")


def test_multilabel_has_thresholds() -> None:
    labels = [["film", label] if n % 5 else [] for n, label in enumerate(LABELS)]
    classifier = fit(TEXTS, labels, QUICK)
    assert classifier.scheme.multilabel
    assert classifier.scheme.names == ("bad", "film", "good")
    assert len(classifier.decision.thresholds or ()) == 3


def test_the_held_out_rows_are_learned_from_in_the_end() -> None:
    texts = [f"{text} word{number} word{number}" for number, text in enumerate(TEXTS)]
    classifier = fit(texts, LABELS, Tfidf(inverse_regularisation=10.0, minimum_documents=1))
    known = set(classifier.vectorizer.vocabulary_)  # type: ignore[attr-defined]
    assert {f"word{number}" for number in range(len(texts))} <= known
    assert classifier.decision.temperature != 1.0


def test_training_rows_do_not_calibrate() -> None:
    classifier = fit(["a fine film", "a dull film"], ["good", "bad"], QUICK)
    assert classifier.decision == Decision()


def test_fine_tuning_a_tiny_encoder(tiny_encoder: Path) -> None:
    method = Finetune(encoder=str(tiny_encoder), epochs=1, max_length=16)
    events: list[ProgressEvent] = []
    lines: list[str] = []
    listener = Listener(lines.append, events.append)
    first, second = (
        fit(TEXTS, LABELS, method, seed=3, device="cpu", listener=hears)
        for hears in (listener, None)
    )
    assert first("a fine film") == second("a fine film")
    assert {event.total for event in events} >= {36}
    assert lines[0].startswith("finetune: ")


def test_nothing_is_printed_off_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    fit(TEXTS, LABELS, QUICK)
    assert capfd.readouterr() == ("", "")


def test_many_classes_of_one_row_can_be_learned() -> None:
    labels = [f"kind {row if row < 24 else row % 4}" for row in range(40)]
    fitted = fit(TEXTS, labels, Tfidf(longest_ngram=1))
    assert len(fitted.scheme) == 24
    assert set(fitted.predict(TEXTS)) <= set(labels)


WRONG: list[tuple[Any, Any, dict[str, Any], type[FinetextError], str]] = [
    ([], [], {}, DataError, "there are no texts"),
    (TEXTS, LABELS[:7], {}, DataError, "differ in length: text 40, label 7"),
    (TEXTS, ["good"] * 40, {}, DataError, "one class only, 'good'"),
    (TEXTS, [*LABELS[:-1], None], {}, DataError, "label 39, counted from 0, is missing (None)"),
    (TEXTS, TEXTS, {}, DataError, "40 rows, too few rows of each to learn from; if they"),
    (range(40), LABELS, {}, DataError, "numbers, not texts"),
    (
        [*TEXTS[:39], None],
        LABELS,
        {},
        DataError,
        "text 39, counted from 0, is missing (None)",
    ),
    ([math.nan, *TEXTS[1:]], LABELS, {}, DataError, "text 0, counted from 0, is missing (nan)"),
    (TEXTS, LABELS, {"positive": "best"}, DataError, "'best' is none of the labels, which are"),
    (TEXTS, LABELS, {"positive": True}, DataError, "'True' is none of the labels, which are"),
    ("text", ["good"], {}, DataError, "strings"),
    (TEXTS, LABELS, {"method": Tfidf}, RecipeError, "Tfidf is a class; give Tfidf()"),
    (TEXTS, LABELS, {"method": "tfdif"}, UnknownNameError, "did you mean 'tfidf'"),
    (TEXTS, LABELS, {"method": Tfidf(longest_ngram=0)}, RecipeError, "longest_ngram = 0"),
    (TEXTS, LABELS, {"method": Finetune(encoder="minlim")}, UnknownNameError, "'minilm'"),
    (TEXTS, QUICK, {}, DataError, "one for each text, not Tfidf: call finetext.fit(texts, labels"),
    (TEXTS, LABELS, {"method": Finetune(stages=Stage(1, 1e-2))}, RecipeError, "in brackets"),  # type: ignore[arg-type]
    (TEXTS, LABELS, {"seed": -1}, RecipeError, "the seed is -1"),
    (TEXTS, LABELS, {"device": "tpu"}, RecipeError, "'tpu' is not a device"),
]


@pytest.mark.parametrize(("texts", "labels", "given", "kind", "said"), WRONG)
def test_errors(
    texts: Any, labels: Any, given: dict[str, Any], kind: type[FinetextError], said: str
) -> None:
    with pytest.raises(kind, match=re.escape(said)):
        fit(texts, labels, **{"method": QUICK, **given})


@settings(max_examples=30)
@given(labels=st.lists(st.sampled_from("abcd"), min_size=2, max_size=40), seed=st.integers(0, 9))
def test_a_tenth_is_held_out_with_a_row_of_each_class(labels: list[str], seed: int) -> None:
    counts = Counter(labels)
    if len(counts) < 2:
        return
    dataset = read((["x y" for _ in labels], labels))
    train, held = held_out(dataset, seed)
    assert set(train.labels) == set(labels)
    often = {label for label, count in counts.items() if count > 1}
    assert set(held.labels) == (often or set(labels))
    if often:
        assert sorted(map(int, [*train.ids, *held.ids])) == list(range(1, len(labels) + 1))
        assert len(held) == max(len(often), round(0.1 * len(labels)))


def test_rare_labels_stay_in_training() -> None:
    labels = [["often", "once"] if n == 7 else (["often"] if n % 2 else ["too"]) for n in range(30)]
    for seed in range(5):
        train, held = held_out(read(([f"text {n}" for n in range(30)], labels)), seed)
        assert len(held) == 3
        assert ["often", "once"] in train.labels or ["once", "often"] in train.labels
