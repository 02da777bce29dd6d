"""Methods are fitted again on training and validation rows, once these have chosen."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import finetext
from finetext import Finetune, Listener, Probe, Recipe, Run, SplitSettings, Tfidf
from finetext.core import registry
from finetext.core.contracts import Classifier, FitContext
from finetext.core.decision import AS_LIKELY
from finetext.core.errors import ModelError, RecipeError
from finetext.core.types import Dataset
from finetext.evaluation.calibration import calibrated
from finetext.evaluation.deciding import Deciding
from finetext.methods.majority import Majority, MajorityClassifier
from finetext.models.folder import provenance
from finetext.runs import refit
from finetext.runs.stored_splits import stored_splits

QUICK = Tfidf(longest_ngram=1, inverse_regularisation=10.0)
LATER = ("refit", "truncation")
TOLD = "learned from all 51 training and validation rows"


def trained(
    source: Any,
    out: Path,
    method: Any,
    listener: Listener | None = None,
    resume: bool = False,
    **more: Any,
) -> Run:
    recipe = Recipe(source=str(source), methods={method.name: method}, device="cpu", **more)
    return finetext.train(recipe, out=out, resume=resume, listener=listener or Listener())


@pytest.fixture(scope="module")
def tuning(tiny_encoder: Path) -> Finetune:
    return Finetune(
        encoder=str(tiny_encoder), epochs=3, batch_size=8, max_length=16, learning_rate=3e-3
    )


@pytest.fixture(scope="module")
def tuned(reviews: Path, tuning: Finetune, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with a fine-tuned encoder. Not to be changed."""
    return trained(reviews, tmp_path_factory.mktemp("runs") / "tuned", tuning)


def test_the_model_has_learned_from_all_rows(reviews: Path, tmp_path: Path) -> None:
    run = trained(reviews, tmp_path / "run", QUICK)
    splits, entry = stored_splits(run.folder), Run.open(run.folder).entry("tfidf")
    assert (entry.learned_from, entry.chosen_on) == (51, 0)
    rows = run.rows("tfidf", "train")
    assert rows.texts == [*splits.train.texts, *splits.validation.texts]
    model = run.classifier("tfidf")
    whole = QUICK.fit(rows, rows.select([]), FitContext())
    whole = whole.with_temperature(model.decision.temperature)
    np.testing.assert_allclose(
        model.predict_proba(splits.test.texts), whole.predict_proba(splits.test.texts)
    )
    np.testing.assert_allclose(
        model.predict_proba(splits.test.texts), run.predictions("tfidf").probabilities
    )


def test_validation_rows_are_predicted_by_the_model_that_did_not_know_them(
    reviews: Path, tmp_path: Path
) -> None:
    run = trained(reviews, tmp_path / "run", QUICK)
    splits, kept = stored_splits(run.folder), run.predictions("tfidf", "validation")
    before = QUICK.fit(splits.train, splits.validation, FitContext())
    scaled, expected = calibrated(before, splits.validation)
    np.testing.assert_allclose(kept.probabilities, expected.probabilities)
    assert run.classifier("tfidf").decision == scaled.decision
    seen = run.classifier("tfidf").predict_proba(splits.validation.texts)
    assert np.abs(seen - kept.probabilities).max() > 1e-3


def test_fine_tuning_ends_where_the_best_checkpoint_was(
    reviews: Path, tuning: Finetune, tuned: Run, tmp_path: Path
) -> None:
    once = trained(reviews, tmp_path / "once", tuning, refit=False)
    assert (once.entry("finetune").learned_from, once.entry("finetune").chosen_on) == (42, 9)
    assert (tuned.entry("finetune").learned_from, tuned.entry("finetune").chosen_on) == (51, 0)
    before, after = (of.predictions("finetune", "validation") for of in (once, tuned))
    np.testing.assert_array_equal(before.probabilities, after.probabilities)
    one, other = (of.classifier("finetune", "cpu") for of in (once, tuned))
    assert one.decision == other.decision
    done, again = (
        provenance(of.folder / "finetune" / "model")["trained_with"] for of in (once, tuned)
    )
    assert (done["steps"], again["steps"]) == (18, round(21 * done["step"] / 18))
    assert again["step"] == again["steps"]
    test = tuned.predictions("finetune")
    assert np.abs(test.probabilities - once.predictions("finetune").probabilities).max() > 1e-4


