"""Runs that adapt an encoder first: their corpus, the methods that use it, and resuming."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import finetext
from finetext import Finetune, Listener, Probe, Recipe, Run, Tfidf
from finetext.core.contracts import ProgressEvent
from finetext.core.errors import FinetextError, ModelError, RecipeError, RunError
from finetext.pretraining.adapt import Adaptation
from finetext.pretraining.folder import Origin, read_origin, texts_in_corpus
from finetext.runs.recipe import ADAPTED, Adapting

QUICK = Tfidf(inverse_regularisation=1.0)


@pytest.fixture(scope="module")
def recipe(reviews: Path, tiny_encoder: Path) -> Recipe:
    settings = Adaptation(str(tiny_encoder), batch_size=8, max_length=32, precision="fp32")
    tune = Finetune(encoder=ADAPTED, epochs=1, max_length=16, precision="fp32")
    return Recipe(
        source=str(reviews), methods={"tfidf": QUICK, "finetune": tune}, device="cpu",
        adapt=Adapting(settings, str(reviews)), checkpoint_steps=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def run(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run. Not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return finetext.train(recipe, out=folder, listener=Listener())


@pytest.fixture(autouse=True)
def short_report(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the report empty, which takes no time."""
    monkeypatch.setattr("finetext.report.report.render", lambda data: "")


def origin_in(run: Run) -> Origin:
    origin = read_origin(run.folder / ADAPTED)
    assert origin is not None
    return origin


def same(one: Run, other: Run) -> bool:
    """Whether two runs have the same methods with the same predictions to the last bit."""
    names = [[entry.method for entry in run.leaderboard] for run in (one, other)]
    pairs = [(one.predictions(name), other.predictions(name)) for name in names[0]]
    return names[0] == names[1] and all(
        np.array_equal(a.probabilities, b.probabilities) for a, b in pairs
    )


def test_methods_use_the_adapted_encoder(run: Run, tiny_encoder: Path) -> None:
    origin = origin_in(run)
    assert (origin.kind, origin.base) == ("adapted", str(tiny_encoder))
    model = json.loads((run.folder / "finetune/model/finetext.json").read_text())
    assert model["provenance"]["hyperparameters"]["encoder"] == ADAPTED
    (pair,) = run.paid
    assert (pair.method, pair.beside, pair.kind) == ("finetune", "finetune-unadapted", "adapted")
    assert pair.seconds_before == origin.seconds > 0
    one, other = (run.predictions(name).probabilities for name in (pair.method, pair.beside))
    assert not np.array_equal(one, other)


def test_test_rows_are_not_in_the_corpus(run: Run) -> None:
    origin = origin_in(run)
    assert texts_in_corpus(run.folder / ADAPTED, run.texts("tfidf", "test")) == 0
    assert origin.corpus["excluded"]["test"] >= len(run.texts("tfidf", "test"))
    assert origin.corpus["with_test"] is False
    described = json.loads((run.folder / "data.json").read_text())
    (note,) = (of["message"] for of in described["findings"] if of["code"] == "corpus")
    assert "that occur in test rows (of this run)" in note


def test_report_has_the_adaptation(run: Run) -> None:
    (note,) = (of.message for of in run.findings if of.code == "adapted")
    assert "perplexity on held-out text" in note
    page = run.report.read_text()
    assert "<h3>adapted</h3>" in page
    assert 'id="paid"' in page


def test_recipe_of_the_run_repeats_it(run: Run, tmp_path: Path) -> None:
    recipe = Recipe.from_file(run.folder / "recipe.toml")
    assert recipe.adapt is not None
    assert recipe.adapt.content_hash is not None
    heard: list[str] = []
    again = finetext.train(
        recipe, out=tmp_path / "again", listener=Listener(finding=lambda of: heard.append(of.code))
    )
    assert same(again, run)
    assert "corpus-changed" not in heard


def test_default_corpus_is_the_training_rows(recipe: Recipe, run: Run, tmp_path: Path) -> None:
    assert recipe.adapt is not None
    alone = replace(recipe, adapt=replace(recipe.adapt, corpus=None), methods={
        "probe": Probe(ADAPTED, max_length=16)
    })  # fmt: skip
    found = finetext.train(alone, out=tmp_path / "run", listener=Listener())
    origin = origin_in(found)
    assert origin.corpus["documents"] + origin.corpus["held_out"] == 42
    assert [pair.beside for pair in found.paid] == ["probe-unadapted"]


