"""What model folders of a run keep of its test rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import finetext
from finetext.core.deadline import Deadline
from finetext.core.decision import Decision
from finetext.diagnosis.text_map import states_of
from finetext.models.folder import record_of
from finetext.models.reference import FILE, Reference
from finetext.runs.references import _states, keep_references

TFIDF = finetext.Tfidf(longest_ngram=1, inverse_regularisation=1.0, by_ratios=False)


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


@pytest.fixture
def probe_is_best(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best model is the probe, whatever its scores."""

    def keep(started: Any, fitted: Any, run: finetext.Run) -> None:
        keep_references(started, fitted, replace(run, best="probe", recommended="probe"))

    monkeypatch.setattr("finetext.runs.finish.keep_references", keep)


@pytest.mark.parametrize("folds", [False, True])
@pytest.mark.usefixtures("few_folds", "probe_is_best")
def test_the_best_model_keeps_states_of_rows_it_is_scored_on(
    table: str, tiny_encoder: Path, folds: bool
) -> None:
    methods = [TFIDF, finetext.Probe(encoder=str(tiny_encoder), inverse_regularisation=1.0)]
    split = finetext.SplitSettings(cross_validate=folds)
    run = finetext.train(table, methods, split=split, out="run", listener=finetext.Listener())
    for entry in run.leaderboard:
        found, predictions = kept(run, entry.method), run.predictions(entry.method, "test")
        assert found.part == ("cross-validated" if folds else "test")
        assert found.label_columns == ("label",)
        assert len(found) == len(set(run.texts(entry.method)))
        of_first, of_kept = (
            np.sort(of.probabilities[:, 0]) for of in (predictions, found.predictions)
        )
        assert of_kept == pytest.approx(of_first, abs=1e-3)
        assert (found.states is not None) == (entry.method == "probe")
        assert record_of(run.folder / entry.model)["keeps_rows"]
        assert f"`{FILE}`" in (run.folder / entry.model / "README.md").read_text()
    states = kept(run, "probe").states
    assert states is not None
    own = np.asarray(states_of(run.classifier("probe"), run.texts("probe")).vectors)
    assert np.array_equal(np.sort(states.rounded(own), axis=0), np.sort(states.codes, axis=0))


def test_a_cross_validated_model_trained_in_steps_keeps_no_states_of_rows_it_learned() -> None:
    started: Any = SimpleNamespace(run=SimpleNamespace(folds=object()))
    for method in (finetext.Finetune(), finetext.Blend()):
        assert _states(started, method, Path("there is none"), ["a text"]) is None


def test_states_are_left_out_where_no_time_is_left(
    table: str, tiny_encoder: Path, workplace: Path
) -> None:
    texts = [f"text {number}" for number in range(40)]
    probe = finetext.fit(texts, ["a", "b"] * 20, finetext.Probe(encoder=str(tiny_encoder)))
    place = probe.save("model")
    late = SimpleNamespace(deadline=Deadline.after(-1))
    started: Any = SimpleNamespace(
        run=SimpleNamespace(folds=None), recipe=SimpleNamespace(device="cpu"), context=late
    )
    assert _states(started, finetext.Probe(), place, texts) is None
    late.deadline = None
    found = _states(started, finetext.Probe(), place, texts)
    assert found is not None
    assert len(found.codes) == 40


def test_a_model_with_another_decision_rule_keeps_the_rows(table: str, command: Any) -> None:
    run = finetext.train(table, [TFIDF], out="run", listener=finetext.Listener())
    command("decide", "run", "--abstain", "probability=0.7", "--out", "sure", status=0)
    assert (Path("sure") / FILE).read_bytes() == (
        run.folder / run.best / "model" / FILE
    ).read_bytes()
    found = finetext.monitor("sure", table, listener=finetext.Listener())
    assert any(change.label is None for change in found.labels)
