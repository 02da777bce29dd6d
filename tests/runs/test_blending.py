"""Runs with a blend: what it is made of, when it is left out, and that it is decided once."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import finetext
from finetext import Blend, Listener, Recipe, Run
from finetext.core import registry
from finetext.core.arrays import Floats, probabilities_of
from finetext.core.contracts import Classifier, FitContext, Method
from finetext.core.decision import AS_LIKELY, Decision
from finetext.core.errors import DataError, RecipeError
from finetext.core.settings import SplitSettings
from finetext.core.types import Dataset, LabelScheme
from finetext.methods.blend import BlendClassifier
from finetext.runs.predictions import stored_folds

ROWS = 400
SILENT = Listener()


@dataclass(frozen=True, eq=False)
class OwlClassifier(Classifier):
    """Sees the class, which is odd or even, through noise that its seed and the text make."""

    kind: ClassVar[str] = "owl"
    scheme: LabelScheme
    decision: Decision
    seed: int
    scale: float = 1.0

    def predict_proba(self, texts: Any) -> Floats:
        rows = np.zeros((len(texts), len(self.scheme)))
        for row, text in zip(rows, texts, strict=True):
            number = int(str(text).split()[0])
            row[number % 2] = 1.5
            row += np.random.default_rng([self.seed, number]).normal(0, 1.5, len(row))
        return probabilities_of(rows * self.scale, False)

    def with_temperature(self, temperature: float) -> OwlClassifier:
        return replace(self, scale=self.scale / temperature)

    def save_weights(self, folder: Path) -> None:
        (folder / "owl.json").write_text(json.dumps([self.seed, self.scale]))

    @classmethod
    def load_weights(
        cls, folder: Path, scheme: LabelScheme, decision: Decision, device: str
    ) -> OwlClassifier:
        return cls(scheme, decision, *json.loads((folder / "owl.json").read_text()))


@dataclass(frozen=True)
class Owl(Method):
    """Fits nothing."""

    name: ClassVar[str] = "owl"
    needs_validation: ClassVar[bool] = False
    eyes: int = 0
    encoder: str | None = None
    scale: float = 1.0

    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> OwlClassifier:
        assert train.scheme is not None
        seed = 100 * self.eyes + context.seed
        return OwlClassifier(train.scheme, AS_LIKELY, seed, self.scale)


@pytest.fixture(autouse=True)
def owls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.table("methods"), "owl", f"{__name__}:Owl")
    monkeypatch.setitem(registry.table("classifiers"), "owl", f"{__name__}:OwlClassifier")


TWO = {"first": Owl(1), "second": Owl(2)}
PRETRAINED = {"first": Owl(1, "minilm"), "second": Owl(2, "minilm"), "own": Owl(3, "random:tiny")}
ALIKE = {"first": Owl(1), "second": Owl(1)}


def texts_of(rows: int) -> list[str]:
    """Texts with their number and a word that says nothing of the class."""
    return [f"{row} {('moon', 'tree', 'hill')[row % 3]}" for row in range(rows)]


def trained(out: Path, methods: dict[str, Method], **more: Any) -> Run:
    resume, listener = more.pop("resume", False), more.pop("listener", SILENT)
    source = out.parent / "data.csv"
    texts = texts_of(more.pop("rows", ROWS))
    lines = [f"{text},{'ab'[row % 2]}" for row, text in enumerate(texts)]
    source.write_text("\n".join(["text,label", *lines]), encoding="utf-8")
    recipe = Recipe(source=str(source), methods=methods, metric="accuracy", **more)
    return finetext.train(recipe, out=out, resume=resume, listener=listener)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.table("methods"), "owl", f"{__name__}:Owl")
        patch.setitem(registry.table("classifiers"), "owl", f"{__name__}:OwlClassifier")
        out = tmp_path_factory.mktemp("blended") / "run"
        split = SplitSettings(train=100, validation=150, test=150)
        return trained(out, {"blend": Blend(), **TWO}, split=split)


def test_it_is_last_whatever_the_order(run: Run) -> None:
    assert [of.method for of in run.leaderboard] == [
        "majority", "tfidf", "first", "second", "blend",
    ]  # fmt: skip
    assert run.best == "blend"
    assert not run.unfinished


def test_members_without_weight_are_dropped_and_majority_is_none(run: Run) -> None:
    members = finetext.info(run.folder / "blend" / "model").described["provenance"]["members"]
    assert set(members) == {"first", "second"}


def test_its_model_predicts_what_the_run_kept(run: Run) -> None:
    kept, model = run.predictions("blend"), run.classifier("blend")
    found = model.predict_proba(run.texts("blend"))
    np.testing.assert_allclose(found, kept.probabilities, atol=1e-9)
    assert model.decision == kept.decision


def test_predictions_of_validation_rows_come_from_other_weights(run: Run) -> None:
    kept = run.predictions("blend", "validation")
    own = run.classifier("blend").predict_proba(run.texts("blend", "validation"))
    assert np.abs(own - kept.probabilities).max() > 1e-6
    np.testing.assert_allclose(own, kept.probabilities, atol=0.1)


def test_its_cost_is_that_of_its_members_and_its_own(run: Run) -> None:
    seconds = {of.method: of.seconds_to_train for of in run.leaderboard}
    assert seconds["blend"] > seconds["first"] + seconds["second"]
    entry = run.entry("blend")
    assert entry.rows_per_second > 0
    assert entry.bytes > run.entry("first").bytes


def test_the_gain_is_a_note(run: Run) -> None:
    [found] = [of for of in run.findings if of.code == "blend"]
    assert found.severity == "note"
    assert "in accuracy and" in found.message
    assert "150 validation rows" in found.message


def test_a_run_without_gain_has_none_and_says_why(tmp_path: Path) -> None:
    said = list[str]()
    run = trained(tmp_path / "run", {**ALIKE, "blend": Blend()}, listener=Listener(say=said.append))
    assert "blend" not in [of.method for of in run.leaderboard]
    assert not run.unfinished
    [found] = [of for of in run.findings if of.code == "blend-left-out"]
    assert found.severity == "note"
    assert found.message == "blend: left out, as all weight is on first"
    assert found.message in said
    assert not (run.folder / "blend" / "model").exists()
    assert found in Run.open(run.folder).findings
    assert "left out" in run.report.read_text()


def test_what_was_decided_is_not_decided_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(tmp_path / "run", {**ALIKE, "blend": Blend()})
    (run.folder / "verdict.json").unlink()
    monkeypatch.setattr("finetext.runs.blending.gain_of", None)
    said = list[str]()
    again = trained(
        tmp_path / "run", {**ALIKE, "blend": Blend()}, resume=True,
        listener=Listener(say=said.append),
    )  # fmt: skip
    assert "blend was left out before" in said
    assert [of.code for of in again.findings].count("blend-left-out") == 1
    assert again.leaderboard == run.leaderboard


def test_a_finished_blend_is_kept(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run.folder.parent, tmp_path / "copy")
    (tmp_path / "copy" / "run" / "verdict.json").unlink()
    monkeypatch.setattr("finetext.runs.blending.gain_of", None)
    split = SplitSettings(train=100, validation=150, test=150)
    again = trained(tmp_path / "copy" / "run", {"blend": Blend(), **TWO}, split=split, resume=True)
    assert again.leaderboard == run.leaderboard


def test_it_can_be_kept_without_a_gain(tmp_path: Path) -> None:
    few = SplitSettings(train=100, validation=20, test=20)
    run = trained(tmp_path / "run", {**TWO, "blend": Blend(0.1, always=True)}, rows=140, split=few)
    assert "blend" in [of.method for of in run.leaderboard]


def test_a_blend_of_one_member_is_none_even_if_asked_for(tmp_path: Path) -> None:
    methods = {"first": Owl(1), "blend": Blend(always=True)}
    run = trained(tmp_path / "run", methods)  # the numbers say nothing to tfidf
    [found] = [of for of in run.findings if of.code == "blend-left-out"]
    assert "left out, as all weight is on first" in found.message


def test_every_seed_blends_members_of_that_seed(tmp_path: Path) -> None:
    split = SplitSettings(train=100, validation=150, test=150)
    run = trained(tmp_path / "run", {**TWO, "blend": Blend()}, split=split, seeds=2)
    entry = run.entry("blend")
    assert [of.seed for of in entry.seeds] == [0, 1]
    assert entry.seeds[0].metrics["test"]["accuracy"] == entry.metrics["test"]["accuracy"].value
    accuracies = {of.method: of.seeds[1].metrics["test"]["accuracy"] for of in run.leaderboard}
    assert accuracies["blend"] > max(accuracies["first"], accuracies["second"]) - 0.03
    assert (run.folder / "blend" / "seed-1" / "predictions.parquet").is_file()
    assert not run.unfinished


def test_in_a_cross_validated_run_its_scores_are_out_of_fold(
    few_folds: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folded = SplitSettings(cross_validate=True)
    run = trained(tmp_path / "run", {**TWO, "blend": Blend()}, split=folded)
    assert "blend" in [of.method for of in run.leaderboard]
    folds = stored_folds(run.folder / "blend")
    members = {name: stored_folds(run.folder / name) for name in ("first", "second")}
    assert folds is not None
    assert len(folds.repeats) == 2
    for one in members.values():
        assert one is not None
        assert folds.same_folds(one)
    assert len(run.predictions("blend")) == ROWS
    (run.folder / "verdict.json").unlink()
    monkeypatch.setattr("finetext.runs.blending.gain_of_folds", None)
    again = trained(tmp_path / "run", {**TWO, "blend": Blend()}, split=folded, resume=True)
    assert again.leaderboard == run.leaderboard


@pytest.mark.parametrize("seeds", [1, 2])
def test_where_few_rows_tell_which_is_best_pretrained_ones_count_the_same(
    tmp_path: Path, seeds: int
) -> None:
    split = SplitSettings(train=100, validation=20, test=150)
    methods = {**PRETRAINED, "blend": Blend()}
    run = trained(tmp_path / "run", methods, split=split, seeds=seeds)
    members = finetext.info(run.folder / "blend" / "model").described["provenance"]["members"]
    assert members["first"]["weight"] == pytest.approx(members["second"]["weight"], rel=0.5)
    assert run.best == "blend"
    assert run.choice is not None
    assert run.choice.is_hedge
    [found] = [of for of in run.findings if of.code == "blend-hedge"]
    assert found.message.endswith("taken as fewer than 50 rows tell little of which is best")
    assert Run.open(run.folder).best == "blend"
    for seed in run.entry("blend").seeds:
        assert seed.metrics["test"]["accuracy"] > 0.7
    (run.folder / "verdict.json").unlink()
    again = trained(tmp_path / "run", methods, split=split, seeds=seeds, resume=True)
    assert again.best == "blend"


def test_it_is_left_out_where_few_rows_show_that_it_is_worse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetext.evaluation.blending.Gain.is_loss", True)
    split = SplitSettings(train=100, validation=45, test=150)
    run = trained(tmp_path / "run", {**PRETRAINED, "blend": Blend()}, split=split)
    [found] = [of for of in run.findings if of.code == "blend-left-out"]
    assert "left out, as it is shown to be worse than " in found.message
    assert run.best in PRETRAINED
    assert run.choice is not None
    assert not run.choice.is_hedge


def test_few_rows_of_a_cross_validated_run_make_the_same_blend(
    few_folds: None, tmp_path: Path
) -> None:
    folded = SplitSettings(cross_validate=True)
    methods = {**PRETRAINED, "blend": Blend()}
    run = trained(tmp_path / "run", methods, split=folded, rows=45)
    members = finetext.info(run.folder / "blend" / "model").described["provenance"]["members"]
    assert {"first", "second"} <= set(members)
    assert run.best == "blend"
    assert run.choice is not None
    assert run.choice.is_hedge


def test_of_methods_with_the_same_score_the_likelier_one_is_the_best(tmp_path: Path) -> None:
    split = SplitSettings(train=100, validation=150, test=150)
    methods = {"unsure": Owl(1, scale=1e-3), "sure": Owl(1, scale=1e-2)}
    run = trained(tmp_path / "run", methods, split=split)
    unsure, sure = (run.entry(name).metrics["validation"] for name in methods)
    assert unsure["accuracy"] == sure["accuracy"]
    assert run.best == "sure"


def test_it_needs_two_members(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="there is only tfidf; add another method"):
        trained(tmp_path / "run", {"blend": Blend()})
    assert not (tmp_path / "run").exists()


def test_a_stopped_run_can_be_resumed_to_the_blend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*given: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("finetext.runs.blending.gain_of", stop)
        with pytest.raises(KeyboardInterrupt, match="blend was stopped"):
            trained(tmp_path / "run", {**TWO, "blend": Blend()})
    assert Run.open(tmp_path / "run").unfinished == ("blend",)
    run = trained(tmp_path / "run", {**TWO, "blend": Blend()}, resume=True)
    assert "blend" in [of.method for of in run.leaderboard]


def test_plan_takes_no_time_for_it(topics: Dataset) -> None:
    quick = finetext.Tfidf(longest_ngram=1, inverse_regularisation=1.0)
    methods = {"tfidf": quick, "other": replace(quick, longest_ngram=2), "blend": Blend()}
    plan = finetext.plan(topics, methods, listener=SILENT)
    assert plan.methods[-1].method == "blend"
    assert plan.methods[-1].seconds == 0


def test_learning_curve_leaves_it_out(tmp_path: Path, topics: Dataset) -> None:
    said = list[str]()
    quick = finetext.Tfidf(longest_ngram=1, inverse_regularisation=1.0)
    settings = finetext.CurveSettings((6, 12), trainings=1)
    curve = finetext.learning_curve(
        topics, {"tfidf": quick, "blend": Blend()}, settings=settings, out=tmp_path / "curve",
        listener=Listener(say=said.append),
    )  # fmt: skip
    assert "blend" not in str(curve.to_json())
    assert any("blend is left out of the curve" in line for line in said)


def test_label_errors_are_not_found_with_it(topics: Dataset) -> None:
    with pytest.raises(RecipeError, match="blend combines other methods"):
        finetext.find_label_errors(topics, "blend", listener=SILENT)


def chosen_by(monkeypatch: pytest.MonkeyPatch, methods: dict[str, Method]) -> None:
    """Let `fit` combine these methods."""
    monkeypatch.setattr("finetext.runs.default_methods.ladder", _with(methods))


def _with(methods: dict[str, Method]) -> Callable[..., dict[str, Method]]:
    from finetext.runs.recipe import LADDER, ladder

    return lambda given: methods if given is LADDER else ladder(given)


@pytest.mark.parametrize(("methods", "kind"), [(TWO, "blend"), (ALIKE, "owl")])
def test_fit_combines_or_takes_the_best(
    monkeypatch: pytest.MonkeyPatch, methods: dict[str, Method], kind: str
) -> None:
    chosen_by(monkeypatch, methods)
    found = list[str]()
    texts = texts_of(2_000)
    listener = Listener(finding=lambda of: found.append(of.code))
    classifier = finetext.fit(texts, ["a", "b"] * 1_000, "blend", listener=listener)
    assert classifier.kind == kind
    assert ("blend-left-out" in found) == (kind == "owl")


def test_fit_takes_the_blend_of_pretrained_methods_where_few_rows_choose(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen_by(monkeypatch, dict(PRETRAINED))
    classifier = finetext.fit(texts_of(200), ["a", "b"] * 100, "blend", listener=SILENT)
    assert isinstance(classifier, BlendClassifier)
    assert {"first", "second"} <= {part.name for part in classifier.parts}


def test_what_is_saved_has_the_weights_that_were_tested(tmp_path: Path) -> None:
    split = SplitSettings(train=100, validation=45, test=150)
    methods = {"first": Owl(1, "minilm", 0.4), "second": Owl(2, "minilm", 5.0), "own": Owl(3)}
    run = trained(tmp_path / "run", {**methods, "blend": Blend(prior_rows=0.1)}, split=split)
    [found] = [of for of in run.findings if of.code in ("blend", "blend-hedge")]
    members = finetext.info(run.folder / "blend" / "model").described["provenance"]["members"]
    said = dict(re.findall(r"(\w+) (\d+\.\d\d)[,;]", found.message))
    assert said.keys() == members.keys()
    ratios = [members[name]["weight"] / float(weight) for name, weight in said.items()]
    assert ratios == pytest.approx([ratios[0]] * len(ratios), rel=0.1)  # a temperature divides all


def test_fit_needs_held_out_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen_by(monkeypatch, TWO)
    with pytest.raises(DataError, match="none are held out"):
        finetext.fit(["1 moon", "2 tree"], ["a", "b"], "blend", listener=SILENT)
