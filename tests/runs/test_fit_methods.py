"""Fitting the methods of a run: names in messages, and what models learn from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import finetext
from finetext.core import registry
from finetext.core.contracts import Classifier, FitContext, Listener
from finetext.core.decision import CrossFitted
from finetext.core.types import Dataset, Finding
from finetext.evaluation.calibration import fit_temperature
from finetext.evaluation.deciding import Deciding, choose_decision
from finetext.methods.majority import Majority
from finetext.runs import cross_validation, stored_folds
from finetext.runs.cross_validation import FoldPlan
from finetext.runs.recipe import Recipe
from finetext.runs.run import Run


@dataclass(frozen=True)
class Talking(Majority):
    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> Classifier:
        context.say("majority: counts the majority: done")
        context.say("3 majority: rows")
        context.find(Finding("warning", "few", "majority: too few rows"))
        return super().fit(train, validation, context)


def test_messages_have_the_name_of_the_method_in_the_run(workplace: Path, reviews: Path) -> None:
    said: list[str] = []
    found: list[Finding] = []
    listener = Listener(say=said.append, finding=found.append)
    finetext.train(reviews, {"often": Talking()}, out="run", listener=listener)
    assert {"often: counts the majority: done", "3 majority: rows"} <= set(said)
    assert "often: too few rows" in [one.message for one in found]
    assert [one.message for one in Run.open("run").findings] == ["often: too few rows"]


@dataclass(frozen=True)
class Counting(Majority):
    """Says how many validation rows it is given."""

    name: ClassVar[str] = "counting"

    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> Classifier:
        context.say(f"counting: {len(validation)} validation rows")
        return super().fit(train, validation, context)


@pytest.mark.parametrize(("validation", "given"), [(300, 150), (200, 200)])
def test_a_decision_rule_has_validation_rows_of_its_own_and_says_what_it_assures(
    workplace: Path, validation: int, given: int
) -> None:
    rows = [{"text": f"text number {n}", "label": "ab"[n % 5 == 0]} for n in range(500)]
    Path("rows.csv").write_text(
        "text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in rows)
    )
    sizes = finetext.SplitSettings(train=100, validation=validation, test=100, keep_duplicates=True)
    decide = Deciding(abstain="coverage=0.9" if validation == 300 else "accuracy=0.95")
    heard: list[str] = []
    run = finetext.train(
        Recipe(source="rows.csv", split=sizes, methods={"counting": Counting()}, decide=decide),
        out="run",
        listener=Listener(say=heard.append),
    )
    assert any(line.startswith(f"counting: {given} validation rows") for line in heard)
    decision = run.classifier("counting").decision
    assert decision.assured == (validation == 300,)
    assert decision.least is not None
    said = f"counting: the target of the decision rule is {decision.assurance}"
    assert said in heard
    card = (run.folder / "counting" / "model" / "README.md").read_text()
    assert f"The target is {decision.assurance}." in card
    assert len(run.predictions("counting", "validation")) == validation


FOLDED = finetext.SplitSettings(cross_validate=True)
TFIDF = finetext.Tfidf(longest_ngram=1, inverse_regularisation=10.0)


@dataclass(frozen=True)
class Choosing(Majority):
    """Majority that asks for validation rows."""

    name: ClassVar[str] = "choosing"
    needs_validation: ClassVar[bool] = True


@pytest.fixture
def choosing(monkeypatch: pytest.MonkeyPatch) -> Choosing:
    monkeypatch.setitem(registry.table("methods"), "choosing", f"{__name__}:Choosing")
    return Choosing()


@pytest.fixture
def run(few_folds: None, topics: Dataset, tmp_path: Path) -> Run:
    return folded(topics, tmp_path / "run")


def folded(data: Any, out: Path, methods: Any = (TFIDF,), **more: Any) -> Run:
    more = {"split": FOLDED, "listener": Listener()} | more
    return finetext.train(data, list(methods), out=out, **more)


def test_the_final_model_has_learned_from_all_rows(run: Run, topics: Dataset) -> None:
    entry = Run.open(run.folder).entry("tfidf")
    assert (entry.learned_from, entry.chosen_on) == (len(topics), 0)
    assert run.rows("tfidf", "train").texts == topics.texts
    classifier: Any = run.classifier("tfidf")
    whole = TFIDF.fit(topics, topics.select([]), FitContext())
    scaled = whole.with_temperature(classifier.decision.temperature)
    np.testing.assert_allclose(classifier.predict_proba(topics.texts),
                               scaled.predict_proba(topics.texts))  # fmt: skip


def test_only_a_method_that_needs_validation_rows_gets_some(
    few_folds: None, choosing: Choosing, topics: Dataset, tmp_path: Path
) -> None:
    run = folded(topics, tmp_path / "run", [TFIDF, choosing])
    for name, chosen_on in (("tfidf", 0), ("majority", 0), ("choosing", 4)):
        entry = run.entry(name)
        assert (entry.learned_from, entry.chosen_on) == (len(topics) - chosen_on, chosen_on), name
        assert len(run.rows(name, "train")) == entry.learned_from
        record = json.loads((run.folder / entry.model / "finetext.json").read_text())["record"]
        assert record["learned_from"] == entry.learned_from
        assert sum(record["data"]["labels"].values()) == entry.learned_from
    card = (run.folder / "choosing" / "model" / "README.md").read_text("utf-8")
    assert "- It learned from 23 of 27 rows; 4 chose the checkpoint." in card
    card = (run.folder / "tfidf" / "model" / "README.md").read_text("utf-8")
    assert "- It learned from all 27 rows." in card
    assert run.report.read_text("utf-8").count("learned from all 27 rows") >= 1
    assert run.summary().words()[-1] == "The model learned from all 27 texts."


def test_validation_rows_are_all_rows_by_models_that_did_not_see_them(
    run: Run, topics: Dataset
) -> None:
    found, whole = run.predictions("tfidf", "validation"), run.predictions("tfidf", "test")
    assert found.ids == whole.ids == tuple(topics.ids)
    np.testing.assert_array_equal(found.probabilities, whole.probabilities)
    assert run.texts("tfidf", "validation") == topics.texts
    seen = run.classifier("tfidf").predict_proba(topics.texts)
    assert np.abs(found.probabilities - seen).max() > 0.05
    record = json.loads((run.folder / "tfidf/model/finetext.json").read_text())["record"]
    assert record["validation_scores"] == {}
    assert record["base_rates"]["means"] == pytest.approx(found.probabilities.mean(axis=0))


def test_temperature_and_decision_come_from_out_of_fold_predictions(
    few_folds: None, mixed_topics: Dataset, tmp_path: Path
) -> None:
    run = folded(mixed_topics, tmp_path / "run")
    classifier, found = run.classifier("tfidf"), run.predictions("tfidf")
    assert isinstance(found.decision, CrossFitted)
    assert classifier.decision == found.decision.shipped
    assert found.decision.thresholds is not None
    plan = FoldPlan.of(mixed_topics, FOLDED, 0)
    folds = stored_folds.read_repeats(TFIDF, plan, run.folder / "tfidf" / "folds")
    assert folds is not None
    for number, (held, fold) in enumerate(zip(plan.held[0], folds.repeats[0], strict=True)):
        np.testing.assert_array_equal(found.select(held).decisions, fold.decisions)
        np.testing.assert_array_equal(found.select(held).probabilities, fold.probabilities)
        assert found.decision.rules[number] == fold.decision
        others = [of for at, of in enumerate(folds.repeats[0]) if at != number]
        raw = cross_validation.out_of_fold(others)
        assert fold.decision.temperature == pytest.approx(fit_temperature(raw))


def test_a_rule_is_not_scored_on_the_rows_that_it_was_chosen_on(
    few_folds: None, run: Run, topics: Dataset, tmp_path: Path
) -> None:
    path, rows = tmp_path / "data.csv", zip(topics.texts, topics.labels, strict=True)
    path.write_text("\n".join(["text,label", *(f'"{text}",{label}' for text, label in rows)]))
    deciding = finetext.train(
        finetext.Recipe(
            source=str(path),
            methods={"tfidf": TFIDF},
            split=FOLDED,
            decide=Deciding(abstain="coverage=0.8"),
        ),
        out=tmp_path / "decides",
        listener=Listener(),
    )
    found = Run.open(deciding.folder).predictions("tfidf")
    assert isinstance(found.decision, CrossFitted)
    fold = np.array(found.decision.fold)
    for number, rule in enumerate(found.decision.rules):
        mine, others = found.select(fold == number), found.select(fold != number)
        again = choose_decision(others, Deciding(abstain="coverage=0.8"))
        assert rule.least is not None
        np.testing.assert_array_equal(mine.abstained, rule.abstains(mine.probabilities))
        assert again.aim == rule.aim == "abstain coverage=0.8"
    card = (deciding.folder / "tfidf" / "model" / "README.md").read_text("utf-8")
    assert "Each row was decided by a rule that was chosen without it." in card


def test_commands_read_predictions_by_models_that_did_not_see_the_rows(
    run: Run, topics: Dataset, command: Any
) -> None:
    shown = command("decide", run.folder, "--abstain", "coverage=0.8", "--out", "new")
    assert "27 cross-validated rows, each decided by a rule that was chosen without" in shown.out
    for name in ("errors", "slices", "confusion"):
        assert "27 cross-validated rows" in command(name, run.folder).out or name == "slices"
    assert (run.folder / "diagnosis" / "errors.json").is_file()
    found = json.loads(command("map", run.folder, "--json").out)
    names = run.predictions("tfidf").scheme.decode(run.predictions("tfidf").decisions)
    assert found["predictions"] == names
    assert found["split"] is None
    told = command("info", run.folder).out
    assert "learned from all 27 rows" in told
    assert "which the original learned from" not in told


def test_an_export_is_not_scored_on_rows_that_the_model_learned_from(
    few_folds: None, topics: Dataset, tiny_encoder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("finetext.runs.refit.MOST_ROWS", 0)
    probe = finetext.Probe(encoder=str(tiny_encoder), inverse_regularisation=1.0)
    tuned = finetext.Finetune(encoder=str(tiny_encoder), epochs=1)
    run = folded(topics, tmp_path / "run", [probe, tuned])
    found = finetext.export(run.folder / "probe", "static")
    assert found.compared is not None
    assert found.compared.scores == {}
    assert found.compared.where == "rows of the run, which the original learned from"
    found = finetext.export(run.folder / "finetune", "static")
    assert found.compared is not None
    assert found.compared.where == "validation rows of the run"
    assert found.compared.rows == run.entry("finetune").chosen_on
    assert "accuracy" in found.compared.scores
