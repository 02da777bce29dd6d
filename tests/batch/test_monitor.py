"""`monitor`: a model folder alone, data with and without labels, in the order of time."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetext
from finetext import Finding, Listener, monitor
from finetext.batch import monitor as module
from finetext.core.errors import DataError, ModelError, RecipeError
from finetext.core.types import Predictions
from finetext.models.reference import FILE, Reference, States

Draw = Callable[..., list[Any]]


def write(rows: list[Any], name: str = "new.csv", header: str = "text,label") -> str:
    Path(name).write_text("\n".join([header, *map(",".join, rows)]) + "\n")
    return name


@pytest.fixture
def model(watched_run: Path, workplace: Path) -> Path:
    """A model folder away from its run."""
    return shutil.copytree(watched_run / "tfidf" / "model", workplace / "model")


def quiet() -> Listener:
    return Listener()


def test_a_model_folder_alone_suffices_and_same_rows_show_nothing(
    model: Path, draw_reviews: Draw
) -> None:
    found = monitor(model, write(draw_reviews(200, 7)), listener=quiet())
    assert found.drifted == ()
    assert not found.is_worse
    assert found.reference == "150 test rows"
    assert found.labeled == 200
    assert found.estimated is not None
    assert found.worse is not None
    assert found.estimated.low < found.worse.accuracy.value < found.estimated.high
    assert found.data == "new.csv"
    assert found == monitor(model, "new.csv", listener=quiet())


def test_planted_drifts_are_shown(model: Path, draw_reviews: Draw) -> None:
    foreign = [(f"online card {n} payment refund bank pin", "good") for n in range(60)]
    mixed = monitor(model, write([*draw_reviews(140, 7), *foreign]), listener=quiet())
    assert "texts" in mixed.drifted
    assert {of.word for of in mixed.words} >= {"card", "bank"}
    assert all("card" in of.text for of in mixed.foreign[:5])
    shifted = monitor(model, write(draw_reviews(200, 7, good=0.9)), listener=quiet())
    assert "labels" in shifted.drifted


def test_wrong_labels_show_that_the_model_is_worse(model: Path, draw_reviews: Draw) -> None:
    other = {"good": "bad", "bad": "good"}
    rows = [(text, other[label]) for text, label in draw_reviews(100, 7)]
    assert monitor(model, write(rows), listener=quiet()).is_worse


def test_data_without_labels_and_with_some(model: Path, draw_reviews: Draw) -> None:
    rows = draw_reviews(90, 7)
    bare = monitor(model, write([(text,) for text, _ in rows], header="text"), listener=quiet())
    assert (bare.rows, bare.labeled, bare.worse) == (90, 0, None)
    some = [(text, label if n % 3 == 0 else "") for n, (text, label) in enumerate(rows)]
    found = monitor(model, write(some), listener=quiet())
    assert (found.rows, found.labeled) == (90, 30)
    assert found.tests == bare.tests
    with pytest.raises(DataError, match="label"):
        monitor(model, "new.csv", read={"label": "nothing"}, listener=quiet())


def test_labels_that_are_all_as_predicted_are_warned_of(model: Path, draw_reviews: Draw) -> None:
    classifier, heard = finetext.load(model), list[Finding]()
    texts = [text for text, _ in draw_reviews(120, 7)]
    given = classifier.predict(texts)
    write(list(zip(texts, given, strict=True)))
    assert monitor(model, "new.csv", listener=Listener(finding=heard.append)).labeled == 120
    (found,) = heard
    assert found.code == "labels-as-predicted"
    assert "all 120 labels are as the model predicts" in found.message
    heard.clear()
    write(list(zip(texts[:5], given[:5], strict=True)))
    monitor(model, "new.csv", listener=Listener(finding=heard.append))
    write(draw_reviews(60, 7))
    monitor(model, "new.csv", listener=Listener(finding=heard.append))
    assert heard == []


def test_rows_are_ordered_by_time(model: Path, draw_reviews: Draw) -> None:
    other = {"good": "bad", "bad": "good"}
    rows = [(text, label, "2026-11-01") for text, label in draw_reviews(100, 7)]
    wrong = [(text, other[label], "2026-12-01") for text, label in draw_reviews(100, 8)]
    write([*wrong, *rows], header="text,label,day")
    late = monitor(model, "new.csv", time="day", listener=quiet()).worse
    early = monitor(model, "new.csv", listener=quiet()).worse
    assert late is not None
    assert early is not None
    assert early.worse_at is not None
    assert late.worse_at is not None
    assert early.worse_at < 100 < late.worse_at
    write([("a text", "good", "soon")], header="text,label,day")
    with pytest.raises(DataError, match="row 1 has 'soon', which is no number and no date"):
        monitor(model, "new.csv", time="day", listener=quiet())


def test_states_of_another_width_are_refused(
    tiny_encoder: Path, draw_reviews: Draw, workplace: Path
) -> None:
    texts, labels = zip(*draw_reviews(60, 1), strict=True)
    probe = finetext.fit(texts, labels, finetext.Probe(encoder=str(tiny_encoder)))
    place = probe.save("probe")
    likely = probe.predict_proba(texts)
    targets = probe.scheme.encode(labels)
    of = Predictions(tuple(map(str, range(60))), targets, likely, probe.scheme)
    kept = Reference.of(of, texts, "test")
    replace(kept, states=States.of(np.random.default_rng(0).normal(size=(60, 3)))).save(place)
    with pytest.raises(ModelError, match="the folder keeps states of 3 numbers"):
        monitor(place, write(draw_reviews(60, 2)), listener=quiet())


def test_a_model_that_keeps_nothing_needs_reference_rows(model: Path, draw_reviews: Draw) -> None:
    (model / FILE).unlink()
    new, old = write(draw_reviews(90, 7)), write(draw_reviews(120, 9), "old.csv")
    with pytest.raises(ModelError, match=r"keeps no test rows to compare with.*--reference DATA"):
        monitor(model, new, listener=quiet())
    found = monitor(model, new, reference=old, listener=quiet())
    assert found.reference == "120 reference rows"
    assert len(found.tests) == 3
    classifier = finetext.load(model)
    with pytest.raises(ModelError, match="a classifier in memory keeps no rows"):
        monitor(classifier, new, listener=quiet())
    assert monitor(classifier, new, reference=old, listener=quiet()).tests == found.tests


def test_of_many_rows_without_labels_some_are_drawn(
    model: Path, draw_reviews: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 40)
    rows, said = [(text,) for text, _ in draw_reviews(90, 7)], list[str]()
    found = monitor(model, write(rows, header="text"), listener=Listener(say=said.append))
    assert (found.rows, found.tested) == (90, 40)
    assert "40 rows of 90 are looked at" in said


def test_a_few_labels_among_many_rows_are_all_that_is_read_beyond_those_drawn(
    model: Path, draw_reviews: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 40)
    rows, said, asked = draw_reviews(600, 7), list[str](), list[int]()
    classifier = finetext.load(model)
    plain = classifier.predict_proba

    def predict_proba(texts: Any) -> Any:
        asked.append(len(texts))
        return plain(texts)

    monkeypatch.setattr(type(classifier), "predict_proba", lambda self, texts: predict_proba(texts))
    some = [(text, label if n % 60 == 5 else "") for n, (text, label) in enumerate(rows)]
    found = monitor(model, write(some), listener=Listener(say=said.append))
    assert 40 <= sum(asked) <= 50
    assert (found.rows, found.tested, found.labeled) == (600, 40, 10)
    assert found.worse is not None
    assert found.worse.accuracy.n == 10
    assert "40 rows of 600 are looked at, and all 10 rows with a label" in said
    bare = monitor(model, write([(text,) for text, _ in rows], header="text"), listener=quiet())
    assert found.tests == bare.tests  # labeled rows are no random sample, so they are not compared


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("text,escalated", (("good", "bad"),)),
        ("text,status", (("open", "closed"),)),
        ("text,priority,channel", (("good", "bad"), ("mail", "phone"))),
        ("text,status,queue", (("open", "closed"), ("a", "b"))),
    ],
)
def test_other_columns_of_few_values_are_no_labels(
    model: Path, draw_reviews: Draw, header: str, values: tuple[tuple[str, str], ...]
) -> None:
    texts = [text for text, _ in draw_reviews(90, 7)]
    rows = [(text, *(of[n % 2] for of in values)) for n, text in enumerate(texts)]
    found = monitor(model, write(rows, header=header), listener=quiet())
    assert (found.rows, found.labeled, found.label_columns, found.worse) == (90, 0, (), None)
    assert found.no_labels == "no column is called label"
    assert (
        found.tests
        == monitor(model, write([(text,) for text in texts], header="text"), listener=quiet()).tests
    )


def test_the_user_says_which_column_has_labels_or_that_none_has(
    model: Path, draw_reviews: Draw
) -> None:
    rows = [(text, "bad", label) for text, label in draw_reviews(90, 7)]
    write(rows, header="text,label,checked")
    found = monitor(model, "new.csv", read={"label": "checked"}, listener=quiet())
    assert (found.labeled, found.label_columns) == (90, ("checked",))
    assert not found.is_worse
    said = list[str]()
    bare = monitor(model, "new.csv", read={"labelled": False}, listener=Listener(say=said.append))
    assert (bare.labeled, bare.worse, bare.no_labels) == (0, None, "data.labelled = false")
    assert "no labels, since data.labelled = false; 90 rows" in said[-1]
    with pytest.raises(RecipeError, match=r"--label checked and data\.labelled = false contradict"):
        monitor(model, "new.csv", read={"label": "checked", "labelled": False}, listener=quiet())


def test_groups_of_the_model_are_asked_for(
    watched_run: Path, model: Path, draw_reviews: Draw
) -> None:
    scheme = finetext.load(model).scheme
    kept = Reference.read(model, scheme, finetext.load(model).decision)
    assert kept is not None
    object.__setattr__(kept.predictions, "groups", tuple(map(str, range(len(kept)))))
    kept.save(model)
    heard = list[Finding]()
    rows = [(*row, f"author {n}") for n, row in enumerate(draw_reviews(60, 7))]
    write(rows, header="text,label,author")
    monitor(model, "new.csv", listener=Listener(finding=heard.append))
    assert [of.code for of in heard] == ["groups-unknown"]
    heard.clear()
    monitor(model, "new.csv", read={"group": "author"}, listener=Listener(finding=heard.append))
    assert heard == []


def test_what_cannot_be_is_refused(model: Path, draw_reviews: Draw) -> None:
    with pytest.raises(RecipeError, match="tolerance is 2"):
        monitor(model, write(draw_reviews(40, 7)), tolerance=2, listener=quiet())
    write([("a fine text", "excellent"), ("a dull text", "bad")])
    with pytest.raises(DataError, match="excellent"):
        monitor(model, "new.csv", listener=quiet())


def test_states_of_a_model_with_an_encoder_are_compared(
    tiny_encoder: Path, draw_reviews: Draw, workplace: Path
) -> None:
    texts, labels = zip(*draw_reviews(60, 1), strict=True)
    probe = finetext.fit(texts, labels, finetext.Probe(encoder=str(tiny_encoder)))
    old, new = write(draw_reviews(60, 2), "old.csv"), write(draw_reviews(60, 3))
    found = monitor(probe, new, reference=old, listener=quiet())
    assert found.features == "states of the model"
    assert len(found.tests) == 3