def test_everything_says_what_the_model_learned_from(tuned: Run, command: Any) -> None:
    folder = tuned.folder / "finetune" / "model"
    record = json.loads((folder / "finetext.json").read_text("utf-8"))["record"]
    assert (record["learned_from"], record["chosen_on"]) == (51, 0)
    assert sum(record["data"]["labels"].values()) == 51
    assert f"- It {TOLD}; the latter chose" in (folder / "README.md").read_text("utf-8")
    assert TOLD in command("info", folder).out
    shown = " ".join(command("show", tuned.folder).out.split())
    assert f"finetune {TOLD}; their validation scores are of models that had not seen" in shown
    page = tuned.report.read_text("utf-8")
    assert TOLD in page
    assert "fitted on 51 texts" in page


def test_evaluate_warns_of_validation_rows_too(tuned: Run, command: Any, tmp_path: Path) -> None:
    rows = stored_splits(tuned.folder).validation
    table = tmp_path / "validation.csv"
    lines = (f'"{text}",{label}' for text, label in zip(rows.texts, rows.labels, strict=True))
    table.write_text("\n".join(["text,label", *lines]))
    seen = command("evaluate", tuned.folder / "finetune" / "model", table)
    assert f"the model {TOLD}" in seen.err
    assert "9 of 9 texts are training rows" in seen.err


def test_maps_show_the_predictions_of_the_model_that_did_not_know_the_rows(
    tuned: Run, command: Any, tmp_path: Path
) -> None:
    pytest.importorskip("umap")
    found = json.loads(command("map", tuned.folder, "--out", tmp_path / "map", "--json").out)
    kept = tuned.predictions("finetune", "validation")
    if tuned.best == "finetune":
        assert found["predictions"] == kept.scheme.decode(kept.decisions)
    assert found["split"] == "validation"


def test_an_export_is_not_scored_on_rows_that_the_model_knows(
    reviews: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    probe = Probe(encoder=str(tiny_encoder), inverse_regularisation=1.0)
    run = trained(reviews, tmp_path / "run", probe)
    found = finetext.export(run.folder / "probe", "static")
    assert found.compared is not None
    assert found.compared.where == "validation rows of the run, which the original learned from"
    assert (found.compared.rows, found.compared.scores) == (9, {})
    assert found.classifier.provenance()["training_rows"] == 42
    apart = trained(reviews, tmp_path / "apart", probe, refit=False)
    other = finetext.export(apart.folder / "probe", "static")
    assert other.compared is not None
    assert other.compared.where == "validation rows of the run"
    assert "accuracy" in other.compared.scores


@dataclass(frozen=True)
class Fragile(Majority):
    """Majority that trains in steps, and fails or learns nothing the second time."""

    name: ClassVar[str] = "fragile"
    needs_validation: ClassVar[bool] = True
    trains_in_steps: ClassVar[bool] = True
    fails: bool = False

    def fit(self, train: Dataset, validation: Dataset, context: FitContext) -> MajorityClassifier:
        assert train.scheme is not None
        return MajorityClassifier(train.scheme, AS_LIKELY, np.array([0.2, 0.8]))

    def refit(self, rows: Dataset, fitted: Classifier, context: FitContext) -> Classifier:
        if self.fails:
            raise ModelError("training diverged")
        return MajorityClassifier(fitted.scheme, AS_LIKELY, np.array([0.8, 0.2]))


@pytest.mark.parametrize(
    ("fails", "reason"),
    [(True, "failed: training diverged"), (False, r"failed, with .* \d\.\d+ on validation rows")],
)
def test_a_second_fit_that_fails_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool, reason: str
) -> None:
    monkeypatch.setitem(registry.table("methods"), "fragile", f"{__name__}:Fragile")
    rows = tmp_path / "rows.csv"
    lines = [f"the text of number {n} on {'wool' if n % 3 else 'fish'},{'yes' if n % 3 else 'no'}"
             for n in range(60)]  # fmt: skip
    rows.write_text("\n".join(["text,label", *lines]))
    run = trained(rows, tmp_path / "run", Fragile(fails=fails), metric="accuracy")
    [finding] = (of for of in run.findings if of.code == "training")
    assert finding.severity == "warning"
    pattern = rf"^fragile: training on all rows {reason}.*; the model of the training rows alone is"
    assert run.classifier("fragile").predict_proba(["a text"])[0, 1] > 0.5
    assert re.search(pattern, finding.message)
    assert run.entry("fragile").chosen_on == 9


