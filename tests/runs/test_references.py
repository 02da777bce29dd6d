"""What model folders of a run keep of its test rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetext
from finetext.core.decision import Decision
from finetext.diagnosis.text_map import states_of
from finetext.models.folder import record_of
from finetext.models.reference import FILE, Reference


def kept(run: finetext.Run, method: str) -> Reference:
    place = run.folder / method / "model"
    found = Reference.read(place, run.classifier(method).scheme, Decision())
    assert found is not None
    return found


@pytest.fixture
def table(draw_reviews: Callable[..., list[Any]], workplace: Path) -> str:
    lines = ["text,label", *(f"{text},{label}" for text, label in draw_reviews(120, 1))]
    Path("reviews.csv").write_text("\n".join(lines) + "\n")
    return "reviews.csv"


def test_the_best_model_keeps_states_of_the_test_rows(table: str, tiny_encoder: Path) -> None:
    probe = finetext.Probe(encoder=str(tiny_encoder))
    run = finetext.train(table, [probe], out="run", listener=finetext.Listener())
    for method in run.leaderboard.methods:
        found, predictions = kept(run, method), run.predictions(method, "test")
        assert found.part == "test"
        assert len(found) == len(set(run.texts(method)))
        assert sorted(found.predictions.probabilities[:, 0]) == pytest.approx(
            sorted(predictions.probabilities[:, 0]), abs=1e-3
        )
        assert (found.states is not None) == (method == "probe" and run.best == "probe")
        assert record_of(run.folder / method / "model")["keeps_rows"]
        assert f"`{FILE}`" in (run.folder / method / "model" / "README.md").read_text()
    if run.best == "probe":
        states = kept(run, "probe").states
        assert states is not None
        own = np.asarray(states_of(run.classifier("probe"), run.texts("probe")).vectors)
        assert sorted(states.rounded(own)[:, 0]) == sorted(states.codes[:, 0])


def test_a_cross_validated_model_keeps_out_of_fold_predictions(table: str) -> None:
    method = finetext.Tfidf(longest_ngram=1, inverse_regularisation=1.0, by_ratios=False)
    split = finetext.SplitSettings(cross_validate=True)
    run = finetext.train(table, [method], split=split, out="run", listener=finetext.Listener())
    found = kept(run, "tfidf")
    assert found.part == "cross-validated"
    assert len(found) == len(set(run.texts("tfidf")))


def test_another_decision_rule_and_an_export_keep_the_rows(table: str, command: Any) -> None:
    method = finetext.Tfidf(longest_ngram=1, inverse_regularisation=1.0, by_ratios=False)
    run = finetext.train(table, [method], out="run", listener=finetext.Listener())
    command("decide", "run", "--abstain", "probability=0.7", "--out", "sure", status=0)
    assert (Path("sure") / FILE).read_bytes() == (
        run.folder / run.best / "model" / FILE
    ).read_bytes()
    found = finetext.monitor("sure", table, listener=finetext.Listener())
    assert any(change.label == "no label" for change in found.labels)
