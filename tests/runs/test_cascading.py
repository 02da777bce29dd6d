"""Cascades of the methods of a run: what is certified, chosen, written and refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eye_toys import Eye, known_eyes, large_run, text_of, trained

import finetext
from finetext import Listener, Run
from finetext.core.contracts import Classifier
from finetext.core.errors import (
    DataError,
    FinetextError,
    ModelError,
    RecipeError,
    RunError,
    UnknownNameError,
)
from finetext.core.settings import SplitSettings
from finetext.evaluation.cascading import cascaded
from finetext.evaluation.deciding import Deciding
from finetext.methods.cascade import CascadeClassifier
from finetext.runs.accesses import accesses


@pytest.fixture(scope="module", autouse=True)
def eyes() -> Iterator[None]:
    with known_eyes():
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of METHODS. Not to be changed."""
    return large_run(tmp_path_factory.mktemp("eyes") / "run")


@pytest.fixture
def own(run: Run, tmp_path: Path) -> Run:
    """A copy of it."""
    return Run.open(shutil.copytree(run.folder, tmp_path / "run"))


def test_the_model_predicts_as_its_parts_did_in_the_run(own: Run, tmp_path: Path) -> None:
    made = finetext.cascade(own, tmp_path / "fast", max_loss=1.0, cheap="look")
    assert (made.cheap, made.expensive, made.rows) == ("look", "stare", "1,200 validation rows")
    of = made.certificate
    assert 0 < of.sent.value < 0.5
    assert (of.most_loss, of.candidates) == (0.01, 1)
    loaded = Classifier.load(made.folder, "cpu")
    assert isinstance(loaded, CascadeClassifier)
    cheap, expensive = (own.predictions(name) for name in ("look", "stare"))
    wanted = cascaded(cheap, expensive, of.threshold)
    found = loaded.predict_proba(own.texts("stare"))
    np.testing.assert_allclose(found, wanted.probabilities, atol=1e-9)
    assert made.tested is not None
    assert made.tested_sent is not None
    right = wanted.decisions == wanted.targets
    lost = (expensive.decisions == expensive.targets).mean() - right.mean()
    assert made.tested.value == pytest.approx(lost)
    assert made.tested.low <= lost <= made.tested.high
    assert loaded.routed.sent == round(made.tested_sent.value * 400)
    seconds = 1 / 5_000 + of.sent.value / 100
    assert made.times == pytest.approx(1 / 100 / seconds)
    assert made.remark == ""
    recorded = json.loads((made.folder / "finetext.json").read_text())["record"]
    assert recorded["scores"]["accuracy"]["value"] == pytest.approx(right.mean())
    assert json.dumps(made.to_json())


def test_the_fastest_of_the_cheap_methods_is_taken(own: Run, tmp_path: Path) -> None:
    said = list[str]()
    made = finetext.cascade(
        own, tmp_path / "fast", max_loss=2.0, listener=Listener(say=said.append)
    )
    assert made.certificate.candidates == 3  # tfidf, glance, look; no majority
    assert made.cheap == "look"
    assert [line.split(":")[0] for line in said] == ["tfidf", "glance", "look"]
    assert "no threshold is certified" in said[0]  # tfidf knows nothing of numbers


def test_a_look_at_test_rows_is_recorded_once(own: Run, tmp_path: Path) -> None:
    before = len(accesses(own.folder))
    for name in ("one", "other"):
        finetext.cascade(own, tmp_path / name, max_loss=1.0, cheap="look")
    assert len(accesses(own.folder)) == before + 1


def test_card_info_and_monitor_know_the_cascade(own: Run, tmp_path: Path) -> None:
    made = finetext.cascade(own, tmp_path / "fast", max_loss=1.0, cheap="look")
    card = (made.folder / "README.md").read_text()
    assert "on rows like the 1,200 validation rows that certified it" in card
    assert "Of 400 test rows it sent" in card
    assert finetext.info(made.folder).problem is None
    new = [text_of(row) for row in range(5_000, 5_200)]
    found = finetext.monitor(made.folder, new)
    assert found.reference == "400 test rows"
    assert not found.labeled
    (tmp_path / "new.txt").write_text("\n".join(new))
    said = list[str]()
    done = finetext.predict_file(
        made.folder, tmp_path / "new.txt", listener=Listener(say=said.append)
    )
    assert done.rows == 200
    assert done.base_rates is not None
    assert any("of 200 texts" in line and "on to stare" in line for line in said)