def test_a_run_stopped_in_the_second_fit_is_resumed_to_the_same_model(
    reviews: Path, tuning: Finetune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from finetext.training import loop

    real, done = loop.make_step, list[str]()

    def stopping(training: Any, *given: Any) -> Any:
        done.append(training.plan.name)
        if len(done) == 18 + 2:  # of the second fit
            raise KeyboardInterrupt
        return real(training, *given)

    monkeypatch.setattr(loop, "make_step", stopping)
    recipe = Recipe(
        source=str(reviews), methods={"finetune": tuning}, device="cpu", checkpoint_steps=1
    )
    with pytest.raises(KeyboardInterrupt):
        finetext.train(recipe, out=tmp_path / "run", listener=Listener())
    assert (tmp_path / "run" / "finetune" / "checkpoint" / "again").is_dir()
    run = finetext.train(recipe, out=tmp_path / "run", resume=True, listener=Listener())
    # The first training of a process differs from later ones in the last bits of sums.
    whole = finetext.train(recipe, out=tmp_path / "whole", listener=Listener())
    weights = [
        (of.folder / "finetune" / "model" / "model.safetensors").read_bytes() for of in (run, whole)
    ]
    assert weights[0] == weights[1]
    assert not (run.folder / "finetune" / "checkpoint").exists()


def test_the_final_model_of_a_cross_validated_run_learns_from_all_rows(
    few_folds: None, reviews: Path, tuning: Finetune, tmp_path: Path
) -> None:
    said: list[str] = []
    folded, listener = SplitSettings(cross_validate=True), Listener(say=said.append)
    run = trained(reviews, tmp_path / "run", tuning, listener, split=folded)
    entry = run.entry("finetune")
    assert (entry.learned_from, entry.chosen_on) == (60, 0)
    assert "the final models learn: majority, tfidf, finetune from all 60 rows" in said
    assert len(run.rows("finetune", "train")) == 60


def test_it_is_done_where_it_costs_little(
    make_dataset: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = make_dataset(["a", "b"] * 5, ["one", "two"] * 5)
    recipe = Recipe(methods={"tfidf": QUICK})
    assert refit.is_refitted(QUICK, recipe, rows, rows)
    assert refit.is_refitted(Finetune(), recipe, rows, rows)
    assert not refit.is_refitted(Finetune(), recipe, rows, rows.select([]))
    assert not refit.is_refitted(finetext.Blend(), recipe, rows, rows)
    monkeypatch.setattr(refit, "MOST_ROWS", 9)
    assert refit.is_refitted(QUICK, recipe, rows, rows)
    assert not refit.is_refitted(Finetune(), recipe, rows, rows)
    assert refit.is_refitted(Finetune(), replace(recipe, refit=True), rows, rows)
    assert not refit.is_refitted(QUICK, replace(recipe, refit=False), rows, rows)


def test_what_a_target_assures_stays_that_of_the_model(make_dataset: Any) -> None:
    rows = make_dataset(["a", "b"] * 5, ["one", "two"] * 5)
    recipe = Recipe(decide=Deciding(abstain="accuracy=0.9"))
    assert not refit.is_refitted(QUICK, recipe, rows, rows)
    assert refit.is_refitted(QUICK, replace(recipe, refit=True), rows, rows)
    crossed = replace(recipe, split=SplitSettings(cross_validate=True))
    assert refit.is_refitted(QUICK, crossed, rows, rows)
    assert refit.is_refitted(QUICK, replace(recipe, decide=Deciding(aim="f1")), rows, rows)


def test_an_unfinished_run_of_an_earlier_version_goes_the_way_it_began(
    reviews: Path, tuning: Finetune, tmp_path: Path
) -> None:
    flat = replace(tuning, learning_rate=None, discriminative=1.0)
    whole = trained(reviews, tmp_path / "whole", flat, refit=False)
    folder = tmp_path / "run"
    shutil.copytree(whole.folder, folder)
    for name in ("verdict.json", "leaderboard.json", "finetune/entry.json"):
        (folder / name).unlink()
    recipe = folder / "recipe.toml"
    lines = recipe.read_text("utf-8").splitlines(keepends=True)
    recipe.write_text("".join(line for line in lines if not line.startswith(LATER)), "utf-8")
    is_open = replace(flat, discriminative=None)
    with pytest.raises(RecipeError, match="refit was False and is True"):
        trained(reviews, folder, is_open, refit=True, resume=True)
    run = trained(reviews, folder, is_open, resume=True)
    assert (run.entry("finetune").learned_from, run.entry("finetune").chosen_on) == (42, 9)
    weights = [
        (of.folder / "finetune" / "model" / "model.safetensors").read_bytes() for of in (run, whole)
    ]
    assert weights[0] == weights[1]
    assert Recipe.from_file(recipe).refit is False


def test_a_recipe_says_whether_methods_are_fitted_again(tmp_path: Path) -> None:
    assert Recipe().refit == "auto"
    for value in ("auto", True, False):
        path = tmp_path / "recipe.toml"
        path.write_text(Recipe(refit=value).to_toml())  # type: ignore[arg-type]
        assert Recipe.from_file(path).refit == value
    with pytest.raises(RecipeError, match="refit"):
        Recipe.from_values({"refit": "often"})
