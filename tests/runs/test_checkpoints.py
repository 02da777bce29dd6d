"""A run keeps the best evaluated models, and reads test rows once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import finetext
from finetext import Finetune, Listener, Recipe
from finetext.methods import finetune as finetune_module
from finetext.methods import transformer as transformer_module
from finetext.methods.majority import MajorityClassifier
from finetext.runs.checkpoints import checkpoints_in
from finetext.runs.run import Run

SILENT = Listener()


def trained(
    reviews: Path, encoder: Path, out: Path, *, resume: bool = False, seeds: int = 1, **method: Any
) -> Run:
    finetune = Finetune(
        encoder=str(encoder), epochs=6, batch_size=8, max_length=16, learning_rate=1e-2, **method
    )
    recipe = Recipe(
        source=str(reviews), methods={"finetune": finetune}, device="cpu", keep_checkpoints=2,
        seeds=seeds, refit=False,
    )  # fmt: skip
    return finetext.train(recipe, out=out, listener=SILENT, resume=resume)


@pytest.fixture(scope="module")
def run(reviews: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that keeps two of the evaluated models, by loss; the second seed keeps none."""
    out = tmp_path_factory.mktemp("kept") / "run"
    return trained(reviews, tiny_encoder, out, seeds=2, evaluate_every=4, best_by="loss")


def test_the_best_evaluated_models_are_kept(run: Run) -> None:
    of_step = {
        line["step"]: line["evaluation"]
        for line in run.training_log("finetune")
        if "evaluation" in line
    }
    best = sorted(of_step, key=lambda step: of_step[step]["validation loss"])[:2]
    kept = run.checkpoints("finetune")
    assert [of.step for of in kept] == sorted(best)
    assert [of.figures for of in kept] == [of_step[of.step] for of in kept]
    assert not (run.folder / "finetune" / "checkpoint").exists()
    assert not list(run.folder.glob("finetune/seed-*/checkpoint*"))


def test_the_model_of_the_method_is_the_best_of_them(run: Run) -> None:
    kept = run.checkpoints("finetune")
    best = min(kept, key=lambda of: of.figures["validation loss"])
    whole = (run.folder / "finetune" / "model" / "model.safetensors").read_bytes()
    assert [(of.folder / "model.safetensors").read_bytes() == whole for of in kept] == [
        of is best for of in kept
    ]


def test_they_are_classifiers(run: Run) -> None:
    from transformers import pipeline

    texts = ["a fine film about penguins", ""]
    for of in run.checkpoints("finetune"):
        classifier = finetext.load(of.folder, device="cpu")
        assert classifier.predict(texts)[0] in ("good", "bad")
        assert classifier.decision.temperature != 1.0
        piped = pipeline("text-classification", model=str(of.folder), top_k=None)(texts[:1])[0]
        expected = classifier(texts[0])
        assert {one["label"]: one["score"] for one in piped} == pytest.approx(expected, abs=1e-4)


def test_other_methods_have_none(run: Run) -> None:
    assert run.checkpoints("tfidf") == ()


def test_a_damaged_one_is_left_out_and_a_missing_one_is_no_failure(
    run: Run, reviews: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    place = tmp_path / "finetune"
    for step, facts in (
        (3, "{"), (6, json.dumps({"format_version": 2})), (9, json.dumps([])), ("x", "{}"),
    ):  # fmt: skip
        (folder := place / "checkpoints" / f"step-{step}").mkdir(parents=True)
        (folder / "finetext.json").write_text(facts)
    assert checkpoints_in(place) == ()
    assert checkpoints_in(tmp_path / "nothing") == ()


def test_a_run_without_the_kept_models_is_finished(
    reviews: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    import shutil

    first = trained(reviews, tiny_encoder, tmp_path / "run")
    assert [of.step for of in first.checkpoints("finetune")]
    shutil.rmtree(first.folder / "finetune" / "checkpoints")
    before = (first.folder / "finetune" / "entry.json").read_bytes()
    again = trained(reviews, tiny_encoder, tmp_path / "run", resume=True)
    assert again.checkpoints("finetune") == ()
    assert (first.folder / "finetune" / "entry.json").read_bytes() == before


def test_the_command_shows_them(
    command: Callable[..., Any], run: Run, reviews: Path, tiny_encoder: Path
) -> None:
    folder = str(run.checkpoints("finetune")[0].folder)
    for words in (("show", run.folder), ("info", run.folder / "finetune" / "model")):
        assert folder in command(*words, status=0).out
        told = json.loads(command(*words, "--json", status=0).out)["checkpoints"]
        told = told["finetune"] if words[0] == "show" else told
        assert told[0]["folder"] == folder
        assert set(told[0]["figures"]) == {"validation macro_f1", "validation loss"}
    asked = ("train", reviews, "--methods", "finetune", "--encoder", tiny_encoder, "--epochs", 6)
    asked += ("--set", "finetune.learning_rate=0.01", "--set", "finetune.batch_size=8")
    seen = command(
        *asked, "--set", "keep_checkpoints=1", "--out", "new", "--device", "cpu", status=0
    )
    assert "checkpoints, as evaluated on validation rows:\n  finetune, step " in seen.out
    assert "keep_checkpoints = 1" in Path("new/recipe.toml").read_text()
    refused = command(*asked, "--set", "keep_checkpoints=-1", status=2)
    assert "keep_checkpoints = -1" in refused.err


def test_no_metric_of_that_name_chooses_the_best(
    command: Callable[..., Any], reviews: Path
) -> None:
    asked = ("train", reviews, "--methods", "finetune", "--set")
    assert "did you mean 'loss'?" in command(*asked, "finetune.best_by=lo", status=2).err
    seen = command(*asked, "finetune.best_by=mean_average_precision", status=2)
    assert "does not apply to data with 2 classes" in seen.err


def test_test_rows_are_predicted_once_and_never_seen_in_training(
    reviews: Path, tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: dict[str, Counter[str]] = {"majority": Counter(), "finetune": Counter()}
    predict, tokenize = MajorityClassifier.predict_proba, finetune_module.tokenize

    def predicting(self: Any, texts: Sequence[str]) -> Any:
        read["majority"].update(texts)
        return predict(self, texts)

    def tokenizing(tokenizer: Any, texts: Sequence[str], *rest: Any) -> Any:
        read["finetune"].update(texts)
        return tokenize(tokenizer, texts, *rest)

    monkeypatch.setattr(MajorityClassifier, "predict_proba", predicting)
    for module in (finetune_module, transformer_module):
        monkeypatch.setattr(module, "tokenize", tokenizing)
    finetune = Finetune(encoder=str(tiny_encoder), epochs=2, max_length=16, evaluate_every=1)
    recipe = Recipe(source=str(reviews), methods={"finetune": finetune}, device="cpu")
    run = finetext.train(recipe, out=tmp_path / "run", listener=SILENT)
    for method, seen in read.items():
        texts = run.texts(method, "test")
        assert len(set(texts)) == len(texts)
        assert [seen[text] for text in texts] == [1] * len(texts)
        assert all(seen[text] > 0 for text in run.texts(method, "validation"))