@pytest.mark.parametrize(
    ("asked", "kind", "said"),
    [
        ({"max_loss": 0.0}, RecipeError, "points above 0 and below 100, not 0"),
        ({"max_loss": 100.0}, RecipeError, "below 100"),
        ({"cheap": "stare"}, RecipeError, "must be another one, and faster than 100 rows/s"),
        ({"method": "look", "cheap": "stare"}, RecipeError, "stare cannot be the cheap method"),
        ({"method": "tfidf"}, RecipeError, "no method of the run is twice as fast as tfidf"),
        ({"cheap": "glimpse"}, UnknownNameError, "glimpse"),
        ({"max_loss": 0.05, "cheap": "look"}, DataError, "takes about .* held-out rows and there"),
        ({"max_loss": 0.05, "cheap": "look"}, DataError, r"0\.3 points would have been certified"),
        ({"max_loss": 0.3}, DataError, "method that is chosen now, .* needs others to certify it"),
        ({"max_loss": 0.4, "cheap": "tfidf"}, DataError, "most confident, it decides .* otherwise"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    run: Run, tmp_path: Path, asked: dict[str, Any], kind: type[FinetextError], said: str
) -> None:
    with pytest.raises(kind, match=said):
        finetext.cascade(run, tmp_path / "fast", **asked)
    assert not (tmp_path / "fast").exists()


def test_only_a_model_is_replaced_and_only_by_force(own: Run, tmp_path: Path) -> None:
    place = tmp_path / "fast"
    first = finetext.cascade(own, place, max_loss=1.0, cheap="look")
    with pytest.raises(FinetextError, match="--force"):
        finetext.cascade(own, place, max_loss=2.0, cheap="look")
    again = finetext.cascade(own, place, max_loss=2.0, cheap="look", force=True)
    assert again.certificate.threshold < first.certificate.threshold
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(ModelError, match="is not a finetext model"):
        finetext.cascade(own, tmp_path / "notes", max_loss=1.0, force=True)
    with pytest.raises(RecipeError, match="is inside of the run"):
        finetext.cascade(own, own.folder / "fast", max_loss=1.0)
    with pytest.raises(RunError, match="not the folder of a finished run"):
        finetext.cascade(tmp_path / "notes", tmp_path / "new")


RULES = {
    "abstains": Deciding(abstain="probability=0.9"),
    "gives prediction sets": Deciding(coverage="0.9"),
    "refuses texts out of scope": Deciding(out_of_scope=0.05),
}


@pytest.mark.parametrize("words", RULES)
def test_rules_that_no_certificate_covers_are_refused(words: str, tmp_path: Path) -> None:
    split = SplitSettings(train=40, validation=200, test=40)
    methods = {"look": Eye(1.0), "stare": Eye(0.1)}
    run = trained(tmp_path / "run", 280, methods, split=split, decide=RULES[words])
    with pytest.raises(RecipeError, match=f"the decision rule of stare {words}"):
        finetext.cascade(run, tmp_path / "fast", max_loss=20.0)


def test_thresholds_of_labels_are_those_of_the_expensive_one(tmp_path: Path) -> None:
    split = SplitSettings(train=40, validation=400, test=40)
    methods = {"look": Eye(1.0), "stare": Eye(0.4)}
    run = trained(tmp_path / "run", 480, methods, split=split, decide=Deciding(aim="f1"))
    made = finetext.cascade(run, tmp_path / "fast", max_loss=3.0, method="stare", cheap="look")
    rule = Classifier.load(made.folder, "cpu").decision
    assert rule.thresholds == run.classifier("stare").decision.thresholds
    assert rule.temperature == 1


def test_groups_count_as_one_each(tmp_path: Path) -> None:
    split = SplitSettings(train=100, validation=1_200, test=400)
    run = trained(tmp_path / "run", 1_700, group="group", split=split, refit=False)
    with pytest.raises(DataError, match="held-out groups and there are 300"):
        finetext.cascade(run, tmp_path / "fast", max_loss=1.0, cheap="look")
    made = finetext.cascade(run, tmp_path / "fast", max_loss=3.0, cheap="look")
    assert made.certificate.grouped
    assert made.certificate.units == 300
    assert "in 300 groups, which count the same each" in (made.folder / "README.md").read_text()


def test_models_that_learned_from_the_rows_are_named(tmp_path: Path) -> None:
    split = SplitSettings(train=100, validation=400, test=60)
    methods = {"look": Eye(1.0), "stare": Eye(0.1)}
    run = trained(tmp_path / "run", 560, methods, split=split)
    made = finetext.cascade(run, tmp_path / "fast", max_loss=3.0, cheap="look")
    assert made.remark.startswith("look and stare learned from the validation rows afterward")
    assert "Look and stare learned from" in (made.folder / "README.md").read_text()


@pytest.mark.usefixtures("few_folds")
def test_out_of_fold_rows_certify_a_cross_validated_run(tmp_path: Path) -> None:
    methods = {"look": Eye(1.2), "stare": Eye(0.1)}
    split = SplitSettings(cross_validate=True)
    run = trained(tmp_path / "run", 700, methods, split=split)
    made = finetext.cascade(run, tmp_path / "fast", max_loss=2.0, cheap="look")
    assert made.rows == "700 cross-validated rows"
    assert made.tested is None
    assert not accesses(run.folder)
    assert made.remark.startswith("the rows were predicted by look and stare of the folds")
    record = json.loads((made.folder / "finetext.json").read_text())["record"]
    stare, look = (run.entry(name).metrics["test"]["accuracy"].value for name in ("stare", "look"))
    assert look < record["scores"]["accuracy"]["value"] <= stare
    assert record["keeps_rows"]