@pytest.mark.parametrize("stage", ["adapt", "finetune"])
@pytest.mark.slow
def test_moved_run_is_resumed_after_a_stop(
    recipe: Recipe, run: Run, tmp_path: Path, stage: str
) -> None:
    def stop(event: ProgressEvent) -> None:
        if event.stage.startswith(stage) and event.done:
            raise KeyboardInterrupt

    folder = tmp_path / "run"
    said = {"adapt": "the adaptation was stopped\n", "finetune": "finetune was stopped\n"}
    with pytest.raises(KeyboardInterrupt, match=said[stage] + r"(.|\n)*train --resume --out"):
        finetext.train(recipe, out=folder, listener=Listener(progress=stop))
    at_step = (folder / "finetune/checkpoint/latest.safetensors").exists()
    assert at_step == (stage == "finetune")
    folder = folder.rename(tmp_path / "moved")
    lines: list[str] = []
    again = finetext.train(recipe, out=folder, resume=True, listener=Listener(lines.append))
    assert same(again, run)
    finished = f"the encoder in {folder / ADAPTED} is finished already"
    assert (finished in lines) == (stage == "finetune")
    assert not (folder / ADAPTED / ".training").exists()


def test_failed_adaptation_is_reported(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any, **named: Any) -> None:
        raise ModelError("adapt: the loss is nan")

    monkeypatch.setattr("finetext.pretraining.adapt.adapt_to", fail)
    with pytest.raises(RunError, match=r"^the adaptation failed: the loss is nan\n"):
        finetext.train(recipe, out=tmp_path / "run", listener=Listener())


def test_not_resumed_with_another_corpus(
    recipe: Recipe, run: Run, reviews: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(run.folder, tmp_path / "run")
    (folder / "verdict.json").unlink()
    other = tmp_path / "more.csv"
    other.write_text(reviews.read_text() + "one more film,good,film 99\n")
    assert recipe.adapt is not None
    changed = replace(recipe, adapt=replace(recipe.adapt, corpus=str(other)))
    with pytest.raises(RunError, match="the corpus to adapt to is not the one"):
        finetext.train(changed, out=folder, resume=True, listener=Listener())
    settings = replace(recipe.adapt.settings, epochs=2)
    longer = replace(recipe, adapt=replace(recipe.adapt, settings=settings))
    with pytest.raises(RecipeError, match=r"adapt\.epochs was 1 and is 2"):
        finetext.train(longer, out=folder, resume=True, listener=Listener())
    shutil.copy(reviews, other)
    moved = finetext.train(changed, out=folder, resume=True, listener=Listener())
    assert same(moved, run)


def test_changed_corpus_is_reported(recipe: Recipe, tmp_path: Path) -> None:
    assert recipe.adapt is not None
    other = replace(recipe, adapt=replace(recipe.adapt, content_hash="of another"))
    codes: list[str] = []

    def stop(line: str) -> None:
        if line.startswith("adapt:"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetext.train(
            other, out=tmp_path / "run",
            listener=Listener(stop, finding=lambda of: codes.append(of.code)),
        )  # fmt: skip
    assert "corpus-changed" in codes


def test_unused_adaptation_is_skipped(recipe: Recipe, tmp_path: Path) -> None:
    found: list[str] = []
    run = finetext.train(
        replace(recipe, methods={"tfidf": QUICK}), out=tmp_path / "run",
        listener=Listener(finding=lambda of: found.append(of.code)),
    )  # fmt: skip
    assert not (run.folder / ADAPTED).exists()
    assert "adapt-unused" in found


def test_errors_are_raised_before_anything_is_written(
    recipe: Recipe, tiny_encoder: Path, tmp_path: Path
) -> None:
    assert recipe.adapt is not None
    too_long = replace(recipe.adapt.settings, max_length=4096)
    nowhere = replace(recipe.adapt.settings, encoder=str(tmp_path / "nothere"))
    wrong = [replace(recipe.adapt, settings=of) for of in (too_long, nowhere)]
    for adapting in [*wrong, replace(recipe.adapt, corpus=str(tmp_path / "nothere.txt"))]:
        with pytest.raises(FinetextError):
            finetext.train(
                replace(recipe, adapt=adapting), out=tmp_path / "run", listener=Listener()
            )
    assert list(tmp_path.iterdir()) == []


def test_command_line_changes_the_section(
    command: Callable[..., Any], reviews: Path, tiny_encoder: Path
) -> None:
    Path("mine.toml").write_text(
        '[adapt]\nencoder = "nothere"\nbatch_size = 8\n'
        '[methods.finetune]\nencoder = "adapted"\nmax_length = 16\nepochs = 1\n'
    )
    seen = command(
        "train", reviews, "--recipe", "mine.toml", "--encoder", tiny_encoder, "--out", "run",
        "--set", "adapt.max_length=32", "--device", "cpu",
    )  # fmt: skip
    assert seen.status == 0
    assert "adapt: before, on held-out text" in seen.err
    assert "finetune-unadapted could be shown" in seen.out
    adapting = Recipe.from_file(Path("run/recipe.toml")).adapt
    assert adapting is not None
    assert (adapting.encoder, adapting.settings.max_length) == (str(tiny_encoder), 32)
    assert command("train", "--resume", "--out", "run").status == 0
